"""Runs of one system with different seeds: what their files are called, and their figures over the seeds."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol


class Measured(Protocol):
    """A run with figures."""

    def figures(self) -> Mapping[str, float]:
        """Return them by name."""


def file_name(system: str, seed: int) -> str:
    """Return what is in the way of no file system."""
    return f"{''.join(c if c.isalnum() else '-' for c in system)}-{seed}"


def summary(runs: Sequence[Measured]) -> dict[str, tuple[float, float | None]]:
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
