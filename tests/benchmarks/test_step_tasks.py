"""Steps of recipes: sides that share nothing, questions with one right answer, readers that know order or do not."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from benchmarks.video.step_data import (
    SHOWN,
    Procedure,
    StepTable,
    normal,
    procedures,
    shown_after,
    shown_before,
    step_clips,
)
from benchmarks.video.step_models import accuracy
from benchmarks.video.step_tasks import (
    WRONG,
    answer_choices,
    chance,
    choices,
    new_steps,
    pairs,
)
from starter_build.datasets.documents import held_out
from starter_build.datasets.readers import Recipe
from tests.starter_build.tiny_recipes import tiny_recipes

LONG = "Stir it all together until it is a smooth and even dough"


def recipe(title: str, *steps: str) -> Recipe:
    return Recipe(id=title, title=title, steps=steps)


def procedure(id_: str, *steps: str) -> Procedure:
    return Procedure(id=id_, group=id_, side="test", steps=steps, unread=False)


def table_of(found: list[Procedure], width: int = 16, seed: int = 0) -> StepTable:
    texts = list(dict.fromkeys(step for one in found for step in one.steps))
    drawn = torch.randn(len(texts), width, generator=torch.Generator().manual_seed(seed))
    rows = {text: row for row, text in enumerate(texts)}
    return StepTable(rows=rows, vectors=F.normalize(drawn, dim=1).half(), encoder="e")


@pytest.fixture(scope="module")
def some() -> list[Procedure]:
    return procedures(tiny_recipes())


@pytest.fixture(scope="module")
def table(some) -> StepTable:
    return table_of(some, width=24)


# Sides


def test_amounts_and_case_are_no_words():
    assert normal("Heat 2½ cups to 180°C!") == normal("heat 3 CUPS, to 200 c") == "heat cups to c"


def test_no_side_shares_a_title_or_a_long_step_with_another():
    versions = [recipe(f"Bread {'I' * (1 + n % 3)}", f"Knead {n} x", "Bake") for n in range(9)]
    copied = [recipe(f"Cake {word}", LONG, f"Bake {word}") for word in "abcdefghijkl"]
    found = procedures([*versions, *copied, *tiny_recipes()])
    groups = {one.id.split()[0]: set() for one in found}
    for one in found:
        groups[one.id.split()[0]].add((one.group, one.side))
    assert len(groups["Bread"]) == len(groups["Cake"]) == 1
    assert {one.side for one in found} == {"train", "validation", "test"}
    assert len({one.group for one in found}) == 2 + len(tiny_recipes())


def test_what_the_language_model_has_not_read_is_in_the_test():
    found = procedures(tiny_recipes(400))
    unread = {r.id for r in tiny_recipes(400) if held_out(r.document)}
    assert unread
    assert {one.id for one in found if one.unread} == unread
    assert {one.side for one in found if one.unread} == {"test"}


def test_one_that_was_read_spoils_its_group():
    first = next(r for r in tiny_recipes(400) if held_out(r.document))
    found = procedures([first, replace(first, id="Another"), *tiny_recipes(8)])
    assert {(one.side, one.unread) for one in found if one.id in (first.id, "Another")} == {("test", False)}


def test_a_step_counts_once_where_it_came_first_and_markup_not_at_all():
    steps = ('Mix<ref name="x" /> it.', "Serve.", "MIX it", "Eat it.", "12")
    (one,) = procedures([recipe("Dough", *steps)])
    assert one.steps == ("Mix it.", "Serve.", "Eat it.")
    assert procedures([recipe("Nothing", "Serve.", "serve")]) == []


# What is learned


def test_every_step_is_asked_for_from_one_neighbour_and_from_up_to_four():
    steps = tuple("abcdefg")
    assert shown_before(steps, 5) == ("b", "c", "d", "e") and shown_after(steps, 5) == ("g",)
    one = procedure("x", *steps)
    data = step_clips([one], table_of([one]))
    shown = {(clip.question, clip.text, rows[0], len(rows)) for clip, rows in zip(data.clips, data.features.times, strict=True)}  # fmt: skip  # noqa: E501
    assert ("next", "b", 0, 1) in shown and ("next", "f", 1, SHOWN) in shown and ("next", "f", 4, 1) in shown
    assert ("before", "a", 1, SHOWN) in shown and ("before", "a", 1, 1) in shown
    assert not any(text == "a" for question, text, *_ in shown if question == "next")
    assert len(shown) == len(data) == 2 * (6 + 5)
    assert {clip.question for clip in step_clips([one], table_of([one]), ["before"]).clips} == {"before"}


def test_what_is_shown_are_the_vectors_of_the_steps(some, table):
    data = step_clips(some[:3], table)
    at = next(n for n, clip in enumerate(data.clips) if clip.question == "next" and len(data.features.times[n]) == 3)
    expected = F.normalize(table.vectors[[table.rows[step] for step in some[0].steps[:3]]].float(), dim=1)
    torch.testing.assert_close(data.frames(at), expected)
    assert data.clips[at].text == some[0].steps[3]
    other = step_clips(some[:3], table, ["next"])
    assert len({data.digest, other.digest, step_clips(some[1:4], table).digest}) == 3


# Questions


def test_no_answer_stands_in_a_recipe_that_was_learned_from():
    known = [procedure("old", "Heat 2 cups.", "Mix it.")]
    found = [procedure("new", "Heat 3 cups.", "Cool it.", "Eat it.", "Mix it!")]
    assert new_steps(found, known) == {"new": ["Cool it.", "Eat it."]}
    table = table_of([*known, *found])
    texts = {row: text for text, row in table.rows.items()}
    answers = {texts[row] for choice in choices(found, known, table) for row in (choice.right, *choice.wrong)}
    assert answers == {"Cool it.", "Eat it."}
    assert {(texts[pair.first], texts[pair.second]) for pair in pairs(found, known, table)} == {("Cool it.", "Eat it.")}


def test_wrong_answers_are_of_other_recipes_or_of_the_same_and_never_shown(some, table):
    asked = choices(some, [], table)
    texts = {row: text for text, row in table.rows.items()}
    for choice in asked:
        own = set(choice.procedure.steps)
        wrong = {texts[row] for row in choice.wrong}
        assert len(wrong) == len(choice.wrong) and texts[choice.right] not in wrong
        assert not wrong & {texts[row] for row in choice.shown}
        assert wrong <= own if choice.task.endswith("same recipe") else not wrong & own
        place = choice.procedure.steps.index(texts[choice.right])
        nearest = choice.procedure.steps[place - 1 if choice.asked == "next" else place + 1]
        assert texts[choice.shown[-1 if choice.asked == "next" else 0]] == nearest
    assert {len(choice.wrong) for choice in asked if choice.task.endswith("other recipes")} == {WRONG}
    assert asked == choices(some, [], table)
    assert chance(asked)["next, wrong ones of other recipes"] == pytest.approx(0.1)


# Answers


def test_who_knows_what_is_next_is_always_right_and_ties_are_not(some, table):
    asked = choices(some, [], table)
    truth = {(choice.shown, choice.asked): choice.right for choice in asked}

    def oracle(shown, question):
        return table.vectors[[truth[tuple(rows), question] for rows in shown]].float()

    assert {accuracy(own) for own in answer_choices(asked, oracle, table.vectors).values()} == {1.0}
    blind = answer_choices(asked, lambda shown, _: torch.zeros(len(shown), 24), table.vectors)
    assert {accuracy(own) for own in blind.values()} == {0.0}
