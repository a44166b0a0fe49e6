"""Reranks sampled and retrieved captions by minimum Bayes risk (MBR) with CIDEr-D as the gain.

MBR (Kumar and Byrne, 2004): the caption that agrees most with the other samples. Past captions of similar images vote
and are candidates, too, as in consensus retrieval (Devlin et al., 2015, "Exploring Nearest Neighbor Approaches for
Image Captioning", section 3.2).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from multimodal.metrics import ptb
from multimodal.metrics.bleu_cider import CiderD
from multimodal.profile.profile import Context
from multimodal.profile.text_features import emoji_words

VOTERS = 20
"""Past captions that vote, those of the most similar images: so many of the user's own and so many borrowed ones."""

KNOWN = 300  # past captions at most by which rare words are distinguished from common ones

_PAST_WEIGHT = 2.0  # agreement with past captions against 1 with samples; 1, 3 and 6 were tried, too (docs/log.md)
_SHARPNESS = 5.0  # how fast a vote falls with the similarity of its image: exp(sharpness * (worth - best worth))
_DIGITS = 9  # scores that agree so far are equal: what is left is rounding
_LEAST_KNOWN = 100
_TIES = "_:-|#"  # what ties words into one token or stands between them: a space in its place lets each word count

Reals = NDArray[np.float64]


def rerank(drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> str:
    """Return the caption that `choose` chooses."""
    return (*drawn, *(one.text for one in shown.voters))[choose(drawn, shown, known)]


def choose(drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> int:
    """Return the number of the caption with the highest expected gain, the first of equals.

    No caption is a witness for itself, but another one with the same text is.

    Args:
        drawn: The captions sampled for the image, at least one.
        shown: The past captions that vote, all that it holds. Where the image of none is known, the samples alone
            vote: texts alone say how the user writes, and nothing of the image.
        known: Captions by which rare words are distinguished from common ones, such as all of the user's past.

    Returns:
        The index into ``drawn``, or after them into ``shown.voters``.
    """
    voters = shown.voters if any(one.similarity for one in shown.voters) else ()
    forms = [compared_form(text) for text in (*drawn, *(one.text for one in voters))]
    similar = similarities(forms, utility_of(tuple(known)))
    worth = np.array([one.worth for one in voters])
    votes = np.exp(_SHARPNESS * (worth - worth.max(initial=-np.inf)))
    by_samples = mean_similarity(similar, np.concatenate([np.ones(len(drawn)), np.zeros(len(votes))]))
    by_past = mean_similarity(similar, np.concatenate([np.zeros(len(drawn)), votes]))
    return int((by_samples + _PAST_WEIGHT * by_past).round(_DIGITS).argmax())


def similarities(candidates: Sequence[str], utility: CiderD) -> Reals:
    """Return CIDEr-D of each tokenized text (row) with each as the truth (column), (N, N)."""
    place = {text: at for at, text in enumerate(dict.fromkeys(candidates))}
    rows = [place[text] for text in candidates]
    return utility.pairwise(list(place))[np.ix_(rows, rows)]


def mean_similarity(similar: Reals, weights: Reals) -> Reals:
    """Return the weighted mean of each row of (N, N) but for the diagonal; 0 where no other text has weight (N,)."""
    others = 1.0 - np.eye(len(similar))
    total = others @ weights
    found: Reals = np.zeros(len(similar))
    np.divide((similar * others) @ weights, total, out=found, where=total > 0)
    return found.round(_DIGITS)


@lru_cache(maxsize=128)
def utility_of(known: tuple[str, ...]) -> CiderD:
    """Return CIDEr-D with the weights of the words of ``known``, which are the same for all images of a user."""
    # few captions say little of what is common: empty ones beside them leave all words nearly equal
    empty = [[""]] * max(0, _LEAST_KNOWN - len(known))
    return CiderD([[compared_form(text)] for text in known] + empty)


@lru_cache(maxsize=1 << 16)
def compared_form(text: str) -> str:
    """Return a text as it is compared: word by word, without case."""
    spaced = emoji_words(text).translate(str.maketrans(_TIES, " " * len(_TIES)))
    return ptb.tokenize([spaced])[0]
