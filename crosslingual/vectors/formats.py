"""Files of word vectors other than fastText's binary: text (``.vec``), npz, word2vec's binary, a spaCy package.

Nothing is unpickled. Each reader returns the words in the file's order, how often each was seen where the file says
so, and one row for each word.

How spaCy keeps which word has which vector: a msgpack map from the hash of a word to its row.
"""

import gzip
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.arrays import Array

_MASK = 2**64 - 1
_MULTIPLIER = 0xC6A4A7935BD1E995


def key_of(word: str, seed: int = 1) -> int:
    """Return spaCy's key of a word: MurmurHash64A of its UTF-8 bytes."""
    data = word.encode("utf-8", "surrogatepass")
    value = seed ^ (len(data) * _MULTIPLIER & _MASK)
    whole = len(data) // 8 * 8
    for (block,) in struct.iter_unpack("<Q", data[:whole]):
        block = block * _MULTIPLIER & _MASK
        block = (block ^ (block >> 47)) * _MULTIPLIER & _MASK
        value = (value ^ block) * _MULTIPLIER & _MASK
    if len(data) > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ (value >> 47)) * _MULTIPLIER & _MASK
    return value ^ (value >> 47)


def read_keys(data: bytes) -> dict[int, int]:
    """Read a msgpack map of whole numbers.

    Raises:
        ValueError: it is truncated or something else.
    """
    try:
        count, position = _map_size(data)
        numbers = []
        for _ in range(2 * count):
            number, position = _number(data, position)
            numbers.append(number)
    except (IndexError, struct.error) as error:
        raise ValueError("key2row is truncated") from error
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


def _map_size(data: bytes) -> tuple[int, int]:
    kind = data[0]
    if kind & 0xF0 == 0x80:
        return kind & 0x0F, 1
    if kind in (0xDE, 0xDF):
        size = 2 if kind == 0xDE else 4
        return int.from_bytes(data[1 : 1 + size], "big"), 1 + size
    raise ValueError("key2row is no map")


def _number(data: bytes, position: int) -> tuple[int, int]:
    kind = data[position]
    if kind < 0x80:
        return kind, position + 1
    if kind >= 0xE0:
        return kind - 256, position + 1
    if 0xCC <= kind <= 0xD3:
        size = 1 << (kind - 0xCC) % 4
        field = data[position + 1 : position + 1 + size]
        if len(field) < size:
            raise IndexError
        return int.from_bytes(field, "big", signed=kind >= 0xD0), position + 1 + size
    raise ValueError("key2row holds something else than whole numbers")


_PICKLES = (".kv", ".model", ".pkl", ".pickle", ".pt")


@dataclass(frozen=True, kw_only=True)
class VectorTable:
    """Words and their vectors."""

    words: list[str]
    rows: Array  # (n, width) float32; (W, width) unless ``row_of`` says which row is whose
    counts: Array | None = None  # (W,) how often each was seen; None: the file does not say
    row_of: Array | None = None  # (W,) the row of each word, where words share rows


def read_table(path: Path, *, limit: int | None = None) -> VectorTable:
    """Read a file of word vectors, recognised by its name and its first bytes.

    Args:
        path: ``.npz``, ``.vec``, ``.txt`` or ``.bin`` in word2vec's format, text also gzipped; or the unpacked folder
            of a spaCy package.
        limit: the first words alone, which are the most frequent.

    Raises:
        PolygraftError: it cannot be read, is damaged, is a pickle, or holds NaN.
    """
    try:
        table = _read(path, limit)
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {error.strerror or error}") from error
    except EOFError as error:
        raise PolygraftError(f"{path} is truncated: copy or download the whole file again") from error
    if not table.words:
        raise PolygraftError(f"{path} holds no word vector: give a file of word vectors")
    if not np.isfinite(table.rows).all():
        raise PolygraftError(f"{path} holds NaN or infinity among its vectors: train or download it again")
    return table


