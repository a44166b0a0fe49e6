"""Comparisons of captioners over users: ratios, p-values, and whether captions are nearer to their own user's truth."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backbone.errors import PolygraftError
from multimodal.metrics.caption import longest_common_subsequence
from multimodal.metrics.personalization import Interval, draw_groups

ValuesByUser = Mapping[str, Sequence[float]]


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
    drawn = draw_groups(sums, samples, seed)
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
    worse = np.count_nonzero(draw_groups(sums, samples, seed) <= 0)
    return float((1 + worse) / (1 + samples))


def _sums(values_by_user: ValuesByUser) -> NDArray[np.float64]:
    """Add up the values of each user that has any (users,), in the order of their names."""
    sums = np.array([np.sum(values) for _, values in sorted(values_by_user.items()) if len(values)], dtype=np.float64)
    if not sums.size:
        raise PolygraftError("there is no value to average: every user is without")
    if not np.isfinite(sums).all():
        raise PolygraftError("a value is not finite: means over users need numbers")
    return sums


def similarity(first: str, second: str) -> float:
    """ROUGE-L with characters for words and beta 1, on the text as it is written, in 0..1 and symmetrical.

    For captions of one to three words: there CIDEr-D and ROUGE-L over words are nearly always 0 or 1, and as both are
    computed of tokenized text, neither sees case, underscores or colons. Here ``dog_face`` is like ``Dog_face``, less
    like ``dog face`` and still less like ``cat``. Runs of spaces are one space; two empty texts are alike.
    """
    one, other = " ".join(first.split()), " ".join(second.split())
    if not one and not other:
        return 1.0
    return 2 * longest_common_subsequence(one, other) / (len(one) + len(other))


def counterfactual(
    captions: Mapping[str, Mapping[str, str]], truths: Mapping[str, Mapping[str, str]]
) -> dict[str, list[float]]:
    """Whether the caption made for a user is nearer to that user's truth than to another's (see `similarity`).

    Users of an image are compared with each other user whose truth is another text: the caption is nearer to their own
    (1), to the other's (0), or as near to both (0.5). Captions that are the same for all users have a mean of 0.5,
    whatever they say.

    Args:
        captions: by image and user, the caption made for the user.
        truths: by image and user, what the user wrote; the same images and users.

    Returns:
        By user the outcomes of all comparisons, for `bootstrap`; a user without any is left out.

    Raises:
        PolygraftError: images or users differ, or no image has two different truths.
    """
    if captions.keys() != truths.keys() or any(captions[id_].keys() != truths[id_].keys() for id_ in truths):
        raise PolygraftError("captions and truths differ in images or users: give both for each image and user")
    found: dict[str, list[float]] = {}
    for id_, wanted in truths.items():
        for user, value in _comparisons(captions[id_], wanted):
            found.setdefault(user, []).append(value)
    if not found:
        raise PolygraftError("no image has two users with different truths: there is nothing to compare")
    return found


def _comparisons(made: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for user, own_truth in wanted.items():
        own = similarity(made[user], own_truth)
        for truth in wanted.values():
            if truth.split() != own_truth.split():
                theirs = similarity(made[user], truth)
                yield user, 0.5 if own == theirs else float(own > theirs)
