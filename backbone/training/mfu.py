"""How fast a device is, and what share of it a training uses (MFU; Chowdhery et al., 2022, appendix B).

Tables of peak speeds know no CPU and no power limit, so the peak is measured: the best of some matrix products, which
is what a network could reach if it were nothing else.
"""

import math
import time
from dataclasses import dataclass

import torch

from backbone.device import autocast
from backbone.training.distributed import World

_SHAPE = (2048, 1024, 1024)
_SHAPE_GPU = (8192, 8192, 8192)  # smaller ones leave most of a big GPU idle
_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Work:
    """Floating-point operations of training on one unit of weight (a token): a multiplication and an addition are 2."""

    needed: float  # that the mathematics asks for: forward, and backward to what is trained
    repeated: float = 0.0  # of the forward pass of the layers, which activation checkpointing makes a second time


def measure_peak(device: torch.device, dtype: torch.dtype, *, seconds: float = _SECONDS) -> float:
    """Return the floating-point operations per second of matrix products: of the fastest in some seconds."""
    rows, inner, columns = _SHAPE_GPU if device.type == "cuda" else _SHAPE
    # a generator of its own: the run's random numbers stay what they are
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(rows, inner, device=device, generator=generator).to(dtype)
    right = torch.randn(inner, columns, device=device, generator=generator).to(dtype)
    torch.mm(left, right)  # the first one makes room and chooses a kernel
    fastest, end = math.inf, time.perf_counter() + seconds
    while math.isinf(fastest) or time.perf_counter() < end:
        _synchronize(device)
        began = time.perf_counter()
        torch.mm(left, right)
        _synchronize(device)
        fastest = min(fastest, time.perf_counter() - began)  # on a shared machine the others were disturbed
    return 2 * rows * inner * columns / fastest


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Gauge:
    """Turns the speed of a training into shares of what its devices could do.

    Args:
        work: The work of one unit of weight.
        world: The processes; all measure at the same time, so processes that share a CPU share its peak.
        dtype: The dtype of the weights, where no mixed precision replaces it.
        repeats: Whether the forward pass of the layers is made a second time.
    """

    def __init__(self, work: Work, world: World, dtype: torch.dtype, *, repeats: bool = False) -> None:
        self.work = work
        self.repeats = repeats
        with autocast(world.device):
            mixed = torch.is_autocast_enabled(world.device.type)
        world.barrier()
        (self.peak,) = world.sum(measure_peak(world.device, torch.bfloat16 if mixed else dtype))

    def shares(self, per_second: float) -> dict[str, float]:
        """Return ``mfu``, and ``hfu`` where layers are made twice, for a speed in units of weight per second."""
        shares = {"mfu": per_second * self.work.needed / self.peak}
        if self.repeats:
            shares["hfu"] = per_second * (self.work.needed + self.work.repeated) / self.peak
        return shares
