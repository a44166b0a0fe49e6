"""Rows made of the source tokens whose word vectors are nearest: WECHSEL, and OFA, its relative of many languages.

Shapes: S source ids, T target ids, a numbers in a vector.
"""

from typing import Literal

import numpy as np

from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.knn import nearest, softmax
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing, join
from crosslingual.vocabulary_transfer.overlap import copies, overlap
from crosslingual.vocabulary_transfer.subword_vectors import TokenVectors


def wechsel(
    source: TokenVectors,
    target: TokenVectors,
    *,
    neighbors: int = 10,
    temperature: float = 0.1,
    origin: Literal["wechsel", "ofa"] = "wechsel",
) -> Mixing:
    """Return WECHSEL's rows (Minixhofer et al., 2022, equations 3 and 4): a softmax over the most similar tokens.

    A target token without a vector has no row. Source tokens without one take part with similarity 0, as in the
    authors' package.

    Args:
        source: Vectors of the source's tokens, already mapped into the target's space.
        target: Vectors of the target's tokens.
        neighbors: Source tokens in each row; with fewer tokens, all.
        temperature: Of the softmax, above 0.
        origin: What the rows are called.
    """
    rows = np.flatnonzero(target.vectors.any(axis=1))
    allowed = np.array([reason != "hole" for reason in source.reasons])
    shape = (len(target.vectors), len(source.vectors))
    if not len(rows) or not allowed.any():
        return Mixing.of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), shape, origin)
    near = nearest(
        target.vectors[rows], source.vectors, neighbors,
        target_starts=target.starts[rows], source_starts=source.starts, allowed=allowed,
    )  # fmt: skip
    weights = softmax(near.similarities, temperature)
    return Mixing.of(np.repeat(rows, near.ids.shape[1]), near.ids.ravel(), weights.ravel(), shape, origin)


def ofa(
    source: Vocabulary,
    target: Vocabulary,
    vectors: tuple[TokenVectors, TokenVectors],
    *,
    neighbors: int = 10,
    temperature: float = 0.1,
) -> Mixing:
    """Return OFA's rows (Liu et al., 2024, section 3): shared tokens copied, else in lower case; others as WECHSEL's.

    Of the source matrix as it is; the paper's factorised embedding, a smaller model of its own, is not made.

    ``vectors`` are of the source's and of the target's tokens, plain means of words, both in one space.
    """
    alike = Mixing.copied(overlap(source, target, fuzzy=True), (len(target), len(source)), "identical")
    mixed = wechsel(*vectors, neighbors=neighbors, temperature=temperature, origin="ofa")
    return join([copies(source, target), alike, mixed])
