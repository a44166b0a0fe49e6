"""Rows made of the tokens that both vocabularies have: FOCUS, with its auxiliary vectors, and CLP-Transfer.

Shapes: S source ids, T target ids, n anchors, a numbers in a vector.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backbone.errors import PolygraftError
from backbone.training.logger import watched
from crosslingual.arrays import Array
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.word_vectors import WordVectors
from crosslingual.vocabulary_transfer.knn import sparsemax
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing, Origin
from crosslingual.vocabulary_transfer.overlap import copies, overlap

_BLOCK = 256  # rows of a dense matrix of similarities
_WEIGHTS = 50_000_000  # of CLP's dense rows, 600 MB of them


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """Tokens of both vocabularies, and those to be made of them."""

    copied: Mixing  # the rows of all shared tokens
    here: Array  # (n,) target ids of the shared tokens that have a vector
    there: Array  # (n,) their source ids
    new: Array  # target ids of all other tokens that have a vector

    @classmethod
    def of(cls, copied: Mixing, target: Vocabulary, vectors: Array) -> "Anchors":
        """Find the anchors.

        Raises:
            PolygraftError: There are fewer vectors than tokens.
        """
        if vectors.ndim != 2 or len(vectors) < len(target):
            found = " x ".join(map(str, vectors.shape))
            raise PolygraftError(
                f"vectors of shape {found} are not one for each of the new tokenizer's {len(target)} tokens: "
                "take them from a model with this tokenizer"
            )
        usable = vectors[: len(target)].any(axis=1)
        here = np.flatnonzero(usable & copied.known)
        return cls(
            copied=copied,
            here=here,
            there=copied.matrix.indices[copied.matrix.indptr[here]].astype(np.int64),
            new=np.flatnonzero(usable & ~copied.known & target.present),
        )

    def filled(self, parts: list[tuple[Array, Array, Array]], origin: Origin) -> Mixing:
        """Return the shared rows and the new ones, given as (target ids, anchors, weights)."""
        empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        rows, anchors, weights = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
        return self.copied.filled(Mixing.of(rows, self.there[anchors], weights, self.copied.matrix.shape, origin))


def focus(source: Vocabulary, target: Vocabulary, vectors: Array) -> Mixing:
    """Return FOCUS's rows (Dobler and de Melo, 2023): shared tokens copied, others mixed from these by sparsemax.

    ``vectors`` are auxiliary ones of the target's tokens, (T, a), of `own_vectors` or of word vectors' n-grams; zeros
    where there is none.
    """
    same = overlap(source, target)
    anchors = Anchors.of(Mixing.copied(same, (len(target), len(source)), "identical"), target, vectors)
    parts = []
    if len(anchors.here):
        for block in watched(_blocks(anchors.new), "focus"):
            mixed = sparsemax(_cosines(vectors[block], vectors[anchors.here]))
            rows, columns = np.nonzero(mixed)
            parts.append((block[rows], columns, mixed[rows, columns]))
    return anchors.filled(parts, "focus")


def clp(source: Vocabulary, target: Vocabulary, donor: Array) -> Mixing:
    """Return CLP-Transfer's rows (Ostendorff and Rehm, 2023, section 3.2): the mean of all shared tokens by cosine.

    Weights are cosines divided by their plain sum, negative ones kept; a token whose cosines have no positive sum has
    no row. Where all weights would be more than 50 million, each row has those of its most similar anchors alone, as
    many as there is room for.

    ``donor`` is the input embedding of a helper model with the new tokenizer, (T, a).
    """
    anchors = Anchors.of(copies(source, target), target, donor)
    most = min(len(anchors.here), max(1, _WEIGHTS // max(1, len(anchors.new))))
    parts = []
    if len(anchors.here):
        for block in watched(_blocks(anchors.new), "clp"):
            cosines = _cosines(donor[block], donor[anchors.here])
            chosen = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
            kept = np.take_along_axis(cosines, chosen, axis=1)
            sums = kept.sum(axis=1, keepdims=True)
            good = sums[:, 0] > 0
            rows = np.repeat(block[good], most)
            parts.append((rows, chosen[good].ravel(), (kept[good] / sums[good]).ravel()))
    return anchors.filled(parts, "clp")


def _blocks(rows: Array) -> list[Array]:
    return [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]


def _cosines(x: Array, y: Array) -> Array:
    x, y = x.astype(np.float64), y.astype(np.float64)
    cosines: Array = (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)
    return cosines


def token_texts(tokenizer: Any, texts: Iterable[str]) -> Iterator[str]:
    """Yield texts as tokens with spaces between: what FOCUS trains its auxiliary vectors on."""
    for text in texts:
        yield " ".join(tokenizer.tokenize(text))


def own_vectors(tokenizer: Any, vectors: WordVectors) -> Array:
    """Return the vectors of tokens that are words of ``vectors``, (T, a); zeros for those too rare to be.

    The vectors are trained on what `token_texts` yields with the same tokenizer.
    """
    numbers: dict[str, int] = tokenizer.get_vocab()
    found = np.zeros((max(numbers.values()) + 1, vectors.width), dtype=np.float32)
    known = [piece for piece in numbers if piece in vectors.index]
    found[[numbers[piece] for piece in known]] = vectors.vectors(known)
    return found
