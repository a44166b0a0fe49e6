"""Unsharded copy of the module for evaluation during training, and losses by group (language, source)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from backbone.training.distributed import World, join_world, trainable_tensors, whole

Part = TypeVar("Part", bound=nn.Module)


class MeasuredCopy(Generic[Part]):
    """A copy of a part that is being trained.

    It has weights of its own: under FSDP2 those in training are shards, and only ``forward`` puts them together.

    Args:
        trained: The part that is trained; what of it requires gradients is followed.
        device: The device of this process.
    """

    def __init__(self, trained: Part, device: torch.device) -> None:
        self._trained = trained
        self.part = copy.deepcopy(trained).eval()
        self._world = join_world(device)

    def measure(self, measure: Callable[[], Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
        """Return figures of the weights as they are; every process must call.

        Args:
            measure: A function that looks at ``part``. The first process measures for all, so that all draw the same
                conclusions, to the last bit.
            names: The names of the figures.
        """
        weights = {name: whole(tensor.detach()) for name, tensor in trainable_tensors(self._trained).items()}
        with torch.no_grad():
            for name, own in self.part.named_parameters():
                if name in weights:
                    own.copy_(weights[name])
            found = measure() if self._world.first else dict.fromkeys(names, 0.0)
        return dict(zip(names, self._world.sum(*(found[name] for name in names)), strict=True))


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
