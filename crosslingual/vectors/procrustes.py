"""Orthogonal Procrustes alignment of two vector spaces from word pairs, and its accuracy.

Shapes: n matches, a width of the source vectors, b width of the target vectors, S and T words.
"""

from dataclasses import dataclass, replace

import numpy as np

from crosslingual.arrays import Array
from crosslingual.options import AlignmentOptions as AlignmentOptions
from crosslingual.vectors.dictionary import Matches

_BLOCK = 1024  # rows whose similarities are in memory at once
_NEIGHBOURS = 10  # of the local scaling (CSLS)


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A map of source vectors into the target's space."""

    rotation: Array  # (a, b); its rows or columns, whichever are fewer, are orthonormal
    source_mean: Array  # (a,) subtracted from source vectors; zeros without centring
    target_mean: Array  # (b,)
    normalise: bool = False

    def source(self, vectors: Array) -> Array:
        """Map source vectors into the common space: (n, a) -> (n, b). Zero vectors stay zero."""
        return self._prepared(vectors, self.source_mean) @ self.rotation

    def target(self, vectors: Array) -> Array:
        """Return target vectors as they are in the common space: (n, b) -> (n, b). Zero vectors stay zero."""
        return self._prepared(vectors, self.target_mean)

    def _prepared(self, vectors: Array, mean: Array) -> Array:
        zero = ~vectors.any(axis=1)
        prepared: Array = (unit(vectors) if self.normalise else vectors) - mean
        prepared[zero] = 0
        return prepared


def align(source: Array, target: Array, matches: Matches, options: AlignmentOptions | None = None) -> Alignment:
    """Return the orthogonal W with the least ||X W - Y||, X and Y being the matched vectors.

    ``W = U V'`` with ``U S V' = SVD(X'Y)`` (Schönemann, 1966), as WECHSEL computes it. Where the spaces have different
    widths, U and V are cut to the smaller one: a narrower source is laid into the target's space without distortion, a
    wider one keeps the directions that vary most together with the target's.

    Args:
        source: (S, a) vectors; row numbers are those of ``matches``.
        target: (T, b) vectors.
        matches: Which rows mean the same.
        options: Centring, normalisation, cleaning, refinement.
    """
    options = options or AlignmentOptions()
    unrotated = _unrotated(source, target, options)
    fitted = replace(unrotated, rotation=_procrustes(unrotated, source, target, matches))
    if options.drop_worst:
        similarity = (unit(fitted.source(source[matches.source])) * unit(fitted.target(target[matches.target]))).sum(1)
        order = np.argsort(-similarity, kind="stable")
        kept = np.sort(order[: max(1, round(len(order) * (1 - options.drop_worst)))])
        fitted = replace(unrotated, rotation=_procrustes(unrotated, source, target, matches[kept]))
    for _ in range(options.refine):
        found = mutual_neighbours(
            fitted.source(source[: options.refine_words]), fitted.target(target[: options.refine_words])
        )
        if len(found):
            fitted = replace(unrotated, rotation=_procrustes(unrotated, source, target, found))
    return fitted


def _unrotated(source: Array, target: Array, options: AlignmentOptions) -> Alignment:
    """Return an alignment without a rotation: the means, over vectors that are not zero."""

    def mean(vectors: Array) -> Array:
        if not options.centre:
            return np.zeros(vectors.shape[1], dtype=vectors.dtype)
        filled = vectors[vectors.any(axis=1)]
        centre: Array = (unit(filled) if options.normalise else filled).mean(axis=0, dtype=np.float64)
        return centre.astype(vectors.dtype)

    rotation = np.empty((source.shape[1], target.shape[1]), dtype=source.dtype)
    return Alignment(rotation=rotation, source_mean=mean(source), target_mean=mean(target), normalise=options.normalise)


def _procrustes(unrotated: Alignment, source: Array, target: Array, matches: Matches) -> Array:
    x = unrotated._prepared(source[matches.source], unrotated.source_mean)
    y = unrotated._prepared(target[matches.target], unrotated.target_mean)
    left, _, right = np.linalg.svd(x.T @ y, full_matrices=False)
    rotation: Array = left @ right
    return rotation


def unit(vectors: Array) -> Array:
    """Return vectors of length 1; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Array = vectors / np.where(lengths > 0, lengths, 1).astype(vectors.dtype)
    return scaled


def mutual_neighbours(source: Array, target: Array) -> Matches:
    """Return rows that are each other's nearest under cross-domain local scaling (Conneau et al., 2018, section 2.3).

    Of the source (S, b) and the target (T, b), both in the common space.
    """
    x, y = unit(source), unit(target)
    near_x, near_y = _density(x, y), _density(y, x)
    forth, back = _nearest(x, y, near_y), _nearest(y, x, near_x)
    filled_x, filled_y = np.linalg.norm(x, axis=1) > 0, np.linalg.norm(y, axis=1) > 0
    rows = np.flatnonzero((back[forth] == np.arange(len(x))) & filled_x & filled_y[forth])
    return Matches(source=rows, target=forth[rows])


def _density(x: Array, y: Array) -> Array:
    """Return the mean similarity of each row of ``x`` to its nearest rows of ``y``, (len(x),)."""
    count = min(_NEIGHBOURS, len(y))
    parts = [
        np.partition(x[start : start + _BLOCK] @ y.T, -count, axis=1)[:, -count:].mean(axis=1)
        for start in range(0, len(x), _BLOCK)
    ]
    return np.concatenate(parts)


def _nearest(x: Array, y: Array, density: Array) -> Array:
    """Return the row of ``y`` nearest to each row of ``x``, rows in dense places held back, (len(x),) int64."""
    parts = [np.argmax(2 * (x[start : start + _BLOCK] @ y.T) - density, axis=1) for start in range(0, len(x), _BLOCK)]
    return np.concatenate(parts)


@dataclass(frozen=True, kw_only=True)
class AlignmentScore:
    """How often the nearest target word of a held-out source word is a translation."""

    precision: float  # share of the held-out words, 0 to 1
    words: int  # held-out source words
    candidates: int  # target words among which the nearest is sought
    chance: float = 0.0  # what a random target word would reach


def held_out_precision(
    source: Array,
    target: Array,
    matches: Matches,
    options: AlignmentOptions | None = None,
    *,
    share: float = 0.1,
    seed: int = 1234,
) -> AlignmentScore | None:
    """Fit on some source words, translate the others with the nearest target word, and count; else as `align`.

    A ``share`` of the source words is held out, each with all its pairs, so that none of its translations is seen.

    Returns:
        None where there are fewer than two source words.
    """
    words = np.unique(matches.source)
    held_count = min(max(1, round(len(words) * share)), len(words) - 1)
    if held_count < 1:
        return None
    held = np.sort(np.random.default_rng(seed).permutation(words)[:held_count])
    is_held = np.isin(matches.source, held)
    alignment = align(source, target, matches[~is_held], options)
    nearest = _nearest(unit(alignment.source(source[held])), unit(alignment.target(target)), np.zeros(len(target)))
    gold = set(zip(matches.source[is_held].tolist(), matches.target[is_held].tolist(), strict=True))
    right = sum(pair in gold for pair in zip(held.tolist(), nearest.tolist(), strict=True))
    return AlignmentScore(
        precision=right / held_count,
        words=held_count,
        candidates=len(target),
        chance=len(gold) / held_count / len(target),
    )
