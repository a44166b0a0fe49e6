"""Runs of one system with different seeds: what their files are called, and their figures over the seeds.

Seconds that things take, measured so that they can be compared: in one run, in turn, several times over.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from scripts._app.cli import progress


class HasFigures(Protocol):
    """A run with figures."""

    def figures(self) -> Mapping[str, float]:
        """Return them by name."""


def file_name(system: str, seed: int) -> str:
    """Return what is in the way of no file system."""
    return f"{''.join(c if c.isalnum() else '-' for c in system)}-{seed}"


def summary(runs: Sequence[HasFigures]) -> dict[str, tuple[float, float | None]]:
    """Return the mean of each figure over seeds, and the standard deviation where there are several."""
    figures = [run.figures() for run in runs]
    return {
        name: (
            statistics.fmean(one[name] for one in figures),
            statistics.stdev([one[name] for one in figures]) if len(figures) > 1 else None,
        )
        for name in figures[0]
    }


def cell(mean: float, deviation: float | None = None) -> str:
    """Return mean and standard deviation as a table shows them."""
    return f"{mean:.3f}" + (f" ± {deviation:.3f}" if deviation is not None else "")


def medians(runs: Sequence[Callable[[], object]], repeats: int, label: str) -> list[float]:
    """Return the median seconds of each of ``runs``.

    Each runs once before, for allocators, kernels and file caches. Then all run in turn, so that whatever else the
    machine does meets them alike.
    """
    for run in runs:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in progress(range(repeats), label, repeats):
        for run, measured in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            run()
            measured.append(time.perf_counter() - began)
    return [statistics.median(measured) for measured in seconds]
