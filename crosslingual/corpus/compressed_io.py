"""Plain and compressed files of bytes, read in constant memory; truncated files are an error."""

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from backbone.errors import PolygraftError

PACKED = (".gz", ".bz2", ".xz", ".zst")  # endings of the packed files that can be read
_CHUNK = 1 << 20
_FAST, _SMALL = 1, 3  # levels of zstandard: for what is read again and thrown away, and for what stays
# a zstandard file of one letter repeated unpacks each of these to 40 MB
_PIECE = 1 << 9
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading decompressed bytes, by its suffix; `read_through` reports damage in what is read."""
    match path.suffix.lower():
        case ".gz":
            return cast(IO[bytes], gzip.open(path))
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
        case ".zst":
            return io.BufferedReader(_Zstandard(path.open("rb")), _CHUNK)
        case _:
            return path.open("rb", buffering=_CHUNK)


def read_through(path: Path, chunks: Iterable[Any]) -> Iterator[Any]:
    """Pass on what is read from ``path``.

    Raises:
        PolygraftError: The file cannot be read, or is damaged or cut off.
    """
    try:
        yield from chunks
    except _DAMAGED as error:
        raise PolygraftError(f"{path} is cut off or damaged ({error}): copy or download the whole file again") from None
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error


def read_lines(stream: IO[bytes], limit: int, start: int = 0) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield (offset, size, line) of each line with its end; the line is None where it has more than ``limit`` bytes.

    The stream stands at the start of a line, whose offset is ``start``; ``limit`` bytes are held at a time.
    """
    while line := stream.readline(limit + 2):
        size = len(line)
        if len(line.rstrip(b"\r\n")) <= limit:
            yield start, size, line
        else:
            while not line.endswith(b"\n") and (line := stream.readline(_CHUNK)):
                size += len(line)
            yield start, size, None
        start += size


def to_line(item: dict[str, Any]) -> bytes:
    """Return an object as a line of JSON without spaces."""
    return json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class LineWriter:
    """Writes JSON objects as lines packed with zstandard, within a with-block; equal objects become equal bytes.

    What is to ``keep``, and no mere step of a build, is packed well and not quickly.
    """

    def __init__(self, path: Path, *, keep: bool = False) -> None:
        self._file = path.open("wb")
        self._out = zstandard.ZstdCompressor(level=_SMALL if keep else _FAST, write_checksum=True).stream_writer(
            self._file
        )

    def write(self, item: dict[str, Any]) -> None:
        """Add one line."""
        self.write_line(to_line(item))

    def write_line(self, line: bytes) -> None:
        """Add what is a line already."""
        self._out.write(line)

    def __enter__(self) -> "LineWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()  # type: ignore[no-untyped-call]  # ends the frame and closes the file


def read_objects(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what a `LineWriter` wrote, from the unpacked stream."""
    yield from map(json.loads, stream)


class _Zstandard(io.RawIOBase):
    """A zstandard file that raises EOFError where it ends within a frame, as the library's own reader does not."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._packed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._fill():
            pass
        count = min(len(self._ready), len(buffer))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _fill(self) -> bool:
        """Unpack one more piece; False at the end of the file."""
        packed = self._packed or self._file.read(_PIECE)
        if not packed:
            if self._begun:
                raise EOFError("it ends within a frame")
            return False
        if self._frame.eof:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(self._frame.decompress(packed))
        self._packed = self._frame.unused_data if self._frame.eof else b""
        self._begun = not self._frame.eof
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
