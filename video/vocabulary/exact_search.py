"""Exact search for the best rows of a half-precision matrix, and the scene prior that is added to their scores.

A matrix on the disk is read once, chunk by chunk, for a batch of queries, so that it may be larger than the memory.
VLog searches only the narrations of the videos whose scene comes closest (Section 3.2). Here the scene is a prior, and
the filter an option: a wrong scene costs a little and hides nothing.

Shapes: Q queries, N rows, d their width, k results a query.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.errors import PolygraftError, UsageError

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


@dataclass(frozen=True, kw_only=True)
class ScenePrior:
    """How much the scene counts: a narration scores ``cosine + weight * log p(scene)``."""

    weight: float = 0.02
    """What a unit of log-probability is worth in cosine; 0: nothing."""
    temperature: float = 0.05
    """p(scene) is the softmax of the cosines of query and scenes, divided by this."""
    keep: int = 0
    """Leave out the narrations of all but this many likeliest scenes, as VLog does (10 in its demo); 0: none."""

    def __post_init__(self) -> None:
        if self.weight < 0 or self.keep < 0:
            raise UsageError(f"scene weight is {self.weight} and keep is {self.keep}, allowed is 0 or more")
        if not self.temperature > 0:
            raise UsageError(f"scene temperature is {self.temperature}, allowed is more than 0")

    def values(self, queries: Tensor, scenes: Tensor) -> Tensor:
        """Return what membership of each scene adds to a score: (Q, C + 1), the last for belonging to none.

        Args:
            queries: (Q, d) vectors of what a video is about as a whole.
            scenes: (C, d) vectors of the labels.
        """
        directions = F.normalize(queries.to(scenes.device, torch.float32), dim=1)
        log_p = (directions @ scenes.float().T / self.temperature).log_softmax(dim=1)
        values = self.weight * log_p
        # nothing speaks for or against what belongs to no scene: it counts as a scene of middling likelihood
        none = self.weight * log_p.new_full((len(queries), 1), len(scenes)).log().neg()
        if 0 < self.keep < len(scenes):
            # stable, so that of equal scenes the lower row is kept
            order = log_p.sort(dim=1, descending=True, stable=True).indices
            values = values.scatter(1, order[:, self.keep :], -torch.inf)
        return torch.cat([values, none], dim=1)


@dataclass(frozen=True, kw_only=True)
class Membership:
    """The scenes of N narrations, as compressed rows."""

    starts: Tensor
    """(N + 1,) int64: the scenes of row i are ``scenes[starts[i] : starts[i + 1]]``."""
    scenes: Tensor
    """int32 numbers of scenes."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Membership":
        """Keep the scenes of each row."""
        lengths = torch.tensor([0, *map(len, rows)], dtype=torch.int64)
        scenes = torch.tensor([scene for row in rows for scene in row], dtype=torch.int32)
        return cls(starts=lengths.cumsum(0), scenes=scenes)

    def to(self, device: torch.device | str) -> "Membership":
        """Return the same on ``device``."""
        return Membership(starts=self.starts.to(device), scenes=self.scenes.to(device))

    def is_valid(self, scenes: int) -> bool:
        """Return whether the starts rise from 0 to the end and every scene is one of ``scenes``."""
        whole = len(self.starts) > 0 and int(self.starts[0]) == 0 and int(self.starts[-1]) == len(self.scenes)
        if not whole or bool((self.starts.diff() < 0).any()):
            return False
        return not len(self.scenes) or (int(self.scenes.min()) >= 0 and int(self.scenes.max()) < scenes)

    def best(self, values: Tensor, start: int, stop: int) -> Tensor:
        """Return for rows ``start`` to ``stop`` the most that one of their scenes adds: (Q, stop - start).

        Args:
            values: what `ScenePrior.values` gives.
            start: first row.
            stop: the row after the last.
        """
        ends = self.starts[start : stop + 1].to(values.device)
        scenes = self.scenes[int(ends[0]) : int(ends[-1])].to(values.device, torch.int64)
        lengths = ends.diff()
        row = torch.repeat_interleave(torch.arange(stop - start, device=values.device), lengths)
        best = values.new_full((len(values), stop - start), -torch.inf)
        best.scatter_reduce_(1, row.expand(len(values), -1), values[:, scenes], "amax")
        return torch.where(lengths == 0, values[:, -1:], best)
