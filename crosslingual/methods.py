"""The methods that give a new vocabulary its first embeddings, each as rows of a mixing.

Shapes: S source ids, T target ids, a numbers in a vector.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.mixing import Mixing
from crosslingual.neighbours import nearest, softmax, sparsemax
from crosslingual.ngrams import Array
from crosslingual.overlap import Match, overlap
from crosslingual.subwords import TokenVectors, pieces_of, surface_texts, word_starts
from crosslingual.vectors import WordVectors

_BLOCK = 256  # rows of a dense matrix of similarities


def wechsel(source: TokenVectors, target: TokenVectors, *, neighbors: int = 10, temperature: float = 0.1) -> Mixing:
    """Return WECHSEL's rows (Minixhofer et al., 2022, equations 3 and 4): a softmax over the most similar tokens.

    A target token without a vector has no row. Source tokens without one take part with similarity 0, as in the
    authors' package.

    Args:
        source: vectors of the source's tokens, already mapped into the target's space.
        target: vectors of the target's tokens.
        neighbors: source tokens in each row; with fewer tokens, all.
        temperature: of the softmax, above 0.
    """
    if neighbors < 1 or not temperature > 0:
        raise PolygraftError(f"neighbors {neighbors} and temperature {temperature} must be above 0")
    rows = np.flatnonzero(target.vectors.any(axis=1))
    shape = (len(target.vectors), len(source.vectors))
    if not len(rows):
        return Mixing.of(rows, rows, np.empty(0), shape, "wechsel")
    found = nearest(
        target.vectors[rows], source.vectors, neighbors,
        target_starts=target.starts[rows], source_starts=source.starts,
        allowed=np.array([reason != "hole" for reason in source.reasons]),
    )  # fmt: skip
    weights = softmax(found.similarities, temperature)
    return Mixing.of(np.repeat(rows, found.ids.shape[1]), found.ids.ravel(), weights.ravel(), shape, "wechsel")


def token_texts(tokenizer: Any, texts: Iterable[str]) -> Iterator[str]:
    """Yield texts as tokens with blanks between: what FOCUS trains its auxiliary vectors on."""
    for text in texts:
        yield " ".join(tokenizer.tokenize(text))


def own_vectors(tokenizer: Any, vectors: WordVectors) -> Array:
    """Return the vectors of tokens that are words of ``vectors``, (V, a); zeros for those too rare to be.

    Args:
        tokenizer: the target's.
        vectors: trained on what `token_texts` yields.
    """
    pieces = pieces_of(tokenizer)
    found = np.zeros((len(pieces), vectors.width), dtype=np.float32)
    rows = [number for number, piece in enumerate(pieces) if piece is not None and piece in vectors.index]
    found[rows] = vectors.vectors([pieces[row] or "" for row in rows])
    return found


def focus(source: Any, target: Any, vectors: Array, *, match: Match = "exact") -> Mixing:
    """Return FOCUS's rows (Dobler and de Melo, 2023): shared tokens copied, others mixed from these by sparsemax.

    Args:
        source: its tokenizer.
        target: its tokenizer.
        vectors: (T, a) auxiliary vectors of the target's tokens, of `own_vectors` or word vectors' n-grams; zeros where
            there is none.
        match: which tokens count as shared.
    """
    shared = overlap(source, target, match)
    pieces = pieces_of(target)
    shape = (len(pieces), len(pieces_of(source)))
    there = np.array(list(shared.values()), dtype=np.int64)
    here = np.array(list(shared), dtype=np.int64)
    copied = Mixing.of(here, there, np.ones(len(here)), shape, "identical")
    usable = np.count_nonzero(vectors, axis=1) > 0
    anchors = usable[here]
    is_new = usable & ~copied.known & np.array([piece is not None for piece in pieces])
    new = np.flatnonzero(is_new)
    if not anchors.any():
        return copied
    rows, columns, weights = [], [], []
    for start in range(0, len(new), _BLOCK):
        block = new[start : start + _BLOCK]
        mixed = sparsemax(_cosines(vectors[block], vectors[here[anchors]]))
        row, column = np.nonzero(mixed)
        rows.append(block[row])
        columns.append(there[anchors][column])
        weights.append(mixed[row, column])
    empty = [np.empty(0, dtype=np.int64)]
    return copied.filled(
        Mixing.of(
            np.concatenate(empty + rows),
            np.concatenate(empty + columns),
            np.concatenate(empty + weights),
            shape,
            "focus",
        )
    )


def _cosines(x: Array, y: Array) -> Array:
    x, y = x.astype(np.float64), y.astype(np.float64)
    cosines: Array = (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)
    return cosines


def fvt(source: Any, target: Any) -> Mixing:
    """Return each token as the mean of the source's tokens of its text (Gee et al., 2022, "Fast Vocabulary Transfer").

    A token that begins a word is read behind a blank. Parts of characters, and what the source can only call unknown,
    have no row.
    """
    pieces = pieces_of(target)
    texts, starts = surface_texts(target, pieces), word_starts(pieces)
    special = set(target.all_special_tokens)
    rows = [
        number
        for number, (piece, text) in enumerate(zip(pieces, texts, strict=True))
        if piece is not None and text and "\ufffd" not in text and piece not in special
    ]
    size = len(pieces_of(source))
    shape = (len(pieces), size)
    if not rows:
        return Mixing.of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), shape, "fvt")
    read = source([" " * bool(starts[row]) + texts[row] for row in rows], add_special_tokens=False, verbose=False)
    known = [[number for number in ids if number != source.unk_token_id] for ids in read["input_ids"]]
    lengths = np.array([len(ids) for ids in known])
    owners = np.repeat(np.array(rows, dtype=np.int64), lengths)
    sources = np.array([number for ids in known for number in ids], dtype=np.int64)
    return Mixing.of(owners, sources, np.repeat(1 / np.maximum(lengths, 1), lengths), shape, "fvt")
