"""Equal texts, and a choice among texts, by 64-bit hashes of what they are after repair."""

from typing import Any

import numpy as np

from crosslingual.corpus.hashing import mix

Array = np.ndarray[Any, np.dtype[Any]]


def repeats(keys: Array, *, drop_all: bool) -> Array:
    """Return which texts go so that none stands twice, (n,) bool.

    Args:
        keys: (n,) uint64 of `text_key`; the earlier of two equal texts is the first.
        drop_all: drop every text that stands twice or more, and not all but the first.
    """
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
