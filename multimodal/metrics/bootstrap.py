"""Intervals and p-values by drawing whole groups with replacement: the captions of one user are not independent."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backbone.errors import PolygraftError

ValuesByUser = Mapping[str, Sequence[float]]

_CELLS = 1 << 20  # groups drawn at a time, all samples together: bounds the memory


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
        values_by_group: for each group (a user, an author) the values of its items, such as CIDEr-D by image, or the
            differences of two systems on the same images.
        level: the confidence, between 0 and 1.
        samples: how many times as many groups as there are are drawn, with replacement.
        seed: of the draws.

    Raises:
        PolygraftError: there is no value, or `level` is not between 0 and 1.
    """
    groups = [values for values in values_by_group.values() if len(values)]
    if not groups:
        raise PolygraftError("there is no value to average: every group is empty")
    if not 0 < level < 1:
        raise PolygraftError(f"the level of an interval is {level}: it lies between 0 and 1, as 0.95 does")
    totals = np.array([(np.sum(values), len(values)) for values in groups], dtype=np.float64)
    drawn = _draw(totals, samples, seed)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    above, below = totals.sum(axis=0)
    return Interval(float(above / below), float(low), float(high))


def ratio_interval(
    ours: ValuesByUser, baseline: ValuesByUser, *, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> Interval:
    """The mean of our values over the mean of the baseline's, and its percentile interval, drawing whole users.

    A drawn set in which the baseline is 0 everywhere counts as an infinite ratio, or not at all if ours is 0 there too.

    Args:
        ours: by user the values of each image, 0 or more, such as CIDEr-D; users without any are passed over.
        baseline: the values of the same images, in the same order.
        level: the confidence, between 0 and 1.
        samples: how many times as many users as there are are drawn, with replacement.
        seed: of the draws.

    Returns:
        The ratio (as ``mean``) and its bounds.

    Raises:
        PolygraftError: users or their numbers of values differ, there is no value, one is negative or not finite, the
            baseline's mean is 0, or `level` or `samples` is out of range.
    """
    if not 0 < level < 1:
        raise PolygraftError(f"the level of an interval is {level}: it lies between 0 and 1, as 0.95 does")
    if any(len(ours.get(user, ())) != len(baseline.get(user, ())) for user in ours.keys() | baseline.keys()):
        raise PolygraftError("ours and the baseline differ in users or in a user's number of values: a ratio is paired")
    sums = np.stack([_sums(ours), _sums(baseline)], axis=1)
    if any(min(values, default=0) < 0 for side in (ours, baseline) for values in side.values()):
        raise PolygraftError("a value is negative: a ratio of means is for values of 0 or more")
    above, below = sums.sum(axis=0)
    if not below:
        raise PolygraftError("the mean of the baseline is 0: nothing can be said as a multiple of it")
    drawn = _draw(sums, samples, seed)
    drawn = drawn[drawn.any(axis=1)]
    ratios = np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.inf), where=drawn[:, 1] > 0)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(float(above / below), float(low), float(high))


def paired_p_value(differences_by_user: ValuesByUser, *, samples: int = 2000, seed: int = 0) -> float:
    """The share of bootstrap samples in which the mean difference is 0 or less, drawing whole users.

    A one-sided p-value of being better. One is added above and below the line (Davison and Hinkley 1997, section 4.2),
    so it is never 0. With fewer than some twenty users it comes out too small.

    Args:
        differences_by_user: by user our value less the other's, image by image; users without any are passed over.
        samples: how many times as many users as there are are drawn, with replacement.
        seed: of the draws.

    Raises:
        PolygraftError: fewer than two users have values, a value is not finite, or `samples` is below 1.
    """
    sums = _sums(differences_by_user)
    if len(sums) < 2:
        raise PolygraftError(f"a p-value over users wants two users or more with values, and there are {len(sums)}")
    worse = np.count_nonzero(_draw(sums, samples, seed) <= 0)
    return float((1 + worse) / (1 + samples))


def _sums(values_by_user: ValuesByUser) -> NDArray[np.float64]:
    """Add up the values of each user that has any (users,), in the order of their names."""
    sums = np.array([np.sum(values) for _, values in sorted(values_by_user.items()) if len(values)], dtype=np.float64)
    if not sums.size:
        raise PolygraftError("there is no value to average: every user is without")
    if not np.isfinite(sums).all():
        raise PolygraftError("a value is not finite: means over users need numbers")
    return sums


def _draw(sums: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Add up the rows (users, ...) of as many users as there are, drawn with replacement: (samples, ...)."""
    if samples < 1:
        raise PolygraftError(f"{samples} samples of users were asked for: draw 1 or more")
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // len(sums))
    sizes = [min(block, samples - start) for start in range(0, samples, block)]
    return np.concatenate([sums[generator.integers(len(sums), size=(size, len(sums)))].sum(axis=1) for size in sizes])
