"""From word vectors to a vector for each token of a tokenizer: by character n-grams, or by the words that hold it.

WECHSEL (Minixhofer et al., 2022), section 3.1, with the conventions of its package, version 0.0.4.

Shapes: V ids of a tokenizer, W words, a numbers in a vector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array

from backbone.errors import PolygraftError
from crosslingual.ngrams import Array
from crosslingual.vectors import WordVectors

Route = Literal["ngrams", "words"]
Reason = Literal["", "hole", "blank", "part of a character", "too short", "not in the vectors"]

_WORDS = 20_000  # words tokenized at once
_MARKS = ("Ġ", "▁")  # how a leading blank is written: by byte-level BPE, by sentencepiece


@dataclass(frozen=True, kw_only=True)
class TokenVectors:
    """A vector for each id of a tokenizer."""

    vectors: Array
    """(V, a) float32; zeros where there is none."""
    starts: Array
    """(V,) bool: whether the token begins a word."""
    reasons: tuple[Reason, ...]
    """Why a token has no vector; empty where it has one."""


def token_vectors(
    tokenizer: Any, vectors: WordVectors, route: Route = "ngrams", *, max_words: int | None = None
) -> TokenVectors:
    """Return vectors for all tokens.

    Args:
        tokenizer: any tokenizer of transformers, fast or sentencepiece's.
        vectors: of the tokenizer's language.
        route: ``ngrams``: the word vector of the token's text, blanks stripped, which needs vectors with n-grams;
            ``words``: the mean of the vectors of the words whose tokenization holds the token, weighted by frequency.
        max_words: for ``words``, how many of the most frequent words; None: all.

    Raises:
        PolygraftError: ``ngrams`` is asked of vectors that have none.
    """
    if route == "ngrams" and not vectors.has_ngrams:
        raise PolygraftError(
            f"{vectors.name} has no n-grams, so only whole words have vectors: ask for the route words"
        )
    pieces = pieces_of(tokenizer)
    texts = surface_texts(tokenizer, pieces)
    by_token = (
        _by_ngrams(texts, vectors) if route == "ngrams" else _by_words(tokenizer, vectors, len(pieces), max_words)
    )
    found = np.count_nonzero(by_token, axis=1) > 0
    shortest = vectors.shortest if route == "ngrams" else 0
    reasons: tuple[Reason, ...] = tuple(
        "" if there else _reason(piece, text, shortest)
        for there, piece, text in zip(found.tolist(), pieces, texts, strict=True)
    )
    return TokenVectors(vectors=by_token, starts=word_starts(pieces), reasons=reasons)


def pieces_of(tokenizer: Any) -> list[str | None]:
    """Return the tokens by id, None at ids that no token has, (V,); V is one more than the highest id."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if not vocabulary:
        raise PolygraftError("the tokenizer has no token: train or choose another")
    pieces: list[str | None] = [None] * (max(vocabulary.values()) + 1)
    for piece, number in vocabulary.items():
        pieces[number] = piece
    return pieces


def surface_texts(tokenizer: Any, pieces: Sequence[str | None]) -> list[str]:
    """Return the text of each id decoded alone, blanks at its ends stripped; empty at holes, (V,)."""
    present = [number for number, piece in enumerate(pieces) if piece is not None]
    decoded = tokenizer.batch_decode([[number] for number in present])
    texts = [""] * len(pieces)
    for number, text in zip(present, decoded, strict=True):
        texts[number] = text.strip()
    return texts


def word_starts(pieces: Sequence[str | None]) -> Array:
    """Return whether each token begins a word, (V,) bool.

    Told by what most of the vocabulary does: a mark for a leading blank, or ``##`` at what does not begin a word.
    """
    named = [piece or "" for piece in pieces]
    marked = np.array([piece.startswith(_MARKS) for piece in named])
    inner = np.array([piece.startswith("##") for piece in named])
    starts: Array = ~inner if inner.sum() > marked.sum() else marked
    return starts


def _reason(piece: str | None, text: str, shortest: int) -> Reason:
    if piece is None:
        return "hole"
    if "\ufffd" in text:
        return "part of a character"
    if not text:
        return "blank"
    # the brackets that fastText puts around a word count as characters
    return "too short" if len(text) + 2 < shortest else "not in the vectors"


def _by_ngrams(texts: Sequence[str], vectors: WordVectors) -> Array:
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    rows = vectors.vectors(list(distinct))
    by_token: Array = rows[[distinct[text] for text in texts]]
    return by_token


def _by_words(tokenizer: Any, vectors: WordVectors, size: int, max_words: int | None) -> Array:
    """Return means of word vectors: each word counts once for each of its two tokenizations that holds the token.

    The two are of the word alone and of the word behind a blank.
    """
    words = vectors.words[:max_words]
    counts = vectors.counts
    total, mass = np.zeros((size, vectors.width)), np.zeros(size)
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS]
        tokens, owners = _holders(tokenizer, part)
        weights = counts[start : start + len(part)][owners]
        holds = csr_array((weights, (tokens, owners)), shape=(size, len(part)))
        total += holds @ vectors.vectors(part).astype(np.float64)
        mass += np.bincount(tokens, weights=weights, minlength=size)
    mean: Array = (total / np.where(mass > 0, mass, 1)[:, None]).astype(np.float32)
    return mean


def _holders(tokenizer: Any, words: Sequence[str]) -> tuple[Array, Array]:
    """Return (tokens, words that hold them), both (n,), a pair for each distinct token of each tokenization."""
    readable = [word.encode("utf-8", "ignore").decode() for word in words]  # bytes that are no text
    tokens: list[int] = []
    owners: list[int] = []
    for owner, ids in _tokenizations(tokenizer, readable):
        distinct = set(ids)
        tokens += distinct
        owners += [owner] * len(distinct)
    return np.array(tokens, dtype=np.int64), np.array(owners, dtype=np.int64)


def _tokenizations(tokenizer: Any, words: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
    for texts in (list(words), [" " + word for word in words]):
        yield from enumerate(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])
