"""Questions about the order of steps, and who answers them: narrators, and baselines that know no order.

Shapes: Q questions, D width of text vectors.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.video.step_data import Procedure, StepTable, normal, shown_after, shown_before
from starter_build.starter.image_text_fit import ridge
from video.narrator import Narrator

Asked = Literal["next", "before"]
WRONG = 9  # so that one guess in ten is right
_BATCH = 256
_TIE = 1e-9  # scores nearer than this are rounding

Reader = Callable[[Sequence[Sequence[int]], Asked], Tensor]
"""Rows of the steps that are shown, and what is asked, become (Q, D) vectors of length 1."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which step comes next, or came before: one right answer, and wrong ones. Steps are rows of a `StepTable`."""

    task: str
    procedure: Procedure
    asked: Asked
    shown: tuple[int, ...]
    right: int
    wrong: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StepPair:
    """Two steps of a recipe, the earlier one first."""

    task: str
    procedure: Procedure
    first: int
    second: int


Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""By task and by recipe, how far each answer was right: 1, 0, or a half for an answer that decides nothing."""


def new_steps(found: Sequence[Procedure], known: Sequence[Procedure]) -> dict[str, list[str]]:
    """Return by recipe the steps that no recipe of ``known`` has, whatever the amounts and degrees."""
    seen = {normal(step) for procedure in known for step in procedure.steps}
    return {procedure.id: [step for step in procedure.steps if normal(step) not in seen] for procedure in found}


def choices(found: Sequence[Procedure], known: Sequence[Procedure], table: StepTable) -> list[Choice]:
    """Return the questions what comes next and what was before, with wrong answers of two kinds.

    Of other recipes there are nine, of the same recipe up to nine, all of which are not shown. An answer, right or
    wrong, is a step that no recipe of ``known`` has.

    Args:
        found: The recipes to ask about.
        known: The recipes that somebody learned from.
        table: The steps of both.
    """
    new = new_steps(found, known)
    pool = [(procedure.group, step) for procedure in found for step in new[procedure.id]]
    made = []
    for procedure in found:
        own = {normal(step) for step in procedure.steps}
        for at, right in enumerate(procedure.steps):
            if right not in new[procedure.id]:
                continue
            sides: list[tuple[Asked, Sequence[str]]] = [
                ("next", shown_before(procedure.steps, at)), ("before", shown_after(procedure.steps, at))
            ]  # fmt: skip
            for asked, shown in sides:
                draw = random.Random(f"{procedure.id}/{at}/{asked}")
                same = [step for step in new[procedure.id] if step != right and step not in shown]
                kinds = {
                    "of other recipes": _others(pool, procedure.group, own, draw),
                    "of the same recipe": draw.sample(same, min(WRONG, len(same))),
                }
                made += [
                    Choice(
                        task=f"{asked}, wrong ones {kind}", procedure=procedure, asked=asked,
                        shown=tuple(table.rows[step] for step in shown), right=table.rows[right],
                        wrong=tuple(table.rows[step] for step in wrong),
                    )
                    for kind, wrong in kinds.items()
                    if shown and wrong
                ]  # fmt: skip
    return made


def _others(pool: Sequence[tuple[str, str]], group: str, own: set[str], draw: random.Random) -> list[str]:
    """Draw steps of other groups, none that says the same as a step of the recipe itself or another that is drawn."""
    drawn: dict[str, str] = {}
    for other, step in draw.sample(pool, min(len(pool), 10 * WRONG)):
        if other != group and normal(step) not in own:
            drawn.setdefault(normal(step), step)
    return list(drawn.values())[:WRONG]


def pairs(found: Sequence[Procedure], known: Sequence[Procedure], table: StepTable) -> list[StepPair]:
    """Return all pairs of steps of a recipe that no recipe of ``known`` has; neighbours are a task of their own too."""
    new = new_steps(found, known)
    made = []
    for procedure in found:
        for at, first in enumerate(procedure.steps):
            for behind, second in enumerate(procedure.steps[at + 1 :]):
                if first in new[procedure.id] and second in new[procedure.id]:
                    ends = {"first": table.rows[first], "second": table.rows[second]}
                    tasks = ["order", "order of neighbours"] if not behind else ["order"]
                    made += [StepPair(task=task, procedure=procedure, **ends) for task in tasks]
    return made


def chance(asked: Sequence[Choice]) -> dict[str, float]:
    """Return how often a guess is right, by task."""
    tasks = dict.fromkeys(choice.task for choice in asked)
    odds = {task: [1 / (1 + len(choice.wrong)) for choice in asked if choice.task == task] for task in tasks}
    return {task: sum(own) / len(own) for task, own in odds.items()}


def answer_choices(asked: Sequence[Choice], read: Reader, vectors: Tensor) -> dict[str, dict[str, list[float]]]:
    """Return how far each choice is right; a wrong answer with the score of the right one comes before it."""
    scores: dict[str, dict[str, list[float]]] = {}
    for question in dict.fromkeys(choice.asked for choice in asked):
        own = [choice for choice in asked if choice.asked == question]
        # the kinds of wrong answers share what is shown: it is read once
        shown = {shown: at for at, shown in enumerate(dict.fromkeys(choice.shown for choice in own))}
        queries = read(list(shown), question).double()
        for choice in own:
            query = queries[shown[choice.shown]]
            right, *wrong = (vectors[[choice.right, *choice.wrong]].double() @ query).tolist()
            _note(scores, choice.task, choice.procedure, float(right > max(wrong) + _TIE))
    return scores


def order_scores(asked: Sequence[StepPair], read: Reader, vectors: Tensor) -> list[float]:
    """Return for each pair how much more the answers speak for its order than for the other: above 0 is right.

    Each step is shown alone, and asked what comes next and what was before; the other step is looked for in both.
    """
    steps = sorted({row for pair in asked for row in (pair.first, pair.second)})
    place = {row: at for at, row in enumerate(steps)}
    nexts, befores = (read([(row,) for row in steps], question).double() for question in ("next", "before"))
    first = [place[pair.first] for pair in asked]
    second = [place[pair.second] for pair in asked]
    own = vectors[steps].double()

    def speaks(queries: Tensor, shown: list[int], sought: list[int]) -> Tensor:
        return (queries[shown] * own[sought]).sum(dim=1)

    forward = speaks(nexts, first, second) + speaks(befores, second, first)
    backward = speaks(nexts, second, first) + speaks(befores, first, second)
    found: list[float] = (forward - backward).tolist()
    return found


def answer_pairs(asked: Sequence[StepPair], scores: Sequence[float]) -> dict[str, dict[str, list[float]]]:
    """Return how far each order is right, given scores that are above 0 for the right one."""
    found: dict[str, dict[str, list[float]]] = {}
    for pair, score in zip(asked, scores, strict=True):
        _note(found, pair.task, pair.procedure, 0.5 if abs(score) <= _TIE else float(score > 0))
    return found


def _note(scores: dict[str, dict[str, list[float]]], task: str, procedure: Procedure, right: float) -> None:
    scores.setdefault(task, {}).setdefault(procedure.id, []).append(right)


# Who answers


def mean_reader(vectors: Tensor) -> Reader:
    """Return who looks for what is like the mean of the steps shown, whatever is asked."""
    return lambda shown, _: F.normalize(torch.stack([vectors[list(rows)].float().mean(dim=0) for rows in shown]), dim=1)


def nearest_reader(vectors: Tensor) -> Reader:
    """Return who looks for what is like the step shown that is next to the one asked for."""
    return lambda shown, asked: vectors[[rows[-1 if asked == "next" else 0] for rows in shown]].float()


def narrator_reader(narrators: Mapping[Asked, Narrator], vectors: Tensor) -> Reader:
    """Return who asks a narrator; those that read no question have one each."""
    from video.config import QUESTIONS

    @torch.no_grad()
    def read(shown: Sequence[Sequence[int]], asked: Asked) -> Tensor:
        narrator = narrators[asked]
        parts = [shown[start : start + _BATCH] for start in range(0, len(shown), _BATCH)]
        batches = ([vectors[list(rows)].float() for rows in part] for part in parts)
        return torch.cat([narrator.query(narrator.batch(b, [QUESTIONS[asked]] * len(b))).cpu() for b in batches])

    return read


def place_scores(asked: Sequence[StepPair], trained: Sequence[Procedure], table: StepTable) -> list[float]:
    """Return scores of pairs by where steps like these stand: a ridge from vectors to places, 0 first and 1 last."""
    steps = [step for procedure in trained for step in procedure.steps]
    places = [at / (len(p.steps) - 1) for p in trained for at in range(len(p.steps))]
    vectors = table.vectors[[table.rows[step] for step in steps]].double()
    weights, offset = ridge(vectors, torch.tensor(places, dtype=torch.float64)[:, None], 1.0)
    found = (table.vectors.double() @ weights + offset)[:, 0]
    scores: list[float] = (found[[pair.second for pair in asked]] - found[[pair.first for pair in asked]]).tolist()
    return scores
