"""Plots of what is learned in a language: bits per byte against steps."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.languages.training import LearningCurve
from scripts._app.plots import pyplot

_LINES = ("-", "--", "-.", ":")


def draw(runs: Mapping[str, Sequence[LearningCurve]], path: Path) -> None:
    """Draw the mean over seeds of each method, a plot for each language."""
    plots = pyplot()
    figure, axes = plots.subplots(1, len(runs), figsize=(5 * len(runs), 4), squeeze=False)
    for axis, (code, own) in zip(axes[0], runs.items(), strict=True):
        _plot(axis, own)
        axis.set_title(code)
        axis.set_xlabel("steps")
    axes[0][0].set_ylabel("bits per byte of held-out text")
    axes[0][-1].legend(fontsize=7)
    figure.savefig(path, bbox_inches="tight")
    plots.close(figure)


def _plot(axis: Any, runs: Sequence[LearningCurve]) -> None:
    for number, method in enumerate(dict.fromkeys(run.method for run in runs)):
        own = [run for run in runs if run.method == method]
        mean = [statistics.fmean(values) for values in zip(*(run.bits for run in own), strict=True)]
        axis.plot(own[0].steps, mean, _LINES[number % len(_LINES)], label=method)
