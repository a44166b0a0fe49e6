"""Toy runs in processes that begin with torch in memory."""

import json
import multiprocessing
from pathlib import Path

from tests import forked
from tests.backbone.training.toy_training import run


def start(folder: Path, processes: int = 1, **options: object) -> list[multiprocessing.Process]:
    """Begin a run of `toy_training`, in one process or in several that train together."""
    folder.mkdir(exist_ok=True)
    settings = {"out": str(folder), "report": str(folder / "report.json"), **options}
    return forked.start(run, settings, processes=processes)


def finish(started: list[multiprocessing.Process], folder: Path) -> dict[str, object]:
    """Wait for the end of a run and return its report."""
    forked.finish(started)
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))
