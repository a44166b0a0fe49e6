"""Detection of loss spikes, and the ledger of skipped samples.

PaLM's remedy: go back to a state from before the spike and skip the batches that led to it (Chowdhery et al., 2022,
section 5.1). Skipped samples stay in a ledger of the run, so that a resumed run skips the same.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median

Skips = Sequence[Sequence[int]]
"""Ranges [start, stop) of places in the stream of samples that are left out, in its order."""

WINDOW = 64  # losses that a loss is compared with

_LEAST = 10  # losses below which no deviation can be judged
_TO_SIGMA = 1.4826  # median absolute deviations of a normal distribution in one standard deviation
_FLOOR = 0.01  # of the median: losses that hardly move are no reason to call a small step a spike


class SpikeError(Exception):
    """A step whose loss or gradient must not be learned from; caught by the training loop."""


class SpikeGuard:
    """Tells spikes from noise, without state but the last losses.

    Args:
        deviations: The robust standard deviations above the running median at which a spike begins; 0: none does.
        losses: The losses of the last steps, as `recent` gave them.
    """

    def __init__(self, deviations: float, losses: Iterable[float] = ()) -> None:
        self.deviations = deviations
        self._losses = deque(losses, maxlen=WINDOW)

    def __bool__(self) -> bool:
        return self.deviations > 0

    @property
    def recent(self) -> list[float]:
        """The losses of the last steps, oldest first."""
        return list(self._losses)

    def limit(self) -> float:
        """Return the largest loss that is no spike now; infinite before there are losses to compare with."""
        if len(self._losses) < _LEAST:
            return math.inf
        middle = median(self._losses)
        deviation = _TO_SIGMA * median(abs(loss - middle) for loss in self._losses)
        return middle + self.deviations * max(deviation, _FLOOR * abs(middle))

    def check(self, loss: float, norm: float) -> None:
        """Take note of a loss and its gradient norm; does nothing where the guard is off.

        Raises:
            SpikeError: The loss is a spike, or one of the two is not finite.
        """
        if not self:
            return
        if not math.isfinite(loss):
            raise SpikeError(f"the loss became {loss}")
        if not math.isfinite(norm):
            raise SpikeError(f"the gradient's norm became {norm}")
        limit = self.limit()
        if loss > limit:
            raise SpikeError(f"the loss rose to {loss:.4g}, above {limit:.4g}")
        self._losses.append(loss)


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
