"""Splits the sources of a build into units of about equal size, and reads the documents of a unit one at a time.

Units do not depend on the number of workers. The only door to pyarrow and `datasets`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import IO, Any, NamedTuple

from backbone.errors import PolygraftError
from crosslingual.corpus.compressed_io import PACKED, open_unpacked, read_lines, read_through
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

    A file of lines is cut into pieces of ``unit_bytes``; smaller files are taken together.

    Raises:
        PolygraftError: A source has no file, or two sources have one file.
    """
    units: list[Unit] = []
    owners: dict[Path, str] = {}
    for source in listed.sources:
        pieces = _shards(source) if source.dataset else _files(listed, source, unit_bytes, owners)
        for group in _groups(pieces, unit_bytes):
            units.append(Unit(number=len(units), source=source, pieces=tuple(group)))
    return units


def _shards(source: Source) -> list[Piece]:
    count = int(_stream(source).num_shards)
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
    return kind == "jsonl" or (kind == "txt" and source.documents == "line")


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


_MARK = b"\xef\xbb\xbf"
Line = tuple[int, int, bytes | None]  # offset, size, and the line itself where it is not too long


class FoundText(NamedTuple):
    """A document as it was read."""

    id: str  # source, file, and the byte or the row at which it begins
    size: int  # bytes
    text: str  # what it says, unless it is lost
    lost: str = ""  # why it could not be read: too_long, not_unicode, not_json, no_text


def read_documents(unit: Unit, limit: int) -> Iterator[FoundText]:
    """Yield the documents of a unit; those of more than ``limit`` bytes are lost.

    Raises:
        PolygraftError: A file cannot be read, or is damaged or cut off.
    """
    for piece in unit.pieces:
        if unit.source.dataset:
            yield from _from_values(piece, _read_shard(unit.source, piece.start), limit)
        elif (kind := unit.source.format_of(piece.path)) == "parquet":
            yield from _from_values(piece, _read_parquet(piece.path, unit.source.text), limit)
        else:
            yield from read_through(piece.path, _from_file(unit.source, piece, kind, limit))


def _from_values(piece: Piece, values: Iterable[Any], limit: int) -> Iterator[FoundText]:
    for row, value in enumerate(values):
        yield _checked(f"{piece.name}:{row}", value, limit)


def _from_file(source: Source, piece: Piece, kind: str, limit: int) -> Iterator[FoundText]:
    with open_unpacked(piece.path) as stream:
        if kind == "txt" and source.documents == "file":
            documents = _whole(stream, limit)
        elif kind == "txt" and source.documents == "paragraph":
            documents = _paragraphs(_lines(stream, piece, limit), limit)
        else:
            last = piece.stop == piece.size
            lines = takewhile(lambda line: last or line[0] < piece.stop, _lines(stream, piece, limit))
            documents = (line for line in lines if not _is_blank(line))
        for offset, size, data in documents:
            place = piece.name if source.documents == "file" and kind == "txt" else f"{piece.name}:{offset}"
            yield _decoded(source, place, size, data, limit, fields=kind == "jsonl")


def _whole(stream: IO[bytes], limit: int) -> Iterator[Line]:
    data = stream.read(limit + 1)
    size = len(data)
    while len(data) > limit and (chunk := stream.read(1 << 20)):
        size += len(chunk)
    yield 0, size, data if size <= limit else None


def _lines(stream: IO[bytes], piece: Piece, limit: int) -> Iterator[Line]:
    """Yield the lines that begin in a piece or after it."""
    start = piece.start
    if start:
        # what is left of the line before is another piece's; if it ended at `start` that is its end alone
        stream.seek(start - 1)
        _, size, _ = next(read_lines(stream, limit))
        start += size - 1
    return read_lines(stream, limit, start)


def _is_blank(line: Line) -> bool:
    return line[2] is not None and line[2].isspace()


def _joined(lines: Iterable[Line], limit: int) -> Iterator[Line]:
    """Yield the document that lines make, if there is any; of more than ``limit`` bytes only the size is kept."""
    parts: list[bytes] | None = []
    first = total = 0
    for offset, size, data in lines:
        first = first if total else offset
        total += size
        if data is None or total > limit + 2:  # the end of the last line does not count
            parts = None
        elif parts is not None:
            parts.append(data)
    if total:
        yield first, total, None if parts is None else b"".join(parts)


def _paragraphs(lines: Iterable[Line], limit: int) -> Iterator[Line]:
    for empty, group in groupby(lines, _is_blank):
        if not empty:
            yield from _joined(group, limit)


def _decoded(source: Source, place: str, size: int, data: bytes | None, limit: int, *, fields: bool) -> FoundText:
    if data is None:
        return FoundText(place, size, "", "too_long")
    try:
        text = data.removeprefix(_MARK).decode()
    except UnicodeDecodeError:
        return FoundText(place, size, "", "not_unicode")
    if not fields:
        return _checked(place, text, limit, size)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return FoundText(place, size, "", "not_json")
    return _checked(place, record.get(source.text) if isinstance(record, dict) else None, limit, size)


def _checked(place: str, value: Any, limit: int, size: int = 0) -> FoundText:
    """Return a document, or why it is none: JSON can hold half a surrogate pair, which is no character."""
    if not isinstance(value, str):
        return FoundText(place, size, "", "no_text")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        return FoundText(place, size or len(value), "", "not_unicode")
    return FoundText(place, length, value) if length <= limit else FoundText(place, length, "", "too_long")


_ROWS = 256  # held in memory at a time


def _read_parquet(path: Path, field: str) -> Iterator[Any]:
    """Yield the values of a column, some hundred rows in memory at a time."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise PolygraftError('reading parquet needs pyarrow: pip install "polygraft[corpus]"') from None
    try:
        with ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                names = ", ".join(file.schema_arrow.names)
                raise PolygraftError(f"{path} has no column {field!r}, only {names}: give the source a text field")
            for batch in file.iter_batches(batch_size=_ROWS, columns=[field]):
                yield from batch.column(0).to_pylist()
    except (ArrowException, OSError) as error:
        raise PolygraftError(f"{path} is damaged or no parquet file ({' '.join(str(error).split())})") from None


def _read_shard(source: Source, shard: int) -> Iterator[Any]:
    stream = _stream(source)
    for row in stream.shard(num_shards=stream.num_shards, index=shard):
        if source.text not in row:
            raise PolygraftError(
                f"data set {source.dataset} has no field {source.text!r}, only {', '.join(row)}: give source "
                f"{source.name!r} a text field"
            )
        yield row[source.text]


def _stream(source: Source) -> Any:
    try:
        from datasets import load_dataset
    except ImportError:
        raise PolygraftError('reading a data set needs datasets: pip install "polygraft[corpus]"') from None
    try:
        return load_dataset(source.dataset, source.config or None, split=source.split, streaming=True)
    except Exception as error:  # whatever the loader of a data set raises
        raise PolygraftError(
            f"data set {source.dataset} cannot be loaded ({' '.join(str(error).split())}): check name, configuration "
            "and split"
        ) from None
