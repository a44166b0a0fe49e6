"""Exact deduplication by 64-bit hashes of repaired texts, and hashes of all word or character n-grams of many texts."""

import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np

from crosslingual.arrays import Array, mix

_RANGE = 1 << 20  # keys that are compared at a time, about
_MOST_BITS = 8  # files are open at a time, of which a process may have some hundreds
_PLACED = np.dtype([("key", "<u8"), ("place", "<u8")])


class Repeats:
    """Which texts go so that none stands twice: one bit is held for each text."""

    def __init__(self, count: int) -> None:
        self._bits = np.zeros(-(-count // 8), dtype=np.uint8)

    def mark(self, places: Array) -> None:
        """Let texts go."""
        np.bitwise_or.at(self._bits, places >> np.uint64(3), np.uint8(1) << (places & np.uint64(7)).astype(np.uint8))

    def between(self, start: int, stop: int) -> Array:
        """Return which go of the texts from ``start`` up to ``stop``, (stop - start,) bool."""
        skipped = start % 8
        bits = np.unpackbits(self._bits[start // 8 : -(-stop // 8)], bitorder="little")
        return bits[skipped : skipped + stop - start].astype(bool)


def find_repeats(keys: Iterable[Array], count: int, scratch: Path, *, drop_all: bool) -> Repeats:
    """Find the texts that go so that none stands twice.

    Keys are sorted into files by their range and compared a range at a time, so that beside the answer no more than
    some millions are held in memory. The disk holds 16 bytes for each meanwhile.

    Args:
        keys: pieces of (n,) uint64 of `text_key`; the earlier of two equal texts is the first.
        count: how many they are in all.
        scratch: a folder for the files.
        drop_all: drop every text that stands twice or more, and not all but the first.
    """
    found = Repeats(count)
    folder = scratch / "hashes"
    shutil.rmtree(folder, ignore_errors=True)  # of a build that was killed here
    folder.mkdir()
    for path in _spread(keys, folder, min((count // _RANGE).bit_length(), _MOST_BITS)):
        placed = np.fromfile(path, dtype=_PLACED)
        found.mark(placed["place"][_repeats(placed["key"], drop_all=drop_all)])
    shutil.rmtree(folder)
    return found


def _spread(keys: Iterable[Array], folder: Path, bits: int) -> list[Path]:
    """Write keys and their places into a file for each value of their first bits, which hashes fill alike."""
    paths = [folder / str(number) for number in range(1 << bits)]
    start = 0
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for piece in keys:
            ranges = piece >> np.uint64(32) >> np.uint64(32 - bits)  # in two steps: a shift by all 64 is undefined
            order = np.argsort(ranges, kind="stable")
            placed = np.empty(len(piece), dtype=_PLACED)
            placed["key"], placed["place"] = piece[order], start + order
            bounds = np.searchsorted(ranges[order], np.arange(len(files) + 1, dtype=np.uint64))
            for file, (begin, stop) in zip(files, pairwise(bounds.tolist()), strict=True):
                file.write(placed[begin:stop].tobytes())
            start += len(piece)
    return paths


def _repeats(keys: Array, *, drop_all: bool) -> Array:
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    as_before = np.zeros(len(keys), dtype=bool)
    as_before[1:] = ordered[1:] == ordered[:-1]
    gone = as_before.copy()
    if drop_all:
        gone[:-1] |= as_before[1:]
    result = np.empty(len(keys), dtype=bool)
    result[order] = gone
    return result


def below(keys: Array, share: float, seed: int) -> Array:
    """Return which keys fall among ``share`` of all possible ones, (n,) bool, by a choice that ``seed`` makes."""
    return mix(keys ^ mix(np.array([seed], dtype=np.uint64))) < np.uint64(share * 2**63) * np.uint64(2)
