"""What a run watches of its losses: their means by group (language, source), and spikes.

PaLM's remedy for spikes is used: go back to a state from before the spike and skip the batches that led to it
(Chowdhery et al., 2022, section 5.1).
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median

import torch
from torch import Tensor

from backbone.training.distributed import World

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


class GroupLosses:
    """Sums what modules tell about groups, until it is asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._sums: Tensor | None = None

    def add(self, sums: Tensor) -> None:
        """Add (groups, 2): summed loss and weight of each group in a micro-batch."""
        sums = sums.detach().double() if sums.device.type != "mps" else sums.detach()
        self._sums = sums if self._sums is None else self._sums + sums

    def clear(self) -> None:
        """Forget what was added."""
        self._sums = None

    def take(self, world: World) -> dict[str, float]:
        """Return the mean loss of each group that occurred in any process, by ``loss.name``, and begin anew."""
        if not self.names:
            return {}
        own = torch.zeros(len(self.names), 2) if self._sums is None else self._sums
        self.clear()
        values = world.sum(*own.flatten().unbind())
        pairs = zip(self.names, values[::2], values[1::2], strict=True)
        return {f"loss.{name}": loss / weight for name, loss, weight in pairs if weight}


def group_sums(losses: Tensor, groups: Tensor, count: int) -> Tensor:
    """Return (count, 2), summed loss and weight of each group.

    Args:
        losses: The loss of each prediction, any shape.
        groups: The number of each prediction's group, the same shape; negative ones count nowhere.
        count: The number of groups.
    """
    wanted = groups >= 0
    places, values = groups[wanted], losses.detach()[wanted]
    both = torch.stack([values, torch.ones_like(values)], dim=1)
    return torch.zeros(count, 2, dtype=both.dtype, device=both.device).index_add_(0, places, both)
