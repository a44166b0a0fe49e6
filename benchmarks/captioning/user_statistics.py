"""Comparisons of captioners over users: ratios, p-values, and whether captions are nearer to their own user's truth."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from multimodal.metrics.caption import longest_common_subsequence
from multimodal.metrics.personalization import Interval, draw_groups

ValuesByUser = Mapping[str, Sequence[float]]


def ratio_interval(ours: ValuesByUser, baseline: ValuesByUser, *, samples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean of our values over the mean of the baseline's, and its 95 % interval, drawing whole users.

    A drawn set in which the baseline is 0 everywhere counts as an infinite ratio, or not at all if ours is 0 there too.

    Args:
        ours: The values of each image by user, 0 or more, such as CIDEr-D; users without any are passed over.
        baseline: The values of the same images, in the same order; their mean is above 0.
        samples: The samples that are drawn with replacement, each of as many users as there are.
        seed: The seed of the draws.
    """
    sums = np.stack([_sums(ours), _sums(baseline)], axis=1)
    above, below = sums.sum(axis=0)
    drawn = draw_groups(sums, samples, seed)
    drawn = drawn[drawn.any(axis=1)]
    ratios = np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.inf), where=drawn[:, 1] > 0)
    # a sample itself and not a mean of two: between a number and infinity there is none
    low, high = np.quantile(ratios, [0.025, 0.975], method="inverted_cdf")
    return Interval(float(above / below), float(low), float(high))


def paired_p_value(differences_by_user: ValuesByUser, *, samples: int = 2000, seed: int = 0) -> float:
    """Return the share of bootstrap samples in which the mean difference is 0 or less, drawing whole users.

    A one-sided p-value of being better. One is added above and below the line (Davison and Hinkley 1997, section 4.2),
    so it is never 0. With fewer than some twenty users it comes out too small.

    Args:
        differences_by_user: Our value less the other's, image by image, of two users or more.
        samples: The samples that are drawn with replacement, each of as many users as there are.
        seed: The seed of the draws.
    """
    worse = np.count_nonzero(draw_groups(_sums(differences_by_user), samples, seed) <= 0)
    return float((1 + worse) / (1 + samples))


def _sums(values_by_user: ValuesByUser) -> NDArray[np.float64]:
    # in the order of the users' names, so that the order in which they come decides nothing
    return np.array([np.sum(values) for _, values in sorted(values_by_user.items()) if len(values)], dtype=np.float64)


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
    """Return by user whether captions made for them are nearer to their truth than to another's (see `similarity`).

    Users of an image are compared with each other user whose truth is another text: the caption is nearer to their own
    (1), to the other's (0), or as near to both (0.5). Captions that are the same for all users have a mean of 0.5,
    whatever they say.

    Args:
        captions: The caption made for the user, by image and user.
        truths: The caption that the user wrote, by the same images and users.
    """
    found: dict[str, list[float]] = {}
    for id_, wanted in truths.items():
        for user, own_truth in wanted.items():
            own = similarity(captions[id_][user], own_truth)
            for truth in wanted.values():
                if truth.split() != own_truth.split():
                    theirs = similarity(captions[id_][user], truth)
                    found.setdefault(user, []).append(0.5 if own == theirs else float(own > theirs))
    return found
