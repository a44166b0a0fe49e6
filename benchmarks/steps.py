"""python -m benchmarks.steps --seeds 0 1 2

Ask narrators which step of a recipe comes next, which came before, and which of two came first.

The text side of procedure benchmarks: text vectors of steps stand in the place of frames, with which they share a
space. A narrator is shown up to four of them and a question, and retrieves the step that is asked for, among wrong ones
of other recipes or of the same. Recipes are those of the Wikibooks Cookbook; no test recipe shares its title or a long
step with one that was learned from, and no right or wrong answer stands in one. All systems read the same vectors.
Interrupted, it goes on when the command is given again: what was trained and answered is kept in the work folder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.errors import UsageError
from scripts._app.cli import Device, Json, emit, remark, run_file

if TYPE_CHECKING:
    from benchmarks.video.step_data import Procedure
    from benchmarks.video.step_models import Answers, StepExperiment
    from multimodal.metrics.personalization import Interval


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long to train, and where to keep it."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training."""
    steps: int = 600
    """Optimiser steps of every system, over both questions."""
    batch_size: int = 64
    """Clips of a step."""
    out: Path | None = None
    """JSON file for all figures; without it none is written."""
    work: Path = Path("~/.cache/polygraft/benchmark")
    """Folder of vectors, runs and answers."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UsageError("seeds is empty: give at least one")
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is 1 or more")


def main(options: Options) -> int:
    """Train, ask, compare and print."""
    laboratory = _open(options)
    from benchmarks.video.step_models import SYSTEMS
    from benchmarks.video.step_tasks import chance

    test = laboratory.sides["test"]
    rows: dict[str, Sequence[Answers]] = dict(laboratory.baselines())
    rows |= {name: [laboratory.answers(name, seed) for seed in options.seeds] for name in SYSTEMS}
    odds = chance(laboratory.test.choices)
    unread = [procedure for procedure in test if procedure.unread]
    tables = {f"{len(test)} test recipes": test}
    if unread:
        tables[f"{len(unread)} of them that the language model has not read"] = unread
    figures = {title: _figures(rows, found) for title, found in tables.items()}
    for title, table in figures.items():
        _print(title, table, odds, as_json=options.json)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"chance": odds, "tables": figures}, indent=1) + "\n", encoding="utf-8")
        remark(f"wrote {options.out}")
    return 0


def _open(options: Options) -> "StepExperiment":
    """Fetch the recipes and load the frozen models."""
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from benchmarks.video.step_data import procedures
    from benchmarks.video.step_models import StepExperiment, StepSchedule
    from starter_build.datasets.packages import fetch
    from starter_build.datasets.readers import RECIPES, recipes

    found = procedures(recipes(fetch(RECIPES, options.data.expanduser())))
    return StepExperiment(
        found,
        ImageEncoder.from_pretrained(device=options.device),
        Backbone.from_pretrained(device=options.device),
        options.work.expanduser(),
        StepSchedule(steps=options.steps, batch_size=options.batch_size),
    )


Table = dict[str, dict[str, dict[str, "Interval"]]]
"""By system and task: ``accuracy``, and ``ours over it``."""


def _figures(rows: Mapping[str, "Sequence[Answers]"], found: "Sequence[Procedure]") -> Table:
    """Return the figures of every system in every task that it answers."""
    from benchmarks.video.step_models import OURS, difference, interval

    ours = rows[OURS]
    return {
        name: {
            task: {
                "accuracy": interval(runs, task, found),
                **({} if name == OURS else {"ours over it": difference(ours, runs, task, found)}),
            }
            for task in runs[0]
        }
        for name, runs in rows.items()
    }


def _print(title: str, table: Table, odds: Mapping[str, float], *, as_json: bool) -> None:
    """Print a table of accuracies and one of differences, or a JSON object."""
    if as_json:
        emit(json.dumps({"table": title, "chance": odds, "rows": table}))
        return
    tasks = list(next(iter(table.values())))
    for figure in ("accuracy", "ours over it"):
        emit(f"\n**{title}: {figure}**\n\n| answers | {' | '.join(tasks)} |\n{'|---' * (1 + len(tasks))}|")
        if figure == "accuracy":
            emit(f"| chance | {' | '.join(f'{odds.get(task, 0.5):.3f}' for task in tasks)} |")
        for name, row in table.items():
            cells = [_cell(row.get(task, {}).get(figure)) for task in tasks]
            if any(cells):
                emit(f"| {name} | {' | '.join(cells)} |")


def _cell(found: "Interval | None") -> str:
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})" if found else ""


if __name__ == "__main__":
    run_file(__file__)
