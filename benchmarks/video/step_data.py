"""Recipes as procedures: their steps in order, parted into sides so that no test step was trained on."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from starter_build.datasets.documents import clean, hash_share, held_out
from starter_build.datasets.readers import Recipe
from starter_build.datasets.splits import Side
from video.data.clip_features import ClipSet
from video.data.clips import Clip
from video.data.feature_cache import SpanFeatures

TEST_SHARE = 0.15
VALIDATION_SHARE = 0.1  # of the groups of recipes, by hash
LONG_STEP = 8  # words of a step that two recipes share only if one was written after the other
SHOWN = 4  # steps that are shown at most


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """A recipe of two different steps or more."""

    id: str
    group: str  # recipes that share a title or a long step have the same one, and stand on one side
    side: Side
    steps: tuple[str, ...]  # in their order, none twice
    unread: bool  # whether the starter's language model was trained on neither this recipe nor another of its group


def normal(text: str) -> str:
    """Return the words of a text alone: recipes differ in amounts and degrees, and say the same."""
    return " ".join("".join(letter if letter.isalpha() else " " for letter in text.casefold()).split())


def procedures(recipes: Iterable[Recipe]) -> list[Procedure]:
    """Return recipes with their sides. What the language model has not read is in the test, with all of its group."""
    kept = {recipe.id: recipe for recipe in recipes}
    groups = _groups(list(kept.values()))
    members: dict[str, list[str]] = defaultdict(list)
    for id_, group in groups.items():
        members[group].append(id_)
    # a paragraph that is no prose, as footnotes make it, is not in the text that the language model was trained on
    unread = {
        id_ for id_, recipe in kept.items() if held_out(recipe.document) or not list(clean([recipe.document]))
    }  # fmt: skip
    found = []
    for group, ids in members.items():
        side = _side(group, forced=not unread.isdisjoint(ids))
        for id_ in ids:
            steps = _steps(kept[id_])
            if len(steps) > 1:
                alone = unread.issuperset(ids)
                found.append(Procedure(id=id_, group=group, side=side, steps=steps, unread=alone))
    return found


def _steps(recipe: Recipe) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for step in recipe.steps:
        text = " ".join(re.sub(r"<[^>]*>", "", step).split())
        first.setdefault(normal(text), text)
    return tuple(text for words, text in first.items() if words)


def _groups(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Return the group of each recipe: those that share a title, numbers and brackets aside, or a long step."""
    parent = {recipe.id: recipe.id for recipe in recipes}

    def root(id_: str) -> str:
        while parent[id_] != id_:
            parent[id_] = id_ = parent[parent[id_]]
        return id_

    first: dict[str, str] = {}
    for recipe in recipes:
        title = normal(re.sub(r"\(.*?\)|\b[IVX]+$", "", recipe.title))
        long = [words for words in map(normal, recipe.steps) if len(words.split()) >= LONG_STEP]
        for shared in [f"title: {title}", *long] if title else long:
            parent[root(recipe.id)] = root(first.setdefault(shared, recipe.id))
    return {id_: root(id_) for id_ in parent}


def _side(group: str, *, forced: bool) -> Side:
    share = hash_share("recipe", group)
    if forced or share < TEST_SHARE:
        return "test"
    return "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"


@dataclass(frozen=True, kw_only=True, eq=False)
class StepTable:
    """The distinct texts of steps with their vectors."""

    rows: Mapping[str, int]
    vectors: Tensor  # (N, D) float16 of length 1
    encoder: str  # digest of the text encoder


def shown_before(steps: Sequence[str], at: int, most: int = SHOWN) -> Sequence[str]:
    """Return the steps that lead to step ``at``."""
    return steps[max(0, at - most) : at]


def shown_after(steps: Sequence[str], at: int, most: int = SHOWN) -> Sequence[str]:
    """Return the steps that follow on step ``at``."""
    return steps[at + 1 : at + 1 + most]


def _lessons(procedure: Procedure, questions: Sequence[str]) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield questions about a recipe, the step that is the answer, and the steps that are shown."""
    sides = {"next": shown_before, "before": shown_after}
    for question in questions:
        for at, text in enumerate(procedure.steps):
            shown = dict.fromkeys(tuple(sides[question](procedure.steps, at, most)) for most in (1, SHOWN))
            yield from ((question, text, steps) for steps in shown if steps)


def step_clips(found: Iterable[Procedure], table: StepTable, questions: Sequence[str] = ("next", "before")) -> ClipSet:
    """Return what a narrator learns: steps in the place of frames, a question, and the step that is the answer.

    Every step is asked for twice: from one neighbouring step, and from up to `SHOWN` of them.
    """
    clips: list[Clip] = []
    shown: list[Sequence[str]] = []
    videos: list[str] = []
    for procedure in found:
        video = hashlib.sha256(procedure.id.encode()).hexdigest()
        for question, text, steps in _lessons(procedure, questions):
            clips.append(Clip(video=Path(procedure.id), text=text, question=question, id=f"{len(clips)}"))
            shown.append(steps)
            videos.append(video)
    features = SpanFeatures(
        # a step has no time: its row stands for it, so that the digest tells what is shown
        times=tuple(tuple(float(table.rows[step]) for step in steps) for steps in shown),
        videos=tuple(videos),
        unreadable={},
        encoded=0,
        read=lambda _, rows: table.vectors[list(map(int, rows))],
    )
    return ClipSet(clips=tuple(clips), features=features, encoder=table.encoder)
