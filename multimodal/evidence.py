"""What speaks for each of several captions of a picture: others drawn, past captions, and how the user writes."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from multimodal import ptb
from multimodal.consensus import similarities, witnessed
from multimodal.ngrams import CiderD
from multimodal.profile import Context
from multimodal.style import Style, emoji_words

NAMES = ("drawn", "made", "votes", "flat", "likeness", "style", "length", "shared")
"""The columns of `evidence`."""

SHARPNESS = 5.0
"""How fast the votes of past captions fall with the likeness of their pictures, see `likeness_votes`."""

_NEAR = 5  # past captions whose words count as those of pictures like this one
_WORDS = 10.0  # a long caption
_LEAST_KNOWN = 100
_TIES = "_:-|#"
"""What ties words into one token or stands between them: a blank in its place lets each word count."""

Reals = NDArray[np.float64]


def evidence(drawn: Sequence[str], shown: Context, known: Sequence[str]) -> Reals:
    """Return what speaks for each caption, of ``drawn`` and after them of ``shown.posts``, (N, `NAMES`).

    The columns: ``drawn``, the mean CIDEr-D with the captions drawn; ``made``, 1 for a caption drawn; ``votes`` and
    ``flat``, the mean CIDEr-D with the past captions, weighed by how like their pictures are or not; ``likeness`` of a
    past caption's picture, 0 for a caption drawn; ``style``, how far the caption is from how the user writes;
    ``length``, in tens of words; ``shared``, the share of past captions of the five most similar pictures that hold one
    of its words, the mean over words. No caption is a witness for itself.

    Args:
        drawn: captions made for the picture.
        shown: the past captions, as many as it holds.
        known: captions by which rare words are told from common ones.
    """
    past = [text for text, _ in shown.posts]
    texts = [*drawn, *past]
    forms = [compared_form(text) for text in texts]
    similar = similarities(forms, utility_of(tuple(known)))
    likeness = np.array([cosine for _, cosine in shown.posts])
    made = np.arange(len(texts)) < len(drawn)
    near = Counter(word for form in forms[len(drawn) : len(drawn) + _NEAR] for word in set(form.split()))
    silent = np.zeros(len(drawn))  # of captions drawn, where past ones vote
    return np.column_stack(
        [
            witnessed(similar, made.astype(np.float64)),
            made,
            *(
                witnessed(similar, np.concatenate([silent, likeness_votes(likeness, sharpness)]))
                for sharpness in (SHARPNESS, 0.0)
            ),
            np.concatenate([silent, likeness]),
            [_distance(text, shown.style) for text in texts],
            [len(form.split()) / _WORDS for form in forms],
            _shares(forms, near, min(_NEAR, len(past))),
        ]
    )


def likeness_votes(likeness: Reals, sharpness: float) -> Reals:
    """Return ``exp(sharpness * (likeness - best))``: 1 for the most similar picture, less for others."""
    votes: Reals = np.exp(sharpness * (likeness - likeness.max(initial=-np.inf)))
    return votes


@lru_cache(maxsize=128)
def utility_of(known: tuple[str, ...]) -> CiderD:
    """Return CIDEr-D with the weights of the words of ``known``, which are the same for all pictures of a user."""
    # few captions say little of what is common: empty ones beside them leave all words nearly equal
    blanks = [[""]] * max(0, _LEAST_KNOWN - len(known))
    return CiderD([[compared_form(text)] for text in known] + blanks)


@lru_cache(maxsize=1 << 16)
def compared_form(text: str) -> str:
    """Return a text as it is compared: word by word, without case."""
    spaced = emoji_words(text).translate(str.maketrans(_TIES, " " * len(_TIES)))
    return ptb.tokenize([spaced])[0]


@lru_cache(maxsize=1 << 16)
def _style(text: str) -> tuple[float, ...]:
    return tuple(Style.of([text]).as_vector())


def _distance(text: str, style: Sequence[float]) -> float:
    return float(np.abs(np.subtract(_style(text), style)).mean())


def _shares(forms: Sequence[str], held: Counter[str], count: int) -> list[float]:
    """Return of each text the mean share, of ``count`` captions, that hold one of its words."""
    if not count:
        return [0.0] * len(forms)
    return [sum(held[word] for word in form.split()) / max(1, len(form.split())) / count for form in forms]
