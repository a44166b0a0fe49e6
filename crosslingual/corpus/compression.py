"""How well texts compress: boilerplate compresses too well, noise too badly (mGPT, Shliazhko et al., 2022).

mGPT's thresholds were not published. A short text compresses badly whatever it says, and an alphabet of two bytes a
letter compresses better than one of one byte, so that thresholds are quantiles within a language and a length.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Pieces = Callable[[], Iterable[tuple[Array, Array]]]
_LEVEL = 4
_BUCKETS = 32  # sizes are below 2^32
_HALF = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The bounds of one length of text: sizes from 2^``bucket`` bytes up to twice as many."""

    bucket: int
    documents: int
    low: float  # documents whose compressed size is a smaller share of their size are cut
    high: float  # those with a greater share are cut too


def compression_ratio(data: bytes) -> float:
    """Return compressed by uncompressed size, with zlib at level 4."""
    return len(zlib.compress(data, _LEVEL)) / max(len(data), 1)


def find_tails(pieces: Pieces, share: float) -> tuple[Tail, ...]:
    """Return the bounds of each length: at most ``share`` of its texts falls at each end; ties stay.

    Fewer than 1 / ``share`` texts of a length all stay. The bounds are exact, yet memory does not grow with the texts:
    bits of ratios are ordered as ratios are, so that their upper halves are counted first, then the lower halves of
    those that share their upper one with a bound.

    Args:
        pieces: gives (n,) float32 of `compression_ratio` and (n,) bytes, at least 1, of some texts at a time; called
            twice.
        share: between 0 and 0.5.
    """
    upper = np.zeros((_BUCKETS, _HALF), dtype=np.uint32)
    for ratios, sizes in pieces():
        np.add.at(upper, (_bucket(sizes), _bits(ratios) >> 16), 1)
    documents = upper.sum(axis=1, dtype=np.int64)
    cut = (share * documents).astype(np.int64)
    ends = [
        [_find(counts, rank) for counts, rank in zip(upper, ranks.tolist(), strict=True)]
        for ranks in (cut, documents - 1 - cut)
    ]
    heads = np.array(ends)[..., 0]  # (2, buckets)
    lower = np.zeros((2, _BUCKETS, _HALF), dtype=np.uint32)
    for ratios, sizes in pieces():
        bits, buckets = _bits(ratios), _bucket(sizes)
        for end in range(2):
            near = bits >> 16 == heads[end, buckets]
            np.add.at(lower[end], (buckets[near], bits[near] & (_HALF - 1)), 1)

    def bound(end: int, bucket: int) -> float:
        head, rank = ends[end][bucket]
        return float(np.uint32(head << 16 | _find(lower[end, bucket], rank)[0]).view(np.float32))

    return tuple(
        Tail(bucket=bucket, documents=int(documents[bucket]), low=bound(0, bucket), high=bound(1, bucket))
        for bucket in np.flatnonzero(documents).tolist()
    )


def _bucket(sizes: Array) -> Array:
    return np.frexp(sizes.astype(np.float64))[1] - 1


def _bits(ratios: Array) -> Array:
    return ratios.astype(np.float32).view(np.uint32)


def _find(counts: Array, rank: int) -> tuple[int, int]:
    """Return the place that holds what is ``rank``-th in order, and its rank among those of that place."""
    ends = np.cumsum(counts, dtype=np.int64)
    place = min(int(np.searchsorted(ends, rank, side="right")), len(counts) - 1)
    return place, rank - int(ends[place] - counts[place])


def outside(ratios: Array, sizes: Array, tails: Sequence[Tail]) -> tuple[Array, Array]:
    """Return which texts are too compressible, and which too incompressible, (n,) bool each."""
    low, high = np.zeros(_BUCKETS, dtype=np.float32), np.full(_BUCKETS, np.inf, dtype=np.float32)
    for tail in tails:
        low[tail.bucket], high[tail.bucket] = tail.low, tail.high
    buckets = _bucket(sizes)
    return ratios < low[buckets], ratios > high[buckets]