def write_vec(path: Path, words: Sequence[str], rows: Array) -> None:
    """Write words and their vectors, (n, width), as text: a line of both numbers, then a line for each word.

    Raises:
        PolygraftError: a word is empty, has a line end, spaces at its ends, or bytes that are no text.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(words)} {rows.shape[1]}\n")
        for word, row in zip(words, rows, strict=True):
            if "\n" in word or not word or word.strip(" ") != word.encode("utf-8", "ignore").decode():
                raise PolygraftError(f"the word {word!r} cannot stand in a line of a .vec file: write npz")
            # nine digits tell every float32
            file.write(f"{word} {' '.join(f'{value:.9g}' for value in row.tolist())}\n")


def _read(path: Path, limit: int | None) -> VectorTable:
    if path.is_dir():
        return _read_spacy(path, limit)
    if path.suffix in _PICKLES:
        raise PolygraftError(
            f"{path} is a pickle, which could run any code and is not opened: save it with gensim's "
            "save_word2vec_format, or as npz with words and vectors"
        )
    if path.suffix == ".npz":
        return _read_npz(path, limit)
    if path.suffix == ".gz":
        with gzip.open(path) as unpacked:
            return _read_text(path, unpacked, limit)
    with path.open("rb") as file:
        return _read_binary(path, file, limit) if path.suffix == ".bin" else _read_text(path, file, limit)


def _read_npz(path: Path, limit: int | None) -> VectorTable:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not {"words", "vectors"} <= set(file.files):
                found = ", ".join(file.files) or "nothing"
                raise PolygraftError(f"{path} holds {found}, but `words` and `vectors` are needed")
            words, rows = file["words"][:limit], file["vectors"][:limit]
            counts = file["counts"][:limit] if "counts" in file.files else None
    except PolygraftError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds
        raise PolygraftError(f"{path} is damaged or no npz file ({' '.join(str(error).split())})") from error
    if words.dtype.kind != "U" or rows.ndim != 2 or len(rows) != len(words):
        raise PolygraftError(f"{path} needs `words` (n) as text and `vectors` (n, width), found {rows.shape}")
    return VectorTable(words=words.tolist(), rows=rows.astype(np.float32), counts=counts)


def _read_text(path: Path, file: Iterable[bytes], limit: int | None) -> VectorTable:
    """Read lines of a word and its numbers, below a line of two numbers (fastText, word2vec) or not (GloVe)."""
    words: list[str] = []
    rows: list[Array] = []
    width = 0
    for place, fields in _lines(path, file):
        if not width and len(fields) == 2 and not words:
            width = _formats_number(fields[1], place)
            continue
        width = width or len(fields) - 1
        if limit is not None and len(words) == limit:
            break
        try:
            if not 0 < width < len(fields):
                raise ValueError
            rows.append(np.fromiter(map(float, fields[-width:]), np.float32, width))
        except ValueError:
            raise PolygraftError(f"{place} is no word with {width} numbers: the file is truncated or damaged") from None
        words.append(" ".join(fields[:-width]))
    return VectorTable(words=words, rows=np.stack(rows) if rows else np.empty((0, 1), np.float32))


def _lines(path: Path, file: Iterable[bytes]) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(file, start=1):
        place = f"{path}, line {number}"
        try:
            # other spaces may be part of a word
            yield place, line.decode("utf-8").strip(" \r\n").split(" ")
        except UnicodeDecodeError as error:
            raise PolygraftError(f"{place} is not UTF-8 ({error.reason}): convert the file to UTF-8") from None


def _formats_number(text: str, place: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise PolygraftError(f"{place} holds no vector: give a file of word vectors") from None


def _read_binary(path: Path, file: IO[bytes], limit: int | None) -> VectorTable:
    """Read word2vec's binary format: a line of two numbers, then each word, a space and its float32 numbers."""
    fields = file.readline(64).split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise PolygraftError(f"{path} is neither fastText's nor word2vec's binary format: give word vectors")
    count, width = int(fields[0]), int(fields[1])
    count = count if limit is None else min(count, limit)
    words, rows = [], []
    for _ in range(count):
        word = bytearray()
        while (letter := file.read(1)) != b" ":
            if not letter:
                raise EOFError
            word += letter
        row = file.read(4 * width)
        if len(row) < 4 * width:
            raise EOFError
        words.append(word.lstrip(b"\n").decode("utf-8", "surrogateescape"))
        rows.append(np.frombuffer(row, dtype="<f4"))
    return VectorTable(words=words, rows=np.stack(rows) if rows else np.empty((0, 1), np.float32))


def _read_spacy(path: Path, limit: int | None) -> VectorTable:
    """Read the table of a spaCy package: vectors, which row each hashed key has, and the words that the keys hash."""
    found = sorted(path.glob("**/vocab/key2row"))
    if not found:
        raise PolygraftError(f"{path} is no folder of a spaCy package: it has no vocab/key2row")
    folder = found[0].parent
    try:
        rows = np.load(folder / "vectors", allow_pickle=False)
        strings: Any = json.loads((folder / "strings.json").read_text(encoding="utf-8"))
        keys = read_keys((folder / "key2row").read_bytes())
    except ValueError as error:
        raise PolygraftError(f"{folder} is damaged ({error}): fetch the package again") from error
    placed = [(word, row) for word in strings if (row := keys.get(key_of(word), -1)) >= 0][:limit]
    if rows.ndim != 2 or any(row >= len(rows) for _, row in placed):
        raise PolygraftError(f"{folder} is damaged: its keys name rows that its vectors lack")
    words, row_of = [word for word, _ in placed], np.array([row for _, row in placed], dtype=np.int64)
    # the strings stand in no order of frequency, so no word counts more than another
    return VectorTable(words=words, rows=rows.astype(np.float32), row_of=row_of, counts=np.ones(len(words)))
