"""One process or many: the process group, DDP, FSDP2, and sums over processes.

Started by ``torchrun``, every process calls the same code; started plainly, none of this does anything.
"""

import atexit
import copy
import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from backbone.training.config import TrainConfig

Part = TypeVar("Part", bound=nn.Module)


@dataclass(frozen=True)
class World:
    """The processes that train together: this one's number, how many there are, and their device."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def sum(self, *values: float | Tensor) -> list[float]:
        """Return each value summed over all processes, in float64 (float32 on MPS)."""
        # sums of many losses lose digits in float32, but MPS has nothing longer
        precision = torch.float32 if self.device.type == "mps" else torch.float64
        tensors = [torch.as_tensor(v, device=self.device).detach().to(precision) for v in values]
        total = torch.stack(tensors)
        if self.size > 1:
            dist.all_reduce(total)
        return [float(v) for v in total.tolist()]

    def barrier(self, group: dist.ProcessGroup | None = None) -> None:
        """Wait for every process, over the common group or another of the same processes."""
        if self.size > 1:
            dist.barrier(group)


def join_world(device: torch.device) -> World:
    """Return this process's world, joining the process group that ``torchrun`` announces in the environment."""
    if not dist.is_initialized() and "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # first, or all processes of a machine would meet on its first GPU
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave_world)
    if dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size(), device)
    return World(0, 1, device)


def _leave_world() -> None:
    # Gloo's threads let go of the last tensors a moment after the operation is over; one that then asks an interpreter
    # in its end for the lock is ended by force and takes the process with it (SIGABRT).
    dist.destroy_process_group()
    gc.collect()
    time.sleep(0.3)


def parallelize(module: nn.Module, config: TrainConfig, world: World) -> nn.Module:
    """Return the module to call in training: checkpointed, sharded or replicated, compiled as the options say.

    ``module`` itself keeps the parameters (under FSDP2 they become sharded in place).
    """
    if config.activation_checkpointing:
        for block in repeated_blocks(module):
            # Replacing the bound method keeps parameter names as they are; a wrapper module would change them.
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if world.size > 1 and config.parallel == "fsdp":
        mesh = init_device_mesh(world.device.type, (world.size,))
        for block in repeated_blocks(module):
            fully_shard(block, mesh=mesh)
        if isinstance(inner := getattr(module, "model", None), nn.Module):
            fully_shard(inner, mesh=mesh)  # so that it can be called by itself, too
        fully_shard(module, mesh=mesh)
    called: Any = torch.compile(module) if config.compile else module
    if world.size > 1 and config.parallel == "ddp":
        ids = [world.device] if world.device.type == "cuda" else None
        return DistributedDataParallel(called, device_ids=ids)
    return cast(nn.Module, called)


@contextmanager
def gradient_sync(called: nn.Module, wanted: bool) -> Iterator[None]:
    """Let the processes exchange gradients in this backward pass only if ``wanted`` (the last of a step)."""
    if isinstance(called, FSDPModule):
        called.set_requires_gradient_sync(wanted)
        yield
    elif isinstance(called, DistributedDataParallel) and not wanted:
        with called.no_sync():
            yield
    else:
        yield


def whole(tensor: Tensor) -> Tensor:
    """Return a plain tensor with all shards of ``tensor`` (every process must call)."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def trainable_tensors(module: nn.Module) -> dict[str, Any]:
    """Return the parameters that training changes, by name, each once."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """Return the layers of a network: the members of its outermost module lists."""
    blocks: list[nn.Module] = []
    for child in module.children():
        blocks += list(child) if isinstance(child, nn.ModuleList) else repeated_blocks(child)
    return blocks


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
