"""The order of training samples: a pure function of (seed, data digest, sample index), and what a run leaves out of it.

Samples that are left out after a loss spike stay in a ledger of the run, so that a resumed run leaves out the same.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Skips = Sequence[Sequence[int]]
"""Ranges [start, stop) of places in the stream of samples that are left out, in its order."""


class Batches(Protocol):
    """What `fit` trains on: samples addressed by number, turned into batches on demand."""

    @property
    def digest(self) -> str:
        """Name the data: two runs see the same samples exactly when their digests are equal."""

    def __len__(self) -> int:
        """Return the number of samples in one epoch."""

    def collate(self, indices: Sequence[int]) -> Any:
        """Return the batch of these samples; a pure function of the indices, on the CPU."""


class SampleOrder:
    """Shuffled epochs without state: position ``i`` of the endless stream is known without visiting the others."""

    def __init__(self, samples: int, seed: int, digest: str) -> None:
        if samples < 1:
            raise ValueError("an order needs at least one sample")
        self.samples = samples
        # with the digest of the data, two sets of one size are shuffled differently
        key = hashlib.sha256(f"{seed}:{digest}".encode()).digest()
        self._entropy = int.from_bytes(key[:16], "big")
        # An epoch's permutation is needed for thousands of steps in a row; two stay because a batch may straddle.
        self._permutation = lru_cache(maxsize=2)(self._make_permutation)

    def _make_permutation(self, epoch: int) -> NDArray[np.int64]:
        seeds = np.random.SeedSequence([self._entropy, epoch])
        return np.random.Generator(np.random.PCG64(seeds)).permutation(self.samples)

    def take(self, start: int, stop: int) -> list[int]:
        """Return the sample numbers at positions ``start`` to ``stop`` (exclusive) of the stream."""
        taken: list[int] = []
        while start < stop:
            epoch, offset = divmod(start, self.samples)
            end = min(self.samples, offset + stop - start)
            taken += self._permutation(epoch)[offset:end].tolist()
            start += end - offset
        return taken


def place_after(place: int, skips: Skips) -> int:
    """Return where in the stream the sample stands that has ``place`` samples before it, skipped ones not counted."""
    for start, stop in skips:
        if place >= start:
            place += stop - start
    return place


def skip_batches(skips: Skips, first: int, last: int, size: int) -> list[list[int]]:
    """Return the ledger with the batches of steps ``first`` to ``last`` (counted from 0) added.

    Args:
        skips: The ledger before; what was skipped between the two steps already is part of the new range.
        first: The step that the run goes back to.
        last: The step that failed.
        size: The number of samples in a batch.
    """
    start, stop = place_after(first * size, skips), place_after(last * size, skips) + size
    return [[*pair] for pair in skips if pair[1] <= start] + [[start, stop]]


def split_evenly(items: Sequence[int], parts: int, part: int) -> Sequence[int]:
    """Return block ``part`` of ``items`` cut into ``parts`` contiguous blocks whose sizes differ by one at most."""
    size = len(items)
    return items[size * part // parts : size * (part + 1) // parts]


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of the random numbers (dropout) of one step on one process.

    Seeding each step anew replaces saved generator states: a resumed step draws what the unbroken one drew.
    """
    return int.from_bytes(
        hashlib.sha256(f"{seed}:{step}:{rank}".encode()).digest()[:7], "big"
    )  # 56 bits: torch takes 63
