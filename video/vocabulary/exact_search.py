"""Exact search: the best rows of a half-precision matrix for each query, read chunk by chunk.

Shapes: Q queries, N rows, d their width, k results a query. A matrix on the disk is read once for a batch of queries
and never as a whole, so that one larger than the memory can be searched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.errors import PolygraftError

_CHUNK = 4096  # rows a product; as float32 they stay in the cache of a processor
_LONGER = 16  # times as many where nothing is made float32

Bonus = Callable[[int, int], Tensor]
"""What to add to the scores of rows ``start`` to ``stop``: (Q, stop - start) float32; minus infinity leaves one out."""


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The best rows of each query, best first; of equal scores the lower row comes first."""

    scores: Tensor
    """(Q, k) float32; minus infinity where there is no further row."""
    rows: Tensor
    """(Q, k) int64; -1 where there is no further row."""
    added: Tensor
    """(Q, k) float32: how much of the score is bonus."""

    @classmethod
    def none(cls, queries: int, k: int = 0) -> "Hits":
        """Return k places without a row for each query."""
        scores = torch.full((queries, k), -torch.inf)
        rows = torch.full((queries, k), -1, dtype=torch.int64)
        return cls(scores=scores, rows=rows, added=torch.zeros_like(scores))

    def take(self, order: Tensor) -> "Hits":
        """Return the places (Q, any) of each query that ``order`` names."""
        return Hits(
            scores=self.scores.gather(1, order), rows=self.rows.gather(1, order), added=self.added.gather(1, order)
        )

    def moved(self, offset: int) -> "Hits":
        """Return the same with every row ``offset`` higher."""
        return replace(self, rows=torch.where(self.rows < 0, self.rows, self.rows + offset))


def search(vectors: Tensor, queries: Tensor, k: int, *, bonus: Bonus | None = None) -> Hits:
    """Return the k rows with the highest dot product with each query, plus bonus.

    Float32 products choose candidates, within the bound of their rounding, and float64 ones decide. So a result depends
    neither on the other queries of a batch nor on where chunks begin, and equal rows have equal scores. For one query
    on a CPU half-precision products choose, which halves the time: memory is then read once and never written.

    Args:
        vectors: (N, d) float16 of length 1 or less, on any device or mapped from a file.
        queries: (Q, d); brought to length 1, so that the score of a row of length 1 is a cosine.
        k: how many; fewer where N is smaller.
        bonus: added to the scores before the best are chosen; called for rows in order, from 0 to N.

    Returns:
        Hits on the CPU.

    Raises:
        PolygraftError: a row, or a query, holds NaN or infinity.
    """
    if not bool(queries.isfinite().all()):
        raise PolygraftError("a query vector holds NaN or infinity: what made it is damaged or not trained")
    directions = F.normalize(queries.to(vectors.device, torch.float32), dim=1)
    k = min(k, len(vectors))
    best = Hits.none(len(directions), k)
    if not k or not len(directions):
        return best
    error = (vectors.shape[1] + 64) * 2.0**-23  # of a float32 dot product of rows of length 1, with room for the bonus
    half = directions.half() if len(directions) == 1 and vectors.device.type == "cpu" else None
    if half is not None:
        # what rounding took from the query, and what it takes from a product, which is summed in float32
        error += float((directions - half.float()).norm()) + 2.0**-11
    step = _CHUNK if half is None else _CHUNK * _LONGER
    for start in range(0, len(vectors), step):
        rows = vectors[start : start + step]
        products = directions @ rows.float().T if half is None else (rows @ half[0])[None].float()
        _check_finite(products, start)
        added = None if bonus is None else bonus(start, start + len(rows)).to(products)
        chosen = _candidates(products if added is None else products + added, best, error)
        if len(chosen[0]):
            best = join([best, _scored(rows, directions, added, chosen).moved(start)], k)
    return best


def _candidates(scores: Tensor, best: Hits, error: float) -> tuple[Tensor, Tensor]:
    """Return queries and columns of the scores (Q, c) that an error could have kept from the best, row by row."""
    k = best.scores.shape[1]
    found = scores > best.scores[:, -1:].to(scores) - error
    query, column = found.nonzero(as_tuple=True)
    if len(query) > 4 * k * len(scores) and scores.shape[1] > k:
        # in the first chunks everything beats what there is: compare the rows with one another
        found &= scores > scores.topk(k).values[:, -1:] - 2 * error
        query, column = found.nonzero(as_tuple=True)
    return query, column


def _scored(rows: Tensor, directions: Tensor, added: Tensor | None, chosen: tuple[Tensor, Tensor]) -> Hits:
    """Return the exact scores of candidates, those of each query in the order of their rows."""
    query, column = chosen
    exact = torch.empty(len(query))
    plus = torch.zeros(len(query)) if added is None else added[query, column].cpu()
    for start in range(0, len(query), _CHUNK):
        some = slice(start, start + _CHUNK)
        pairs = rows[column[some]].cpu().double() * directions[query[some]].cpu().double()
        exact[some] = (pairs.sum(dim=1) + plus[some].double()).float()
    # the candidates of each query, from the left of a table
    query, column = query.cpu(), column.cpu()
    found = torch.bincount(query, minlength=len(directions))
    place = torch.arange(len(query)) - (found.cumsum(0) - found)[query]
    table = Hits.none(len(directions), int(found.max()))
    table.scores[query, place] = exact
    table.rows[query, place] = column
    table.added[query, place] = plus
    return table


def join(parts: Sequence[Hits], k: int) -> Hits:
    """Return the best of several searches by the same queries; between equals the earlier part comes first."""
    joined = Hits(
        scores=torch.cat([part.scores for part in parts], dim=1),
        rows=torch.cat([part.rows for part in parts], dim=1),
        added=torch.cat([part.added for part in parts], dim=1),
    )
    # stable, so that of equal scores the one further left stays first
    return joined.take(joined.scores.sort(dim=1, descending=True, stable=True).indices[:, :k])


def check_all(vectors: Tensor) -> None:
    """Read every row.

    Raises:
        PolygraftError: one holds NaN or infinity.
    """
    for start in range(0, len(vectors), _CHUNK):
        _check_finite(vectors[start : start + _CHUNK].float().sum(dim=1)[None], start)


def _check_finite(products: Tensor, start: int) -> None:
    """Look at one query's products alone: NaN and infinity in a row come through whatever the query."""
    bad = (~products[:1].isfinite()).nonzero()
    if len(bad):
        raise PolygraftError(
            f"row {start + int(bad[0, 1]) + 1} of the matrix holds NaN or infinity: build the vectors again"
        )
