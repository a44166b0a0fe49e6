"""fastText's ``.bin`` files, read without loading them: the word list, then only the rows that are asked for.

Layout after `FastText::saveModel` of fastText 0.9.3, little-endian: header, word list, input matrix (word rows, then
n-gram rows), output matrix, which nobody needs. A file of 2 million words is 7.2 GB; its word list is 40 MB. Character
n-grams are counted and hashed for many words at once, after `Dictionary::computeSubwords` and `Dictionary::hash`
(Bojanowski et al., 2017, section 3.2).
"""

import mmap
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.arrays import Array

END_OF_SENTENCE = "</s>"  # the one word that fastText gives no n-grams
_OFFSET, _PRIME = np.uint32(2166136261), np.uint32(16777619)  # FNV-1a, 32 bits
_BATCH = 100_000


@dataclass(frozen=True, kw_only=True)
class Ngrams:
    """Which n-grams of a word have a row, and where."""

    shortest: int  # characters of the shortest n-gram
    longest: int  # characters of the longest; 0: there are none
    buckets: int  # rows that the hashes share

    def rows(self, words: Sequence[str]) -> tuple[Array, Array]:
        """Return the n-grams of words as (numbers of the words, buckets), both (n,) int64, in the order of the words.

        What could not be decoded may stand in the words as surrogates (``surrogateescape``).
        """
        if not self.longest or not self.buckets:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        parts = [self._batch(words[start : start + _BATCH], start) for start in range(0, len(words), _BATCH)]
        owners, buckets = (np.concatenate([part[side] for part in parts] or [np.empty(0, np.int64)]) for side in (0, 1))
        return owners, buckets

    def _batch(self, words: Sequence[str], offset: int) -> tuple[Array, Array]:
        encoded = [b"" if word == END_OF_SENTENCE else b"<%b>" % to_bytes(word) for word in words]
        lengths = np.array([len(word) for word in encoded], dtype=np.int64)
        text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        ends = np.cumsum(lengths)
        starts = np.flatnonzero((text & 0xC0) != 0x80)  # the first byte of each character
        owner = np.searchsorted(ends, starts, side="right")
        found = list(self._hashes(text, starts, owner, ends))
        first, hashes = (np.concatenate([part[side] for part in found] or [np.empty(0, np.int64)]) for side in (0, 1))
        # by word, then by first character, then by length: the order in which fastText adds the rows
        order = np.argsort(first, kind="stable")
        return owner[first[order]] + offset, hashes[order] % self.buckets

    def _hashes(self, text: Array, starts: Array, owner: Array, ends: Array) -> Iterator[tuple[Array, Array]]:
        """Yield (first characters, hashes) of the n-grams that are equally many bytes long, the shortest first."""
        # stops[n]: where the n-gram of n + 1 characters from each start ends; past the word's end there is none
        following = np.append(starts, len(text))
        position = np.arange(len(starts))
        end = ends[owner]
        stops = [following[np.minimum(position + n, len(starts))] for n in range(1, self.longest + 1)]
        stops = [np.where((position + n <= len(starts)) & (stop <= end), stop, -1) for n, stop in enumerate(stops, 1)]
        first = np.append(True, owner[1:] != owner[:-1]) if len(owner) else np.empty(0, bool)
        reach = np.minimum(np.maximum.reduce(stops) if len(starts) else starts, end)
        hashes = np.full(len(starts), _OFFSET, dtype=np.uint32)
        # fastText widens each byte with its sign before the exclusive or
        widened = text.view(np.int8).astype(np.int32).view(np.uint32)
        for step in range(int((reach - starts).max(initial=0))):
            active = np.flatnonzero(starts + step < reach)
            hashes[active] = (hashes[active] ^ widened[starts[active] + step]) * _PRIME
            for count, stop in enumerate(stops, 1):
                if count < self.shortest:
                    continue
                done = active[stop[active] == starts[active] + step + 1]
                if count == 1:  # the brackets alone are no n-grams
                    done = done[~first[done] & (stop[done] != end[done])]
                yield done, hashes[done].astype(np.int64)


def to_bytes(word: str) -> bytes:
    """Return the bytes that a word stands for; a lone surrogate that stands for no byte becomes a question mark."""
    try:
        return word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return word.encode("utf-8", "replace")


MAGIC = struct.pack("<i", 793712314)
_VERSION = 12
_HEADER = struct.Struct("<14id")  # magic, version, 12 settings, the sampling threshold
_SIZES = struct.Struct("<3i2q")  # entries, words, labels, tokens, pruned n-grams
MATRIX = struct.Struct("<?2q")  # what stands before a matrix: whether it is quantised, rows, columns
_AFTER_WORD = 9  # int64 count, int8 type
_ENTRY = re.compile(rb"([^\0]*)\0.{9}", re.DOTALL)  # of the word list
_PIECE = 1 << 24  # bytes of it that are read at a time; a word is shorter


