"""Text vectors of a vocabulary: the encoder that makes them, exact search, and the scene prior.

A matrix on the disk is read once, chunk by chunk, for a batch of queries, so that it may be larger than the memory.
VLog searches only the narrations of the videos whose scene comes closest (Section 3.2). Here the scene is a prior, and
the filter an option: a wrong scene costs a little and hides nothing.

Shapes: Q queries, N rows, d their width, C scenes, k results a query.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.checkpoint import FrozenPart
from backbone.device import pick_device
from backbone.errors import PolygraftError, UsageError
from backbone.io.settings import check_range
from backbone.topk import Exact, top_k
from video.vocabulary.storage import Table

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder

_BATCH = 256  # texts
_ROUNDED = 1e-2  # how far from 1 a length may be after half precision, and no further
_CHUNK = 4096  # rows a product; as float32 they stay in the cache of a processor
_LONGER = 16  # times as many where nothing is made float32
T = TypeVar("T")
Progress = Callable[[Sequence[T]], Iterable[T]]

Bonus = Callable[[int, int], Tensor]
"""What to add to the scores of rows ``start`` to ``stop``: (Q, stop - start) float32; minus infinity leaves one out."""


@dataclass(frozen=True)
class TextEncoder:
    """What turns N texts into (N, d) float32 rows of length 1, such as `backbone.clip.ImageEncoder.encode_text`."""

    encode: Callable[[Sequence[str]], Tensor]
    name: str
    digest: str  # SHA-256: equal digests give equal vectors

    @classmethod
    def of(cls, encoder: "ImageEncoder") -> "TextEncoder":
        """Return the text side of an image-text model."""
        return cls(encoder.encode_text, name=encoder.name, digest=encoder.text_digest)

    @property
    def part(self) -> FrozenPart:
        """Name and digest, as a folder keeps them."""
        return FrozenPart(name=self.name, sha256=self.digest)

    def half(self, texts: Sequence[str], *, progress: Progress[int] = iter) -> Tensor:
        """Return texts as (N, d) float16 on the CPU, in batches; a text that is there twice is encoded once.

        Args:
            texts: Any; none gives (0, 0).
            progress: Passes on the start of every batch, for a progress bar.

        Raises:
            PolygraftError: What the encoder gives is no row for each text, or not of length 1.
        """
        places: dict[str, int] = {}
        order = [places.setdefault(text, len(places)) for text in texts]
        distinct = list(places)
        rows: Tensor | None = None
        for start in progress(range(0, len(distinct), _BATCH)):
            batch = distinct[start : start + _BATCH]
            part = self._checked(self.encode(batch), len(batch))
            if rows is None:
                rows = torch.empty(len(distinct), part.shape[1], dtype=torch.float16)
            elif part.shape[1] != rows.shape[1]:
                raise PolygraftError(f"the text encoder {self.name} gives rows of different widths")
            rows[start : start + len(batch)] = part
        if rows is None:
            return torch.zeros(0, 0, dtype=torch.float16)
        return rows if len(distinct) == len(texts) else rows[torch.tensor(order)]

    def _checked(self, rows: Tensor, count: int) -> Tensor:
        if rows.ndim != 2 or rows.shape[0] != count:
            raise PolygraftError(f"the text encoder {self.name} gives {tuple(rows.shape)} for {count} texts")
        lengths = rows.float().norm(dim=1)
        if not bool(((lengths - 1).abs() < _ROUNDED).all()):  # false for NaN as well
            raise PolygraftError(f"the text encoder {self.name} gives vectors that are not finite or not of length 1")
        return rows.detach().to(device="cpu", dtype=torch.float16)


# Search


class Hits(NamedTuple):
    """The best rows of each query, best first; of equal scores the lower row comes first."""

    scores: Tensor  # (Q, k) float32; minus infinity where there is no further row
    rows: Tensor  # (Q, k) int64; -1 where there is no further row


def search(vectors: Tensor, queries: Tensor, k: int, *, bonus: Bonus | None = None) -> Hits:
    """Return the k rows with the highest dot product with each query, plus bonus; see `search_parts`."""
    return search_parts([(vectors, bonus)], queries, k)


def search_parts(parts: Sequence[tuple[Tensor, Bonus | None]], queries: Tensor, k: int) -> Hits:
    """Return the k rows with the highest dot product with each query, plus bonus, exactly, see `backbone.topk`.

    For one query on a CPU half-precision products choose the candidates, which halves the time: memory is then read
    once and never written.

    Args:
        parts: Matrices, whose rows are numbered through: (N, d) float16 of length 1 or less, on one device or mapped
            from files; each with what is added to the scores before the best are chosen.
        queries: (Q, d); brought to length 1, so that the score of a row of length 1 is a cosine.
        k: How many; fewer where there are fewer rows.

    Returns:
        Hits on the CPU.

    Raises:
        PolygraftError: A row, or a query, holds NaN or infinity.
    """
    if not bool(queries.isfinite().all()):
        raise PolygraftError("a query vector holds NaN or infinity: what made it is damaged or not trained")
    k = min(k, sum(len(vectors) for vectors, _ in parts))
    directions = F.normalize(queries.to(parts[0][0].device if parts else "cpu", torch.float32), dim=1)
    if not k or not len(directions):
        return Hits(torch.zeros(len(directions), k), torch.zeros(len(directions), k, dtype=torch.int64))
    # of a float32 dot product of rows of length 1, with room for the bonus
    error = (directions.shape[1] + 64) * 2.0**-23
    half = directions.half() if len(directions) == 1 and directions.device.type == "cpu" else None
    if half is not None:
        # what rounding took from the query, and what it takes from a product, which is summed in float32
        error += float((directions - half.float()).norm()) + 2.0**-11
    blocks = (block for vectors, bonus in parts for block in _blocks(vectors, bonus, directions, half))
    scores, rows = top_k(blocks, len(directions), k, error=error)
    return Hits(scores.float(), rows)


def _blocks(
    vectors: Tensor, bonus: Bonus | None, directions: Tensor, half: Tensor | None
) -> Iterator[tuple[Tensor, Exact]]:
    step = _CHUNK if half is None else _CHUNK * _LONGER
    for start in range(0, len(vectors), step):
        rows = vectors[start : start + step]
        products = directions @ rows.float().T if half is None else (rows @ half[0])[None].float()
        _check_finite(products, start)
        added = None if bonus is None else bonus(start, start + len(rows)).to(products)
        yield products if added is None else products + added, _exact(rows, directions, added)


def _exact(rows: Tensor, directions: Tensor, added: Tensor | None) -> Exact:
    def scores(query: Tensor, column: Tensor) -> Tensor:
        # on the CPU, so that every device gives the same; rounded, so that scores that read equal are ordered by row
        found = (rows[column].cpu().double() * directions[query].cpu().double()).sum(dim=1)
        if added is not None:
            found += added[query, column].cpu().double()
        return found.float().double()

    return scores


def _check_finite(products: Tensor, start: int) -> None:
    """Check one query's products alone: NaN and infinity in a row come through whatever the query."""
    bad = (~products[:1].isfinite()).nonzero()
    if len(bad):
        raise PolygraftError(
            f"row {start + int(bad[0, 1]) + 1} of the matrix holds NaN or infinity: build the vectors again"
        )


