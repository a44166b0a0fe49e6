"""How well narrations are retrieved: recall at k in its three readings, mean rank, coverage.

Shapes: Q queries, N candidate texts, D width of vectors.

Ties are taken at their worst: a wrong candidate with the score of the right one comes before it. So a narrator with
one answer to every clip, or a text that stands there twice, earns nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from backbone.errors import PolygraftError

Ranks: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

_TIE = 1e-9  # products in double precision that differ by less are of equal vectors
_CHUNK = 16_384


def ranks(queries: Tensor, candidates: Tensor, truths: Sequence[Sequence[int]]) -> Ranks:
    """Return the rank of the best right candidate of each query, from 1.

    Args:
        queries: (Q, D) of length 1, any precision; the products are made in double precision, on the CPU.
        candidates: (N, D) likewise.
        truths: The rows of each query's right candidates. Where it has none, its rank is N + 1.

    Raises:
        PolygraftError: A query or a candidate holds NaN, or their numbers or widths do not fit.
    """
    if queries.shape[1:] != candidates.shape[1:] or len(queries) != len(truths):
        raise PolygraftError(
            f"{len(truths)} truths, queries of shape {tuple(queries.shape)} and candidates of shape "
            f"{tuple(candidates.shape)} do not fit"
        )
    asked = queries.cpu().double()
    if not bool(asked.isfinite().all()) or not bool(candidates.isfinite().all()):
        raise PolygraftError("a query or a candidate holds NaN or infinity: what made it is damaged or not trained")
    best, own = _right(asked, candidates, truths)
    ahead = np.zeros(len(asked), dtype=np.int64)
    for start in range(0, len(candidates), _CHUNK):
        products = asked @ candidates[start : start + _CHUNK].cpu().double().T
        ahead += (products >= best[:, None] - _TIE).sum(dim=1).numpy()
    absent = np.array([not rows for rows in truths], dtype=bool)
    found: Ranks = np.where(absent, len(candidates) + 1, 1 + ahead - own)
    return found


def _right(asked: Tensor, candidates: Tensor, truths: Sequence[Sequence[int]]) -> tuple[Tensor, Ranks]:
    """Return the best score among the right candidates of each query, and how many of these have it."""
    best = torch.full((len(asked),), torch.inf, dtype=torch.float64)
    own = np.zeros(len(asked), dtype=np.int64)
    for number, rows in enumerate(truths):
        if rows:
            right = candidates[torch.tensor(sorted(set(rows)))].cpu().double() @ asked[number]
            best[number] = right.max()
            own[number] = int((right >= best[number] - _TIE).sum())
    return best, own


def recall(found: Ranks, at: int) -> float:
    """Return the share of queries with a right candidate among the first ``at``; 0 where there is no query."""
    return float((found <= at).mean()) if len(found) else 0.0


def retrieval_figures(
    queries: Tensor,
    truths: Sequence[Sequence[str]],
    texts: Sequence[str],
    vectors: Tensor,
    *,
    at: Sequence[int] = (1, 5),
) -> dict[str, float]:
    """Return the figures of queries among the distinct texts of all of them.

    - ``plain_recall_K``: among the texts of all queries, which are their first truths, equal texts being wrong: VLog's
      evaluation (the diagonal of an N x N matrix, section 4.1), in which a text that stands there twice is never first.
    - ``deduplicated_recall_K``: among distinct texts, of which the first truth is right.
    - ``multi_positive_recall_K``: among distinct texts, of which each truth is right.
    - ``mean_rank``: among distinct texts, of the first truth.

    Args:
        queries: (Q, D).
        truths: The right texts of each query, one at least, the one it is asked for first; all among ``texts``.
        texts: N, distinct.
        vectors: (N, D).
        at: K.
    """
    rows = {text: row for row, text in enumerate(texts)}
    right = [[rows[text] for text in own] for own in truths]
    first = [own[:1] for own in right]
    deduplicated = ranks(queries, vectors, first)
    kinds = {
        "plain": ranks(queries, vectors[torch.tensor(first).flatten()], [[row] for row in range(len(queries))]),
        "deduplicated": deduplicated,
        "multi_positive": ranks(queries, vectors, right),
    }
    found = {f"{kind}_recall_{k}": recall(each, k) for kind, each in kinds.items() for k in at}
    return found | {"mean_rank": float(deduplicated.mean()) if len(deduplicated) else 0.0}


def coverage(truths: Sequence[Sequence[str]], vocabulary: Iterable[str]) -> float:
    """Return the share of queries of whose right texts the vocabulary holds one: no retrieval finds more than these."""
    wanted = {text for own in truths for text in own}
    held = wanted.intersection(vocabulary)
    return sum(any(text in held for text in own) for own in truths) / len(truths) if truths else 0.0
