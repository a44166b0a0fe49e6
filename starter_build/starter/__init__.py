"""The steps that make the starter models, each restartable."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Build:
    """Where a step finds and keeps its files, and its seed."""

    data: Path  # fetched packages
    work: Path  # features, texts and unfinished runs: a second call goes on where the first stopped
    out: Path  # the folder of the model
    seed: int = 0  # of weights, of what is drawn and of the order of samples
