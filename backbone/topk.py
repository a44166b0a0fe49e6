"""Exact search for the highest scores: quick approximate scores choose candidates, float64 decides.

So a result depends neither on how rows are divided into blocks nor on the other queries of a batch, and equal rows have
equal scores.

Shapes: Q queries, c rows of a block, k results a query.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Exact = Callable[[Tensor, Tensor], Tensor]
"""Returns the float64 scores of pairs, given as numbers of queries and of rows of the block, (n,) each."""

_GROUP = 32  # columns of which only the maximum is compared for a lower bound of the best

_PAIRS = 4096  # rescored at a time; their vectors stay in the cache of a processor


def top_k(blocks: Iterable[tuple[Tensor, Exact]], queries: int, k: int, *, error: float) -> tuple[Tensor, Tensor]:
    """Return the k highest scores of each query and their rows; of equal scores the lower row comes first.

    Args:
        blocks: For consecutive rows their approximate scores, (Q, c) of any floating dtype, where minus infinity
            leaves a row out, and what computes exact ones.
        queries: Q.
        k: Results a query.
        error: The most by which an approximate score differs from the exact one.

    Returns:
        (Q, k) float64 scores and (Q, k) int64 rows on the CPU; minus infinity and -1 where there is no further row.
    """
    scores = torch.full((queries, k), -torch.inf, dtype=torch.float64)
    rows = torch.full((queries, k), -1, dtype=torch.int64)
    start = 0
    for approximate, exact in blocks:
        query, column = _candidates(approximate, scores[:, -1:], k, error)
        if len(query):
            some = [slice(at, at + _PAIRS) for at in range(0, len(query), _PAIRS)]
            found = torch.cat([exact(query[pairs], column[pairs]).cpu() for pairs in some])
            scores, rows = _merge(scores, rows, query.cpu(), column.cpu() + start, found)
        start += approximate.shape[1]
    return scores, rows


def _candidates(approximate: Tensor, worst: Tensor, k: int, error: float) -> tuple[Tensor, Tensor]:
    """Return queries and columns whose exact score may be among the best so far, ordered by query, then column."""
    least = worst.to(approximate.device, torch.float32) - error
    # columns far apart form a group, since maxima of whole rows at a time are quicker
    groups = approximate.shape[1] // _GROUP
    grouped = approximate[:, : groups * _GROUP].view(len(approximate), _GROUP, groups)
    maxima = grouped.amax(dim=1)
    if groups >= k:
        # the maxima of k groups are k scores, so the k-th best score is no lower than the k-th best maximum
        least = torch.maximum(least, maxima.topk(k).values[:, -1:].float() - 2 * error)
    least = least.to(approximate.dtype)
    query, group = (maxima > least).nonzero(as_tuple=True)
    hit, member = (grouped[query, :, group] > least[query]).nonzero(as_tuple=True)
    query, column = query[hit], member * groups + group[hit]
    rest, last = (approximate[:, groups * _GROUP :] > least).nonzero(as_tuple=True)
    query, column = torch.cat([query, rest]), torch.cat([column, last + groups * _GROUP])
    order = (query * approximate.shape[1] + column).argsort()
    return query[order], column[order]


def _merge(scores: Tensor, rows: Tensor, query: Tensor, row: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Put candidates, ordered by query, behind the best so far and keep the best."""
    queries, k = scores.shape
    counts = torch.bincount(query, minlength=queries)
    place = torch.arange(len(query)) - (counts.cumsum(0) - counts)[query] + k
    width = k + int(counts.max())
    all_scores = torch.full((queries, width), -torch.inf, dtype=torch.float64)
    all_rows = torch.full((queries, width), -1, dtype=torch.int64)
    all_scores[:, :k], all_rows[:, :k] = scores, rows
    all_scores[query, place], all_rows[query, place] = found, row
    # stable, so that of equal scores the lower row stays first
    order = all_scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return all_scores.gather(1, order), all_rows.gather(1, order)
