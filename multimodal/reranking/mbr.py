"""Which of several captions the others agree with most: minimum-Bayes-risk choice, with CIDEr-D as utility."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backbone.errors import PolygraftError
from multimodal.metrics.bleu_cider import CiderD

_DIGITS = 9  # utilities that agree so far are equal: what is left is rounding


def consensus(candidates: Sequence[str], utility: CiderD, *, weights: Sequence[float] | None = None) -> int:
    """Choose the candidate with the highest expected utility, the first of equals (Kumar and Byrne 2004).

    Args:
        candidates: captions of one image, for CIDEr-D tokenized as its own were (see
            `multimodal.metrics.ptb.tokenizer`); they may be empty or occur twice, and a single one is chosen.
        utility: made once, so that words weigh the same for every image: ``CiderD([[text] for text in captions])``
            of the training captions, or ``CiderD(candidates_of_each_picture)``.
        weights: see `expected_utility`.

    Returns:
        The index of the candidate.

    Raises:
        PolygraftError: as `expected_utility`.
    """
    return int(expected_utility(candidates, utility, weights=weights).argmax())


def expected_utility(
    candidates: Sequence[str], utility: CiderD, *, weights: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Average the similarity of each candidate to all others, taken as the truth in turn.

    A candidate is no witness for itself, but another with the same text is. So a caption that was drawn often gains by
    it, and a long one gains nothing by the full marks that CIDEr-D gives to four words and more only.

    Args:
        candidates: as in `consensus`.
        utility: as in `consensus`.
        weights: how much each candidate counts as a truth, such as its probability; all the same if not given.

    Returns:
        For each candidate (N,) the weighted mean of the utility, with CIDEr-D in 0..10; 0 where no other candidate has
        weight.

    Raises:
        PolygraftError: there is no candidate, or the weights are not as many finite numbers of 0 or more, one above 0.
    """
    if not candidates:
        raise PolygraftError("there is no candidate to choose from: give at least one caption")
    return witnessed(similarities(candidates, utility), _checked(weights, len(candidates)))


def similarities(candidates: Sequence[str], utility: CiderD) -> NDArray[np.float64]:
    """Return the utility of each candidate (row) with each as the truth (column), (N, N)."""
    place = {text: at for at, text in enumerate(dict.fromkeys(candidates))}
    rows = [place[text] for text in candidates]
    return utility.pairwise(list(place))[np.ix_(rows, rows)]


def witnessed(similar: NDArray[np.float64], trust: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row of (N, N) but for the diagonal, weighed by ``trust`` (N,); see `expected_utility`."""
    others = 1.0 - np.eye(len(similar))
    total = others @ trust
    found: NDArray[np.float64] = np.zeros(len(similar))
    np.divide((similar * others) @ trust, total, out=found, where=total > 0)
    return found.round(_DIGITS)


def _checked(weights: Sequence[float] | None, size: int) -> NDArray[np.float64]:
    """Return one weight for each candidate (N,), the largest 1."""
    given: NDArray[np.float64] = np.ones(size) if weights is None else np.array(weights, dtype=np.float64)
    if given.shape != (size,):
        raise PolygraftError(f"there are {size} candidates but {len(given)} weights: give one weight for each")
    if not np.isfinite(given).all() or given.min() < 0 or not given.max() > 0:
        raise PolygraftError("the weights of candidates are finite numbers of 0 or more, and not all of them 0")
    largest: float = given.max()
    return given / largest
