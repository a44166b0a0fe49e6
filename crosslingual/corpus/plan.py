"""Splits the sources of a build into units of about equal size, independently of the number of workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backbone.errors import PolygraftError
from crosslingual.corpus.compressed_io import PACKED
from crosslingual.corpus.parquet import count_shards
from crosslingual.corpus.sources import Source, SourceList


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A file, the lines of it that begin in a range of bytes, or a shard of a data set."""

    name: str  # what the ids of its documents begin with
    path: Path = Path()
    size: int = 0  # bytes of the whole file; 0 where nothing tells
    start: int = 0  # the first byte, or the number of the shard
    stop: int = 0  # the byte after the last, or the number of shards


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Pieces of one source that are cleaned together and become one shard."""

    number: int
    source: Source
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """Name of its folder while the build lasts."""
        return f"{self.number:06d}"


def plan_units(listed: SourceList, unit_bytes: int) -> list[Unit]:
    """Return the units of all sources, in their order.

    Args:
        listed: the sources.
        unit_bytes: a file of lines is cut into pieces of so many bytes; smaller files are taken together.

    Raises:
        PolygraftError: a source has no file, or two sources have one file.
    """
    units: list[Unit] = []
    owners: dict[Path, str] = {}
    for source in listed.sources:
        pieces = _shards(source) if source.dataset else _files(listed, source, unit_bytes, owners)
        for group in _groups(pieces, unit_bytes):
            units.append(Unit(number=len(units), source=source, pieces=tuple(group)))
    return units


def _shards(source: Source) -> list[Piece]:
    count = count_shards(source)
    return [Piece(name=f"{source.name}/{shard}", start=shard, stop=count) for shard in range(count)]


def _files(listed: SourceList, source: Source, unit_bytes: int, owners: dict[Path, str]) -> list[Piece]:
    pieces = []
    for name, path in listed.files(source):
        owner = owners.setdefault(path.resolve(), source.name)
        if owner != source.name:
            raise PolygraftError(f"{path} belongs to two sources, {owner!r} and {source.name!r}: leave one of them out")
        size = path.stat().st_size
        step = unit_bytes if _may_be_cut(source, path) else max(size, 1)
        for start in range(0, max(size, 1), step):
            stop = min(start + step, size)
            pieces.append(Piece(name=f"{source.name}/{name}", path=path, size=size, start=start, stop=stop))
    return pieces


def _may_be_cut(source: Source, path: Path) -> bool:
    """Tell whether a document begins at a line that shows it without those before."""
    if path.suffix.lower() in PACKED:
        return False
    kind = source.format_of(path)
    return kind in ("jsonl", "wikiextractor") or (kind == "txt" and source.documents == "line")


def _groups(pieces: list[Piece], unit_bytes: int) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        # a shard of a data set has no size, and is enough for a unit
        weight = piece.stop - piece.start if piece.size else unit_bytes
        if group and size + weight > unit_bytes:
            yield group
            group, size = [], 0
        group.append(piece)
        size += weight
    if group:
        yield group