# Scenes


@dataclass(frozen=True, kw_only=True)
class ScenePrior:
    """How much the scene counts: a narration scores ``cosine + weight * log p(scene)``."""

    weight: float = 0.02  # what a unit of log-probability is worth in cosine; 0: nothing
    temperature: float = 0.05  # p(scene) is the softmax of the cosines of query and scenes, divided by this
    keep: int = 0
    """Leave out the narrations of all but this many likeliest scenes, as VLog does (10 in its demo); 0: none."""

    def __post_init__(self) -> None:
        check_range(self, "weight keep", 0)
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


@dataclass(frozen=True, kw_only=True, eq=False)
class TableVectors:
    """The vectors of a table, and the scenes of its narrations, on one device."""

    vectors: Tensor  # (N, d) float16
    scene_starts: Tensor
    scenes: Tensor

    @classmethod
    def of(cls, table: Table, device: str) -> "TableVectors":
        """Take a table that has vectors, once for each device; on the CPU they stay mapped from their file."""
        if device in table.resident:
            found: TableVectors = table.resident[device]
            return found
        assert table.vectors is not None and table.scene_starts is not None and table.scenes is not None
        arrays, place = (table.vectors, table.scene_starts, table.scenes), pick_device(device)
        vectors, starts, scenes = (torch.from_numpy(array).to(place) for array in arrays)
        table.resident[device] = cls(vectors=vectors, scene_starts=starts, scenes=scenes)
        return cls.of(table, device)

    def bonus(self, values: Tensor, start: int, stop: int) -> Tensor:
        """Return for rows ``start`` to ``stop`` the most that one of their scenes adds: (Q, stop - start).

        Args:
            values: What `ScenePrior.values` gives.
            start: First row.
            stop: The row after the last.
        """
        ends = self.scene_starts[start : stop + 1]
        scenes = self.scenes[int(ends[0]) : int(ends[-1])].long()
        lengths = ends.diff()
        row = torch.repeat_interleave(torch.arange(stop - start, device=values.device), lengths)
        best = values.new_full((len(values), stop - start), -torch.inf)
        best.scatter_reduce_(1, row.expand(len(values), -1), values[:, scenes], "amax")
        return torch.where(lengths == 0, values[:, -1:], best)
