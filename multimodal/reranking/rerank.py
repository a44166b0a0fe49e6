"""Reranks sampled and retrieved captions by minimum Bayes risk (MBR) with CIDEr-D as the gain.

MBR (Kumar and Byrne, 2004): the caption that agrees most with the other samples. Past captions of similar images vote
and are candidates, too, as in consensus retrieval (Devlin et al., 2015, "Exploring Nearest Neighbor Approaches for
Image Captioning", section 3.2). How much each kind of evidence counts is learned by `benchmarks.captioning.choice`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbone.errors import PolygraftError
from multimodal.metrics.bleu_cider import CiderD
from multimodal.metrics.ptb import tokenizer as ptb
from multimodal.profile.profile import Context, Flags
from multimodal.profile.style import Style, emoji_words

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


NAMES = (
    "drawn", "made", "votes", "own", "own flat", "borrowed", "borrowed flat", "is borrowed", "similarity",
    "borrowed similarity", "trust", "shared", "borrowed shared", "style", "length", "own, past", "own flat, past",
    "borrowed, past", "borrowed flat, past", "is borrowed, past",
)  # fmt: skip
"""The columns of `evidence`."""

SHARPNESS = 5.0
"""How fast the votes of past captions fall with the similarity of their images, see `similarity_votes`."""

_GROWS = ("own", "own flat", "borrowed", "borrowed flat", "is borrowed")
"""Evidence that counts otherwise for a user with many past posts than for one with few."""

_MANY = 300  # past posts, from which on they are no more

_NEAR = 5  # past captions whose words count as those of images like this one

_WORDS = 10.0  # a long caption

_LEAST_KNOWN = 100

_TIES = "_:-|#"
"""What ties words into one token or stands between them: a space in its place lets each word count."""

Reals = NDArray[np.float64]


def evidence(drawn: Sequence[str], shown: Context, known: Sequence[str]) -> Reals:
    """Return what speaks for each caption, of ``drawn`` and after them of ``shown.voters``, (N, `NAMES`).

    No caption is a witness for itself. The columns:

    - ``drawn``: the mean CIDEr-D with the captions drawn; ``made``: 1 for a caption drawn.
    - ``own``, ``borrowed``: the mean CIDEr-D with the user's past captions and with borrowed ones, weighed by how like
      their images are, and borrowed ones by the trust in who wrote them; ``flat``: however like they are. ``votes``:
      with all of them, weighed by what each is worth.
    - ``similarity``: of an own caption's image, ``borrowed similarity`` and ``trust`` of a borrowed one's; 0 for
    others, and
      ``is borrowed`` 1 for the latter.
    - ``shared``, ``borrowed shared``: the share of captions of the five most similar images, own or borrowed, that hold
      one of its words, the mean over words.
    - ``style``: how far the caption is from how the user writes; ``length``: in tens of words.
    - ``..., past``: the same, times how many past posts there are, from 0 to 1 (300 or more) as the logarithm grows.

    Args:
        drawn: captions made for the image.
        shown: the past captions, as many as it holds.
        known: captions by which rare words are distinguished from common ones.
    """
    texts = [*drawn, *(one.text for one in shown.voters)]
    forms = [compared_form(text) for text in texts]
    similar = similarities(forms, utility_of(tuple(known)))
    similarity, trust, worth = _voters(shown, len(drawn))
    number = np.arange(len(texts))
    made, borrowed = number < len(drawn), number >= len(drawn) + len(shown.own)
    own = ~made & ~borrowed
    own_forms, borrowed_forms = forms[len(drawn) :][: len(shown.own)], forms[len(drawn) + len(shown.own) :]
    columns: dict[str, Any] = {
        "drawn": witnessed(similar, made.astype(np.float64)),
        "made": made,
        "votes": witnessed(similar, similarity_votes(worth, SHARPNESS, ~made)),
        "own": witnessed(similar, similarity_votes(similarity, SHARPNESS, own)),
        "own flat": witnessed(similar, own.astype(np.float64)),
        "borrowed": witnessed(similar, similarity_votes(similarity, SHARPNESS, borrowed) * trust),
        "borrowed flat": witnessed(similar, borrowed * trust),
        "is borrowed": borrowed,
        "similarity": own * similarity,
        "borrowed similarity": borrowed * similarity,
        "trust": borrowed * trust,
        "shared": _shares(forms, own_forms[:_NEAR]),
        "borrowed shared": _shares(forms, borrowed_forms[:_NEAR]),
        "style": [_distance(text, shown.style) for text in texts],
        "length": [len(form.split()) / _WORDS for form in forms],
    }
    past = np.log1p(min(shown.seen, _MANY)) / np.log1p(_MANY)
    columns |= {f"{name}, past": past * columns[name] for name in _GROWS}
    return np.column_stack([columns[name] for name in NAMES])


def _voters(shown: Context, drawn: int) -> tuple[Reals, Reals, Reals]:
    """Return similarity, trust and worth (N,) of the past captions, after as many zeros as there are captions drawn."""
    rows = [(0.0, 0.0, 0.0)] * drawn + [(one.similarity, one.trust, one.worth) for one in shown.voters]
    similarity, trust, worth = np.array(rows).reshape(-1, 3).T
    return similarity, trust, worth


def similarity_votes(similarity: Reals, sharpness: float, voting: Flags) -> Reals:
    """Return ``exp(sharpness * (similarity - best))``: 1 for the most similar image that votes, 0 for who does not."""
    votes: Reals = np.zeros(len(similarity))
    votes[voting] = np.exp(sharpness * (similarity[voting] - similarity[voting].max(initial=-np.inf)))
    return votes


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


@lru_cache(maxsize=1 << 16)
def _style(text: str) -> tuple[float, ...]:
    return tuple(Style.of([text]).as_vector())


def _distance(text: str, style: Sequence[float]) -> float:
    return float(np.abs(np.subtract(_style(text), style)).mean())


def _shares(forms: Sequence[str], near: Sequence[str]) -> list[float]:
    """Return of each text the mean share, of the captions ``near``, that hold one of its words."""
    held = Counter(word for form in near for word in set(form.split()))
    return [sum(held[word] for word in form.split()) / max(1, len(form.split()) * len(near)) for form in forms]


VOTERS = 20
"""Past captions that vote, those of the most similar images: so many of the user's own and so many borrowed ones."""