@dataclass(frozen=True, kw_only=True)
class FastTextFile:
    """An opened file."""

    path: Path
    words: list[str]  # in its own order, most frequent first; bytes that are no UTF-8 stand as surrogates
    counts: Array  # (W,) int64, how often each was seen
    ngrams: Ngrams  # which n-grams have rows
    width: int  # numbers in a row
    rows: int  # rows in all
    offset: int  # bytes before the first row

    def read(self, rows: Array) -> Array:
        """Return rows of the input matrix, of (n,) ascending numbers without repeats, as (n, width) float32.

        Raises:
            PolygraftError: The file cannot be read any more, or has become shorter.
        """
        found = np.empty((len(rows), self.width), dtype="<f4")
        if not found.size:
            return found
        size = 4 * self.width
        buffer = found.data.cast("B")
        # rows that follow one another are read at once
        firsts = np.append(0, np.flatnonzero(np.diff(rows) != 1) + 1)
        places = (self.offset + rows[firsts] * size).tolist()
        bounds = [*(firsts * size).tolist(), len(buffer)]
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                if hasattr(os, "posix_fadvise"):  # all reads are announced before the first is waited for
                    for start, stop, place in zip(bounds, bounds[1:], places, strict=False):
                        os.posix_fadvise(descriptor, place, stop - start, os.POSIX_FADV_WILLNEED)
                for start, stop, place in zip(bounds, bounds[1:], places, strict=False):
                    if os.preadv(descriptor, [buffer[start:stop]], place) < stop - start:
                        raise OSError("it has become shorter")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise PolygraftError(f"{self.path} cannot be read any more ({error}): open it again") from error
        return found


def is_fasttext(path: Path) -> bool:
    """Whether a file begins as fastText's do."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {error.strerror or error}") from error


def open_fasttext(path: Path) -> FastTextFile:
    """Open a ``.bin`` file and read its word list.

    Raises:
        PolygraftError: The file is truncated, quantised, of another version or no fastText file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(path, data)
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {error.strerror or error}") from error
    except (struct.error, ValueError, IndexError) as error:  # the map ends within a field, or is empty
        raise truncated(path) from error


def _parse(path: Path, data: mmap.mmap) -> FastTextFile:
    fields = _HEADER.unpack_from(data)
    if struct.pack("<i", fields[0]) != MAGIC:
        raise PolygraftError(f"{path} is no fastText file: give a .bin, .vec, .vec.gz or .npz file of word vectors")
    if fields[1] != _VERSION:
        raise PolygraftError(f"{path} has fastText's format {fields[1]}, but only {_VERSION} is read: train it again")
    width, buckets, shortest, longest = fields[2], fields[10], fields[11], fields[12]
    size, nwords, _, _, pruned = _SIZES.unpack_from(data, _HEADER.size)
    words, counts, position = _word_list(path, data, _HEADER.size + _SIZES.size, size)
    quantised, rows, columns = MATRIX.unpack_from(data, position + 8 * max(pruned, 0))
    if quantised or pruned > 0:
        raise PolygraftError(f"{path} is quantised, which loses the rows: give the .bin file it was made from")
    if columns != width or rows != nwords + buckets:
        raise PolygraftError(f"{path} is damaged: its matrix is {rows} x {columns} for {nwords} words of {width}")
    offset = position + MATRIX.size
    if len(data) < offset + 4 * rows * columns:
        raise truncated(path)
    ngrams = Ngrams(shortest=shortest, longest=longest, buckets=buckets)
    return FastTextFile(
        path=path, words=words[:nwords], counts=counts[:nwords], ngrams=ngrams, width=width, rows=rows, offset=offset
    )


def _word_list(path: Path, data: mmap.mmap, position: int, size: int) -> tuple[list[str], Array, int]:
    words: list[str] = []
    counts = [np.empty(0, dtype="<i8")]
    while len(words) < size:
        # up to a zero that has room behind it: of an unfinished word the pattern would be tried at every letter
        end = data.rfind(b"\0", position, min(position + _PIECE, len(data) - _AFTER_WORD))
        piece = data[position : end + 1 + _AFTER_WORD] if end >= position else b""
        found = _ENTRY.findall(piece)[: size - len(words)]
        if not found:
            raise truncated(path)
        words += b"\0".join(found).decode("utf-8", "surrogateescape").split("\0")
        # behind each word and its zero
        places = np.cumsum([len(word) + 1 + _AFTER_WORD for word in found]) - _AFTER_WORD
        counts.append(np.frombuffer(piece, np.uint8)[places[:, None] + np.arange(8)].view("<i8")[:, 0])
        position += int(places[-1]) + _AFTER_WORD
    return words, np.concatenate(counts), position


def truncated(path: Path) -> PolygraftError:
    """Return the error of a file that was cut off."""
    return PolygraftError(f"{path} is truncated: copy or download the whole file again")
