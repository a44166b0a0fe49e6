"""Accuracy with its confidence interval, beside baselines that need no model."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import f1_score

_DRAWS = 1000


class Outcome(NamedTuple):
    """What came of an item, or of a sentence with its words."""

    group: tuple[str, str]  # language and kind
    right: tuple[str, ...]
    said: tuple[str, ...]  # labels, one for each word of a sentence
    correct: tuple[bool, ...]
    chance: float  # of a guess to be right


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """Figures of the items of one language and kind."""

    language: str
    kind: str
    items: int  # items; of sequence labelling, words
    accuracy: float
    accuracy_low: float
    accuracy_high: float  # 95 % interval, drawn over items or sentences (Efron's bootstrap)
    majority: float  # accuracy of always saying the most frequent label
    random: float  # accuracy of guessing
    macro_f1: float | None = None  # mean F1 of the tags that occur, of sequence labelling alone
    weighted_f1: float | None = None  # mean F1 of the tags by their frequency, which mGPT reports


def figures_of(outcomes: Sequence[Outcome], *, seed: int, labelling: bool) -> list[GroupFigures]:
    """Return the figures of each language and kind, in the order in which these come up.

    Args:
        outcomes: of all items; at least one.
        seed: of the intervals.
        labelling: whether they are sentences.
    """
    groups: dict[Hashable, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.group].append(outcome)
    return [_figures(members, seed, labelling) for members in groups.values()]


def _figures(outcomes: Sequence[Outcome], seed: int, labelling: bool) -> GroupFigures:
    language, kind = outcomes[0].group
    right = [label for outcome in outcomes for label in outcome.right]
    said = [label for outcome in outcomes for label in outcome.said]
    hits = np.array([sum(outcome.correct) for outcome in outcomes])
    sizes = np.array([len(outcome.correct) for outcome in outcomes])
    low, high = interval(hits, sizes, seed=seed)
    scores: dict[str, float] = {}
    if labelling:
        for average in ("macro", "weighted"):
            scores[f"{average}_f1"] = float(f1_score(right, said, average=average, zero_division=0.0))
    return GroupFigures(
        language=language,
        kind=kind,
        items=len(right),
        accuracy=float(hits.sum() / sizes.sum()),
        accuracy_low=low,
        accuracy_high=high,
        majority=max(Counter(right).values()) / len(right),
        random=float(np.average([outcome.chance for outcome in outcomes], weights=sizes)),
        **scores,
    )


def interval(hits: "np.ndarray[Any, Any]", sizes: "np.ndarray[Any, Any]", *, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of summed ``hits`` over summed ``sizes``, drawn over items (Efron, 1979)."""
    drawn = np.random.default_rng(seed).integers(len(hits), size=(_DRAWS, len(hits)))
    low, high = np.quantile(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)
