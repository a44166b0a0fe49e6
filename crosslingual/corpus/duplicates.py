"""Equal texts, and a choice among texts, by 64-bit hashes of what they are after repair."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from crosslingual.corpus.hashing import mix

Array = np.ndarray[Any, np.dtype[Any]]

_RANGE = 1 << 20
"""Keys that are compared at a time, about."""


def repeats(keys: Callable[[], Iterable[Array]], *, drop_all: bool) -> Array:
    """Return which texts go so that none stands twice, (n,) bool.

    Keys are compared a range at a time, so that beside the answer no more than some millions are held in memory.

    Args:
        keys: gives pieces of (n,) uint64 of `text_key`, called for each range anew; the earlier of two equal texts is
            the first.
        drop_all: drop every text that stands twice or more, and not all but the first.
    """
    count = sum(map(len, keys()))
    bits = (count // _RANGE).bit_length()
    gone = np.zeros(count, dtype=bool)
    for number in range(1 << bits):
        places, own = [], []
        start = 0
        for piece in keys():
            # hashes fill all ranges alike; in two steps, since a shift by all 64 bits is undefined
            inside = np.flatnonzero(piece >> np.uint64(32) >> np.uint64(32 - bits) == number)
            places.append(start + inside)
            own.append(piece[inside])
            start += len(piece)
        if places:
            gone[np.concatenate(places)] = _repeats(np.concatenate(own), drop_all=drop_all)
    return gone


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
