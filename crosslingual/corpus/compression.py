"""How well texts compress: boilerplate compresses too well, noise too badly (mGPT, Shliazhko et al., 2022).

mGPT's thresholds were not published. A short text compresses badly whatever it says, and an alphabet of two bytes a
letter compresses better than one of one byte, so that thresholds are quantiles within a language and a length.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_LEVEL = 4


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The bounds of one length of text: sizes from 2^``bucket`` bytes up to twice as many."""

    bucket: int
    documents: int
    low: float
    """Documents whose compressed size is a smaller share of their size are cut."""
    high: float
    """Those with a greater share are cut too."""


def compression_ratio(data: bytes) -> float:
    """Return compressed by uncompressed size, with zlib at level 4."""
    return len(zlib.compress(data, _LEVEL)) / max(len(data), 1)


def cut_tails(ratios: Array, sizes: Array, share: float) -> tuple[Array, Array, list[Tail]]:
    """Return which documents are too compressible, which too incompressible, and the bounds.

    Of each length at most ``share`` falls at each end; ties stay. Fewer than 1 / ``share`` texts of a length all stay.

    Args:
        ratios: (n,) of `compression_ratio`.
        sizes: (n,) bytes, at least 1.
        share: between 0 and 0.5.
    """
    buckets = np.frexp(sizes.astype(np.float64))[1] - 1
    low, high = np.zeros(len(ratios), dtype=bool), np.zeros(len(ratios), dtype=bool)
    tails = []
    for bucket in np.unique(buckets).tolist():
        inside = buckets == bucket
        ordered = np.sort(ratios[inside])
        cut = int(share * len(ordered))
        tail = Tail(bucket=bucket, documents=len(ordered), low=float(ordered[cut]), high=float(ordered[-1 - cut]))
        low |= inside & (ratios < tail.low)
        high |= inside & (ratios > tail.high)
        tails.append(tail)
    return low, high, tails
