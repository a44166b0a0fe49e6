"""Metrics of personalisation: author identification, copied n-grams, diversity, and intervals over users.

Intervals draw whole users, not images: a user's captions resemble one another, so that many captions of few users are
little evidence.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backbone.errors import PolygraftError
from multimodal.metrics.bleu_cider import ORDERS, count_ngrams, distinct

_CELLS = 1 << 20  # groups drawn at a time, all samples together: bounds the memory


def identification(scores: NDArray[np.floating], truth: Sequence[int]) -> list[bool]:
    """Return of each caption whether its true user's context makes it likeliest.

    A tie with another user is wrong, so that a captioner to which all users are one has an accuracy of 0.

    Args:
        scores: The log-likelihoods of the true captions in the context of each user, (N, U); may be minus infinity.
        truth: The column of the true user of each caption, (N,).

    Raises:
        PolygraftError: there is no caption or no user, the shapes don't fit, a score is no number, or a column is none.
    """
    if scores.ndim != 2 or not scores.size or len(truth) != len(scores):
        raise PolygraftError(
            f"scores of shape {scores.shape} and {len(truth)} true users: want (captions, users), filled"
        )
    if np.isnan(scores).any():
        raise PolygraftError("a score is not a number: log-likelihoods are numbers or minus infinity")
    rows, columns = np.arange(len(scores)), np.array(truth)
    if columns.min() < 0 or columns.max() >= scores.shape[1]:
        raise PolygraftError(f"a true user is not in 0..{scores.shape[1] - 1}, the columns of the scores")
    own = scores[rows, columns]
    # the true user is among those that are as good
    found: list[bool] = ((scores >= own[:, None]).sum(axis=1) == 1).tolist()
    return found


def copy_rate(captions: Sequence[str], histories: Sequence[Sequence[str]], training: Iterable[str]) -> dict[str, float]:
    """Measure how much of the captions was written before, by the user or by anyone in training.

    Words are what spaces separate, and case counts: tokenize first (`multimodal.metrics.ptb`) if it should
    not.

    Args:
        captions: The captions that were generated.
        histories: The captions, for each caption, that its user is known by, without that of the same image.
        training: All captions that were trained on.

    Returns:
        Shares in 0..1 of all captions' n-grams, ``own_1`` to ``own_4``, and of captions that are found as a whole,
        ``own_whole``, in the history; likewise ``training_1`` to ``training_4`` and ``training_whole``. A share of
        nothing is 0: there may be no n-gram of that length, and empty captions are not counted.

    Raises:
        PolygraftError: there are not as many histories as captions.
    """
    if len(captions) != len(histories):
        raise PolygraftError(f"there are {len(captions)} captions but {len(histories)} histories: give one for each")
    everyone, known_to = _held(training), lru_cache(maxsize=64)(_held)
    counted: Counter[str] = Counter()
    copied: Counter[str] = Counter()
    for text, history in zip(captions, histories, strict=True):
        sources = {"own": known_to(tuple(history)), "training": everyone}
        for run, count in _runs(text).items():
            for source, known in sources.items():
                name = f"{source}_{len(run) if run[0] else 'whole'}"
                counted[name] += count
                copied[name] += count * (run in known)
    names = [f"{source}_{part}" for source in ("own", "training") for part in (*ORDERS, "whole")]
    return {name: copied[name] / counted[name] if counted[name] else 0.0 for name in names}


def _runs(text: str) -> Counter[tuple[str, ...]]:
    # the whole text counts once: all its words behind an empty one, which is no word
    runs = count_ngrams(text)
    if runs:
        runs["", *text.split()] = 1
    return runs


def _held(texts: Iterable[str]) -> set[tuple[str, ...]]:
    return set().union(*map(_runs, texts))


def diversity(texts: Sequence[str]) -> dict[str, float]:
    """``distinct_1`` and ``distinct_2`` of a set of captions (see `multimodal.metrics.bleu_cider.distinct`)."""
    return {f"distinct_{order}": distinct(texts, order) for order in (1, 2)}


class Interval(NamedTuple):
    """A mean and the bounds between which it lies with the confidence asked for."""

    mean: float
    low: float
    high: float


def bootstrap(
    values_by_group: Mapping[str, Sequence[float]], *, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> Interval:
    """The mean of all values and its percentile interval, drawing whole groups: a user's captions are not independent.

    Args:
        values_by_group: The values of the items of each group (a user, an author), such as CIDEr-D by image, or the
            differences of two systems on the same images.
        level: The confidence, between 0 and 1.
        samples: How many times as many groups as there are are drawn, with replacement.
        seed: The seed of the draws.

    Raises:
        PolygraftError: there is no value, or `level` is not between 0 and 1.
    """
    groups = [values for values in values_by_group.values() if len(values)]
    if not groups:
        raise PolygraftError("there is no value to average: every group is empty")
    if not 0 < level < 1:
        raise PolygraftError(f"the level of an interval is {level}: it lies between 0 and 1, as 0.95 does")
    totals = np.array([(np.sum(values), len(values)) for values in groups], dtype=np.float64)
    drawn = draw_groups(totals, samples, seed)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    above, below = totals.sum(axis=0)
    return Interval(float(above / below), float(low), float(high))


def draw_groups(sums: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Add up the rows (users, ...) of as many users as there are, drawn with replacement: (samples, ...)."""
    if samples < 1:
        raise PolygraftError(f"{samples} samples of users were asked for: draw 1 or more")
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // len(sums))
    sizes = [min(block, samples - start) for start in range(0, samples, block)]
    return np.concatenate([sums[generator.integers(len(sums), size=(size, len(sums)))].sum(axis=1) for size in sizes])
