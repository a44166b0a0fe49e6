"""The type of arrays, hashes of texts and of slices of arrays, and intervals of ratios by the bootstrap."""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_DRAWS = 1000  # of the bootstrap
_BASE = 0x9E3779B97F4A7C15  # odd, and so invertible modulo 2^64


def text_key(data: bytes) -> int:
    """Return a 64-bit hash of a text: among a billion texts two collide with a probability of 3 %."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def mix(values: Array) -> Array:
    """Return 64-bit numbers whose bits each depend on all bits of ``values`` (splitmix64, Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(_BASE)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = values ^ (values >> np.uint64(31))
    return mixed


def slice_hashes(letters: Array, begins: Array, stops: Array) -> Array:
    """Return a hash of each slice ``letters[begin:stop]``, (slices,), wherever it stands; no letter is 0.

    The slice is a polynomial modulo 2^64, which two prefix sums tell (Karp and Rabin, 1987).
    """
    up, down = _powers(1 << len(letters).bit_length())
    with np.errstate(over="ignore"):
        sums = np.zeros(len(letters) + 1, dtype=np.uint64)
        np.cumsum(letters * up[: len(letters)], out=sums[1:])
        slices: Array = (sums[stops] - sums[begins]) * down[begins]
    return mix(slices)


@lru_cache(maxsize=16)
def _powers(count: int) -> tuple[Array, Array]:
    """Return the powers of the base and of its inverse."""
    up = np.full(count, _BASE, dtype=np.uint64)
    down = np.full(count, pow(_BASE, -1, 1 << 64), dtype=np.uint64)
    up[0] = down[0] = 1
    with np.errstate(over="ignore"):
        return np.cumprod(up), np.cumprod(down)


def ratio_interval(numbers: Array, sizes: Array, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of summed ``numbers`` over summed ``sizes``, (n,) each, drawn over items (Efron, 1979).

    A drawn sum of sizes below 1 counts as 1.
    """
    drawn = np.random.default_rng(seed).integers(len(numbers), size=(_DRAWS, len(numbers)))
    ratios = numbers[drawn].sum(axis=1) / np.maximum(sizes[drawn].sum(axis=1), 1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)
