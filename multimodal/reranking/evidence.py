"""What speaks for each of several captions of a picture: others drawn, past captions, and how the user writes."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.metrics.bleu_cider import CiderD
from multimodal.metrics.ptb import tokenizer as ptb
from multimodal.profile.profile import Context, Flags
from multimodal.profile.style import Style, emoji_words
from multimodal.reranking.mbr import similarities, witnessed

NAMES = (
    "drawn", "made", "votes", "own", "own flat", "lent", "lent flat", "is lent", "likeness", "lent likeness", "trust",
    "shared", "lent shared", "style", "length", "own, past", "own flat, past", "lent, past", "lent flat, past",
    "is lent, past",
)  # fmt: skip
"""The columns of `evidence`."""

SHARPNESS = 5.0
"""How fast the votes of past captions fall with the likeness of their pictures, see `likeness_votes`."""

_GROWS = ("own", "own flat", "lent", "lent flat", "is lent")
"""Evidence that counts otherwise for a user with many past posts than for one with few."""
_MANY = 300  # past posts, from which on they are no more

_NEAR = 5  # past captions whose words count as those of pictures like this one
_WORDS = 10.0  # a long caption
_LEAST_KNOWN = 100
_TIES = "_:-|#"
"""What ties words into one token or stands between them: a blank in its place lets each word count."""

Reals = NDArray[np.float64]


def evidence(drawn: Sequence[str], shown: Context, known: Sequence[str]) -> Reals:
    """Return what speaks for each caption, of ``drawn`` and after them of ``shown.voters``, (N, `NAMES`).

    No caption is a witness for itself. The columns:

    - ``drawn``: the mean CIDEr-D with the captions drawn; ``made``: 1 for a caption drawn.
    - ``own``, ``lent``: the mean CIDEr-D with the user's past captions and with lent ones, weighed by how like their
      pictures are, and lent ones by the trust in who wrote them; ``flat``: however like they are. ``votes``: with all
      of them, weighed by what each is worth.
    - ``likeness``: of an own caption's picture, ``lent likeness`` and ``trust`` of a lent one's; 0 for others, and
      ``is lent`` 1 for the latter.
    - ``shared``, ``lent shared``: the share of captions of the five most similar pictures, own or lent, that hold one
      of its words, the mean over words.
    - ``style``: how far the caption is from how the user writes; ``length``: in tens of words.
    - ``..., past``: the same, times how many past posts there are, from 0 to 1 (300 or more) as the logarithm grows.

    Args:
        drawn: captions made for the picture.
        shown: the past captions, as many as it holds.
        known: captions by which rare words are told from common ones.
    """
    texts = [*drawn, *(one.text for one in shown.voters)]
    forms = [compared_form(text) for text in texts]
    similar = similarities(forms, utility_of(tuple(known)))
    likeness, trust, worth = _voters(shown, len(drawn))
    number = np.arange(len(texts))
    made, lent = number < len(drawn), number >= len(drawn) + len(shown.own)
    own = ~made & ~lent
    own_forms, lent_forms = forms[len(drawn) :][: len(shown.own)], forms[len(drawn) + len(shown.own) :]
    columns: dict[str, Any] = {
        "drawn": witnessed(similar, made.astype(np.float64)),
        "made": made,
        "votes": witnessed(similar, likeness_votes(worth, SHARPNESS, ~made)),
        "own": witnessed(similar, likeness_votes(likeness, SHARPNESS, own)),
        "own flat": witnessed(similar, own.astype(np.float64)),
        "lent": witnessed(similar, likeness_votes(likeness, SHARPNESS, lent) * trust),
        "lent flat": witnessed(similar, lent * trust),
        "is lent": lent,
        "likeness": own * likeness,
        "lent likeness": lent * likeness,
        "trust": lent * trust,
        "shared": _shares(forms, own_forms[:_NEAR]),
        "lent shared": _shares(forms, lent_forms[:_NEAR]),
        "style": [_distance(text, shown.style) for text in texts],
        "length": [len(form.split()) / _WORDS for form in forms],
    }
    past = np.log1p(min(shown.seen, _MANY)) / np.log1p(_MANY)
    columns |= {f"{name}, past": past * columns[name] for name in _GROWS}
    return np.column_stack([columns[name] for name in NAMES])


def _voters(shown: Context, drawn: int) -> tuple[Reals, Reals, Reals]:
    """Return likeness, trust and worth (N,) of the past captions, after as many zeros as there are captions drawn."""
    rows = [(0.0, 0.0, 0.0)] * drawn + [(one.likeness, one.trust, one.worth) for one in shown.voters]
    likeness, trust, worth = np.array(rows).reshape(-1, 3).T
    return likeness, trust, worth


def likeness_votes(likeness: Reals, sharpness: float, voting: Flags) -> Reals:
    """Return ``exp(sharpness * (likeness - best))``: 1 for the most similar picture that votes, 0 for who does not."""
    votes: Reals = np.zeros(len(likeness))
    votes[voting] = np.exp(sharpness * (likeness[voting] - likeness[voting].max(initial=-np.inf)))
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


def _shares(forms: Sequence[str], near: Sequence[str]) -> list[float]:
    """Return of each text the mean share, of the captions ``near``, that hold one of its words."""
    held = Counter(word for form in near for word in set(form.split()))
    return [sum(held[word] for word in form.split()) / max(1, len(form.split()) * len(near)) for form in forms]
