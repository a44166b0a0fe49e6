"""Files of word vectors other than fastText's binary: text (``.vec``), npz, word2vec's binary.

Nothing is unpickled. Each reader returns the words in the file's order, how often each was seen where the file says
so, and one row for each word.
"""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.arrays import Array

_PICKLES = (".kv", ".model", ".pkl", ".pickle", ".pt")


@dataclass(frozen=True, kw_only=True)
class VectorTable:
    """Words and their vectors."""

    words: list[str]
    rows: Array  # (W, width) float32
    counts: Array | None = None  # (W,) how often each was seen; None: the file does not say


def read_table(path: Path) -> VectorTable:
    """Read a file of word vectors, recognised by its name and its first bytes.

    It is ``.npz``, ``.vec``, ``.txt`` or ``.bin`` in word2vec's format, text also gzipped.

    Raises:
        PolygraftError: It cannot be read, is damaged, is a pickle, or holds NaN.
    """
    try:
        table = _read(path)
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
        PolygraftError: A word is empty, has a line end, spaces at its ends, or bytes that are no text.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(words)} {rows.shape[1]}\n")
        for word, row in zip(words, rows, strict=True):
            if "\n" in word or not word or word.strip(" ") != word.encode("utf-8", "ignore").decode():
                raise PolygraftError(f"the word {word!r} cannot stand in a line of a .vec file: write npz")
            # nine digits tell every float32
            file.write(f"{word} {' '.join(f'{value:.9g}' for value in row.tolist())}\n")


def _read(path: Path) -> VectorTable:
    if path.is_dir():
        raise PolygraftError(f"{path} is a folder: give a file of word vectors, such as npz with words and vectors")
    if path.suffix in _PICKLES:
        raise PolygraftError(
            f"{path} is a pickle, which could run any code and is not opened: save it with gensim's "
            "save_word2vec_format, or as npz with words and vectors"
        )
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".gz":
        with gzip.open(path) as unpacked:
            return _read_text(path, unpacked)
    with path.open("rb") as file:
        return _read_binary(path, file) if path.suffix == ".bin" else _read_text(path, file)


def _read_npz(path: Path) -> VectorTable:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not {"words", "vectors"} <= set(file.files):
                found = ", ".join(file.files) or "nothing"
                raise PolygraftError(f"{path} holds {found}, but `words` and `vectors` are needed")
            words, rows = file["words"], file["vectors"]
            counts = file["counts"] if "counts" in file.files else None
    except PolygraftError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds
        raise PolygraftError(f"{path} is damaged or no npz file ({' '.join(str(error).split())})") from error
    if words.dtype.kind != "U" or rows.ndim != 2 or len(rows) != len(words):
        raise PolygraftError(f"{path} needs `words` (n) as text and `vectors` (n, width), found {rows.shape}")
    return VectorTable(words=words.tolist(), rows=rows.astype(np.float32), counts=counts)


def _read_text(path: Path, file: Iterable[bytes]) -> VectorTable:
    """Read lines of a word and its numbers, below a line of two numbers (fastText, word2vec) or not (GloVe)."""
    words: list[str] = []
    rows: list[Array] = []
    width = 0
    for place, fields in _lines(path, file):
        try:
            if not width and len(fields) == 2 and not words:
                width = int(fields[1])
                continue
            width = width or len(fields) - 1
            if not 0 < width < len(fields):
                raise ValueError
            rows.append(np.fromiter(map(float, fields[-width:]), np.float32, width))
        except ValueError:
            found = f"no word with {width} numbers" if width else "no word with numbers"
            raise PolygraftError(f"{place} is {found}: the file is damaged, or holds no word vectors") from None
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


def _read_binary(path: Path, file: IO[bytes]) -> VectorTable:
    """Read word2vec's binary format: a line of two numbers, then each word, a space and its float32 numbers."""
    fields = file.readline(64).split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise PolygraftError(f"{path} is neither fastText's nor word2vec's binary format: give word vectors")
    count, width = int(fields[0]), int(fields[1])
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
