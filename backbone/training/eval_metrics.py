"""A part in training as it is measured: a whole copy with the weights of now, the same figures on every process."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import torch
from torch import nn

from backbone.training.distributed import join_world, trainable_tensors, whole

Part = TypeVar("Part", bound=nn.Module)


class MeasuredCopy(Generic[Part]):
    """A copy of a part that is being trained.

    It has weights of its own: under FSDP2 those in training are shards, and only ``forward`` puts them together.

    Args:
        trained: the part; what of it requires gradients is followed.
        device: of the processes.
    """

    def __init__(self, trained: Part, device: torch.device) -> None:
        self._trained = trained
        self.part = copy.deepcopy(trained).eval()
        self._world = join_world(device)

    def measure(self, measure: Callable[[], Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
        """Return figures of the weights as they are; every process must call.

        Args:
            measure: looks at ``part``. The first process measures for all, so that all draw the same conclusions, to
                the last bit.
            names: of the figures.
        """
        weights = {name: whole(tensor.detach()) for name, tensor in trainable_tensors(self._trained).items()}
        with torch.no_grad():
            for name, own in self.part.named_parameters():
                if name in weights:
                    own.copy_(weights[name])
            found = measure() if self._world.first else dict.fromkeys(names, 0.0)
        return dict(zip(names, self._world.sum(*(found[name] for name in names)), strict=True))
