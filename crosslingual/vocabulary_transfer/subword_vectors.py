"""From word vectors to a vector for each token of a tokenizer: by character n-grams, or by the words that hold it.

WECHSEL (Minixhofer et al., 2022), section 3.1, with the conventions of its package, version 0.0.4.

Shapes: V ids of a tokenizer, W words, a numbers in a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from backbone.errors import PolygraftError
from crosslingual.arrays import Array
from crosslingual.options import Route as Route
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.word_vectors import WordVectors

Mean = Literal["frequency", "plain"]
Reason = Literal["", "hole", "whitespace", "part of a character", "too short", "not in the vectors"]
_WORDS = 20_000  # words tokenized at once


@dataclass(frozen=True, kw_only=True)
class TokenVectors:
    """A vector for each id of a tokenizer."""

    vectors: Array  # (V, a) float32; zeros where there is none
    starts: Array  # (V,) bool: whether the token begins a word
    reasons: tuple[Reason, ...]  # why a token has no vector; empty where it has one


def token_vectors(
    vocabulary: Vocabulary,
    vectors: WordVectors,
    route: Route = "ngrams",
    *,
    max_words: int | None = None,
    mean: Mean = "frequency",
) -> TokenVectors:
    """Return vectors for all tokens.

    Args:
        vocabulary: Of any tokenizer.
        vectors: Of the tokenizer's language.
        route: ``ngrams``: the word vector of the token's text, spaces stripped, which needs vectors with n-grams;
            ``words``: the mean of the vectors of the words whose tokenization holds the token.
        max_words: For ``words``, how many of the most frequent words; None: all.
        mean: For ``words``: ``frequency``: weighted by frequency, as WECHSEL does it; ``plain``: every word alike, its
            capitalised spelling counted too, as OFA does it.

    Raises:
        PolygraftError: ``ngrams`` is asked of vectors that have none.
    """
    if route == "ngrams" and not vectors.has_ngrams:
        raise PolygraftError(
            f"{vectors.name} has no n-grams, so only whole words have vectors: ask for the route words"
        )
    by_token = (
        _by_ngrams(vocabulary.texts, vectors) if route == "ngrams" else _by_words(vocabulary, vectors, max_words, mean)
    )
    found = np.count_nonzero(by_token, axis=1) > 0
    shortest = vectors.shortest if route == "ngrams" else 0
    reasons: tuple[Reason, ...] = tuple(
        "" if there else _reason(piece, text, shortest)
        for there, piece, text in zip(found.tolist(), vocabulary.pieces, vocabulary.texts, strict=True)
    )
    return TokenVectors(vectors=by_token, starts=vocabulary.starts, reasons=reasons)


def _reason(piece: str | None, text: str, shortest: int) -> Reason:
    if piece is None:
        return "hole"
    if "\ufffd" in text:
        return "part of a character"
    if not text:
        return "whitespace"
    # the brackets that fastText puts around a word count as characters
    return "too short" if len(text) + 2 < shortest else "not in the vectors"


def _by_ngrams(texts: Sequence[str], vectors: WordVectors) -> Array:
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    rows = vectors.vectors(list(distinct))
    by_token: Array = rows[[distinct[text] for text in texts]]
    return by_token


def _by_words(vocabulary: Vocabulary, vectors: WordVectors, max_words: int | None, mean: Mean) -> Array:
    """Return means of word vectors: each word counts once for each of its tokenizations that holds the token.

    They are of the word alone and of the word behind a space; in a plain mean, of these and of the capitalised word,
    which count once together.
    """
    words = vectors.words[:max_words]
    counts = vectors.counts if mean == "frequency" else np.ones(len(words))
    size = len(vocabulary)
    total, mass = np.zeros((size, vectors.width)), np.zeros(size)
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS]
        tokens, owners = _holders(vocabulary, part, mean)
        weights = counts[start : start + len(part)][owners]
        holds = csr_array((weights, (tokens, owners)), shape=(size, len(part)))
        total += holds @ vectors.vectors(part).astype(np.float64)
        mass += np.bincount(tokens, weights=weights, minlength=size)
    means: Array = (total / np.where(mass > 0, mass, 1)[:, None]).astype(np.float32)
    return means


def _holders(vocabulary: Vocabulary, words: Sequence[str], mean: Mean) -> tuple[Array, Array]:
    """Return (tokens, words that hold them), both (n,), a pair for each time that a word counts."""
    readable = [word.encode("utf-8", "ignore").decode() for word in words]  # bytes that are no text
    spellings = [readable, [" " + word for word in readable]]
    if mean == "plain":
        spellings += [[word.capitalize() for word in readable], [" " + word.capitalize() for word in readable]]
    read = [vocabulary.read(texts) for texts in spellings]
    if mean == "plain":
        read = [[[token for ids in same for token in ids] for same in zip(*read, strict=True)]]
    tokens: list[int] = []
    owners: list[int] = []
    for owner, ids in ((owner, ids) for texts in read for owner, ids in enumerate(texts)):
        distinct = set(ids)
        tokens += distinct
        owners += [owner] * len(distinct)
    return np.array(tokens, dtype=np.int64), np.array(owners, dtype=np.int64)
