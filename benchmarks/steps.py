"""python -m benchmarks.steps --seeds 0 1 2

Ask narrators which step of a recipe comes next, which came before, and which of two came first.

The text side of procedure benchmarks: text vectors of steps stand in the place of frames, with which they share a
space. A narrator is shown up to four of them and a question, and retrieves the step that is asked for, among wrong ones
of other recipes or of the same. Recipes are those of the Wikibooks Cookbook; no test recipe shares its title or a long
step with one that was learned from, and no right or wrong answer stands in one. All systems read the same vectors.
Interrupted, it goes on when the command is given again: what was trained and answered is kept in the work folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backbone.io.settings import check_range
from benchmarks.common import BenchmarkOptions, print_table
from scripts._app.cli import Device, run_file

if TYPE_CHECKING:
    from benchmarks.video.step_data import Procedure
    from benchmarks.video.step_models import Answers, StepExperiment
    from multimodal.metrics.personalization import Interval


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """How long to train, and where to keep it."""

    steps: int = 600
    """Optimizer steps of every system, over both questions."""
    batch_size: int = 64
    """Clips of a step."""
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "steps batch_size", 1)


def main(options: Options) -> int:
    """Train, ask, compare and print."""
    from benchmarks.video.step_models import SYSTEMS
    from benchmarks.video.step_tasks import chance

    experiment = _open(options)
    test = experiment.sides["test"]
    rows: dict[str, Sequence[Answers]] = dict(experiment.baselines())
    rows |= {name: [experiment.answers(name, seed) for seed in options.seeds] for name in SYSTEMS}
    odds = chance(experiment.test.choices)
    tables = {f"{len(test)} test recipes": test}
    if unread := [procedure for procedure in test if procedure.unread]:
        tables[f"{len(unread)} of them that the language model has not read"] = unread
    for title, found in tables.items():
        accuracy, over = _figures(rows, found)
        guesses = {task: odds.get(task, 0.5) for task in accuracy[next(iter(accuracy))]}
        table: dict[str, Mapping[str, Any]] = {"chance": guesses, **accuracy}
        print_table(f"{title}: accuracy", table, head="answers", as_json=options.json)
        print_table(f"{title}: ours over it", over, head="answers", as_json=options.json)
    return 0


def _open(options: Options) -> "StepExperiment":
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from benchmarks.video.step_data import procedures
    from benchmarks.video.step_models import StepExperiment
    from starter_build.datasets.packages import fetch
    from starter_build.datasets.readers import RECIPES, recipes

    found = procedures(recipes(fetch(RECIPES, options.data)))
    return StepExperiment(
        found,
        ImageEncoder.from_pretrained(device=options.device),
        Backbone.from_pretrained(device=options.device),
        options.work,
        steps=options.steps,
        batch_size=options.batch_size,
    )


Table = dict[str, dict[str, "Interval"]]  # intervals by system and task


def _figures(rows: Mapping[str, "Sequence[Answers]"], found: "Sequence[Procedure]") -> tuple[Table, Table]:
    from benchmarks.video.step_models import OURS, difference, interval

    accuracy = {name: {task: interval(runs, task, found) for task in runs[0]} for name, runs in rows.items()}
    over = {
        name: {task: difference(rows[OURS], runs, task, found) for task in runs[0]}
        for name, runs in rows.items()
        if name != OURS
    }
    return accuracy, over


if __name__ == "__main__":
    run_file(__file__)
