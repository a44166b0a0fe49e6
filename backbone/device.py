"""Where the work runs and in which precision: device, dtype, seeds, threads, allocator."""

import ctypes
import os
import platform
import random
from contextlib import AbstractContextManager, nullcontext

import torch

from backbone.errors import UsageError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# glibc's mallopt parameters (malloc.h)
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: ``name`` is no device, or this machine has none of that kind.
    """
    if name == "auto":
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))  # which torchrun sets
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name!r} is no device: use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name} asked for, but this machine shows {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps asked for, but this machine has no Metal device")
    return device


def pick_dtype(device: torch.device, dtype: str = "auto") -> torch.dtype:
    """Return the dtype in which frozen weights are held on ``device``.

    ``auto`` is bfloat16 on GPUs that compute in it and float32 elsewhere: on CPUs without matrix units bfloat16 is
    slower than float32.
    """
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype!r} is unknown: use auto or one of {', '.join(DTYPES)}")
    return DTYPES[dtype]


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision for training: bfloat16 autocast on GPUs that have it, nothing elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python and torch (all devices)."""
    random.seed(seed)
    torch.manual_seed(seed)


def keep_big_blocks() -> bool:
    """Let glibc keep big freed blocks instead of handing them back to the kernel after every step.

    Training frees and takes the same logits buffers each step; with the stock allocator each time costs a page fault
    a page. ``mallopt`` does for the running process what the ``MALLOC_MMAP_*`` and ``MALLOC_TRIM_*`` environment
    variables do for a new one. Returns whether it took effect (False where the C library is not glibc).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
