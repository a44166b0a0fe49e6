"""Reads the documents of a unit one at a time; too long ones are skipped without being held in memory."""

import json
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import IO, Any, NamedTuple

from crosslingual.corpus.compressed_io import open_unpacked, read_lines, read_through
from crosslingual.corpus.parquet import read_parquet, read_shard
from crosslingual.corpus.plan import Piece, Unit
from crosslingual.corpus.sources import Source

_MARK = b"\xef\xbb\xbf"
Line = tuple[int, int, bytes | None]  # offset, size, and the line itself where it is not too long


class FoundText(NamedTuple):
    """A document as it was read."""

    id: str  # source, file, and the byte or the row at which it begins
    size: int  # bytes
    text: str  # what it says, unless it is lost
    lost: str = ""  # why it could not be read: too_long, not_unicode, not_json, no_text


def read_documents(unit: Unit, limit: int) -> Iterator[FoundText]:
    """Yield the documents of a unit.

    Args:
        unit: the pieces to read.
        limit: bytes of the longest document that is read.

    Raises:
        PolygraftError: a file cannot be read, or is damaged or cut off.
    """
    for piece in unit.pieces:
        if unit.source.dataset:
            yield from _from_values(piece, read_shard(unit.source, piece.start), limit)
        elif (kind := unit.source.format_of(piece.path)) == "parquet":
            yield from _from_values(piece, read_parquet(piece.path, unit.source.text), limit)
        else:
            yield from read_through(piece.path, _from_file(unit.source, piece, kind, limit))


def _from_values(piece: Piece, values: Iterable[Any], limit: int) -> Iterator[FoundText]:
    for row, value in enumerate(values):
        yield _checked(f"{piece.name}:{row}", value, limit)


def _from_file(source: Source, piece: Piece, kind: str, limit: int) -> Iterator[FoundText]:
    with open_unpacked(piece.path) as stream:
        if kind == "txt" and source.documents == "file":
            documents = _whole(stream, limit)
        elif kind == "wikiextractor":
            documents = _articles(_lines(stream, piece, limit), piece, limit)
        elif kind == "txt" and source.documents == "paragraph":
            documents = _paragraphs(_lines(stream, piece, limit), limit)
        else:
            lines = takewhile(lambda line: _is_ours(piece, line), _lines(stream, piece, limit))
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
    """Yield the lines that begin in a piece or after it: an article goes on where the piece ends."""
    start = piece.start
    if start:
        # what is left of the line before is another piece's; if it ended at `start` that is its end alone
        stream.seek(start - 1)
        _, size, _ = next(read_lines(stream, limit))
        start += size - 1
    return read_lines(stream, limit, start)


def _is_ours(piece: Piece, line: Line) -> bool:
    return piece.stop == piece.size or line[0] < piece.stop


def _is_blank(line: Line) -> bool:
    return line[2] is not None and line[2].isspace()


class _Gathering:
    """Lines of one document; of more than ``limit`` bytes only their number is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._offset, self._size, self._lines = 0, 0, [b""]

    def add(self, line: Line) -> None:
        offset, size, data = line
        if not self._size:
            self._offset = offset
        self._size += size
        if data is None or self._size > self._limit + 2:
            self._lines = []
        elif self._lines:
            self._lines.append(data)

    def take(self) -> Iterator[Line]:
        """Yield the document, if there is one, and begin the next."""
        if self._size:
            yield self._offset, self._size, b"".join(self._lines) if self._lines else None
        self._offset, self._size, self._lines = 0, 0, [b""]


def _paragraphs(lines: Iterable[Line], limit: int) -> Iterator[Line]:
    """Join the lines between empty ones."""
    gathering = _Gathering(limit)
    for line in lines:
        if _is_blank(line):
            yield from gathering.take()
        else:
            gathering.add(line)
    yield from gathering.take()


def _articles(lines: Iterable[Line], piece: Piece, limit: int) -> Iterator[Line]:
    """Join the lines from ``<doc id=... title=...>`` to ``</doc>``, as WikiExtractor writes them."""
    gathering = _Gathering(limit)
    inside = False
    for line in lines:
        data = line[2] or b""
        if data.startswith(b"<doc "):
            yield from gathering.take()  # the end of the one before is missing
            inside = _is_ours(piece, line)
            if not inside:
                return
        elif data.rstrip() == b"</doc>":
            yield from gathering.take()
            inside = False
        elif inside:
            gathering.add(line)
    yield from gathering.take()


def _decoded(source: Source, place: str, size: int, data: bytes | None, limit: int, *, fields: bool) -> FoundText:
    if data is None:
        return FoundText(place, size, "", "too_long")
    try:
        text = data.removeprefix(_MARK).decode(source.encoding)
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