KNOWN = 300
"""Past captions at most by which rare words are distinguished from common ones."""

VOTES: Mapping[str, float] = {"drawn": 1.0, "votes": 2.0}
"""Agreement alone: past captions have two votes in three."""

LEARNED: Mapping[str, float] = {
    "drawn": 8.0, "made": 6.0, "votes": 4.56, "own": -6.45, "own flat": 2.48, "borrowed": 5.84, "borrowed flat": 5.36,
    "is borrowed": -0.9, "similarity": 21.79, "borrowed similarity": 26.22, "trust": -0.43, "shared": 8.77,
    "borrowed shared": 4.92,
    "style": -85.56, "length": 12.84, "own, past": 5.53, "own flat, past": 20.79, "borrowed, past": 1.53,
    "borrowed flat, past": -3.05, "is borrowed, past": -3.38,
}  # fmt: skip
"""Learned from training posts of the benchmark's voices, those of captions drawn chosen on its validation posts:
`python -m benchmarks.personal --sets voices --parts choice`."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How captions are agreed on."""

    weights: Mapping[str, float] = field(default_factory=lambda: LEARNED)
    """Of the columns of `multimodal.reranking.rerank`; those that are not there count for nothing."""

    def choose(self, drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> int:
        """Return the number of the caption that is chosen: of ``drawn``, or after them of ``shown.voters``.

        Where no past caption is shown, or none whose image is known, it is the one drawn that the others agree with
        most: texts alone say how the user writes, and nothing of the image.

        Args:
            drawn: captions made for the image.
            shown: the past captions that vote, as many as it holds, and how the user writes.
            known: captions by which rare words are distinguished from common ones, such as all of the user's past.
        """
        if not any(one.similarity for one in shown.voters):
            return consensus([compared_form(text) for text in drawn], utility_of(tuple(known)))
        weights = np.array([self.weights.get(name, 0.0) for name in NAMES])
        return int((evidence(drawn, shown, known) @ weights).round(_DIGITS).argmax())

    def pick(self, drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> str:
        """Return the caption that `choose` chooses."""
        return (*drawn, *(one.text for one in shown.voters))[self.choose(drawn, shown, known)]
