"""Seconds that things take, measured so that they can be compared: in one run, in turn, several times over."""

import statistics
import time
from collections.abc import Callable, Sequence

from scripts._app.cli import progress


def medians(runs: Sequence[Callable[[], object]], repeats: int, label: str) -> list[float]:
    """Return the median seconds of each of ``runs``.

    Each runs once before, for allocators, kernels and file caches. Then all run in turn, so that whatever else the
    machine does meets them alike.
    """
    for run in runs:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in progress(range(repeats), repeats, label):
        for run, measured in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            run()
            measured.append(time.perf_counter() - began)
    return [statistics.median(measured) for measured in seconds]
