"""How fast a device is, and what share of it a training uses (MFU; Chowdhery et al., 2022, appendix B).

Tables of peak speeds know no CPU and no power limit, so the peak is measured: the best of some matrix products, which
is what a network could reach if it were nothing else.
"""

import math
import time

import torch

from backbone.device import autocast
from backbone.training.distributed import World

_SHAPE = (2048, 1024, 1024)
_SHAPE_GPU = (8192, 8192, 8192)  # smaller ones leave most of a big GPU idle
_SECONDS = 0.5


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
        work: The operations that the mathematics of one unit of weight (a token) asks for: forward, and backward to
            what is trained. A multiplication and an addition are two.
        world: The processes; all measure at the same time, so processes that share a CPU share its peak.
        dtype: The dtype of the weights, where no mixed precision replaces it.
    """

    def __init__(self, work: float, world: World, dtype: torch.dtype) -> None:
        self.work = work
        with autocast(world.device):
            mixed = torch.is_autocast_enabled(world.device.type)
        world.barrier()
        (self.peak,) = world.sum(measure_peak(world.device, torch.bfloat16 if mixed else dtype))

    def shares(self, per_second: float) -> dict[str, float]:
        """Return ``mfu`` for a speed in units of weight per second."""
        return {"mfu": per_second * self.work / self.peak}
