"""python -m benchmarks.personal --sets voices --seeds 0 1 2

Train personal and impersonal captioners on words of real communities, and compare them with one another and controls.

Voices: the same emoji in the words of many communities; users are voices with a past of 10 posts up to all. Authors:
clip art with titles and keywords of those who drew it. All systems read the same features by the same frozen models,
and of twelve captions drawn give the one that is agreed on; with ours, past captions of the user and of users who
write alike vote. Fetches some 400 MB of packages the first time. Interrupted, it goes on when the command is given
again: what was trained and captioned is kept in the work folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from backbone.errors import UsageError
from benchmarks.common import BenchmarkOptions, print_table, summary
from scripts._app.cli import Device, remark, run_file
from starter_build.starter.captioners import ABLATIONS, COMPARED, LONGER, MLP, OURS, PAPER, CaptionSchedule

if TYPE_CHECKING:
    from benchmarks.captioning.experiment import CaptioningExperiment
    from benchmarks.captioning.figures import CaptionRun

Part = Literal["table", "controls", "curve", "ablations", "steps", "images"]


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """What to measure, and where to keep it."""

    sets: tuple[Literal["voices", "authors"], ...] = ("voices", "authors")
    """The sets of posts."""
    parts: tuple[Part, ...] = get_args(Part)
    """table: systems and baselines; controls: ours with wrong users and images; curve: by number of past posts;
    ablations: ours without each part, or with one more, on the validation posts; steps: trained for longer; images:
    a grid of examples."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training; the curve, the images and what tells users apart use the first."""
    train: CaptionSchedule = field(default_factory=CaptionSchedule)
    ablations: tuple[str, ...] = tuple(ABLATIONS)
    """Which ablations."""
    meteor: bool = False
    """Measure METEOR in the tables of systems too, which needs Java."""
    out: Path | None = None
    """Folder for the plot and the grid of examples; without it none is made."""
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(set(self.ablations) - set(ABLATIONS)):
            raise UsageError(f"ablations holds {unknown[0]!r}, allowed are {', '.join(ABLATIONS)}")


def main(options: Options) -> int:
    """Train, caption, compare and print."""
    from benchmarks.captioning.experiment import CaptioningExperiment

    parts = {"table": _table, "controls": _controls, "curve": _curve, "ablations": _ablations}
    parts |= {"steps": _steps, "images": _grid}
    for name in options.sets:
        experiment = CaptioningExperiment.open(
            name, options.data, options.work, schedule=options.train, device=options.device
        )
        for part in options.parts:
            if name == "voices" or part in ("table", "controls"):
                parts[part](experiment, options)
    return 0


def _table(experiment: "CaptioningExperiment", options: Options) -> None:
    from benchmarks.captioning.conditions import CONDITIONS, baseline_captions, pasts
    from benchmarks.captioning.figures import CaptionRun

    bench = experiment.bench
    for condition in CONDITIONS:
        if condition.split not in bench.splits:
            continue
        posts = bench.splits[condition.split].posts
        copied = baseline_captions(bench, condition.split, pasts(condition, bench))
        rows = {name: [CaptionRun(posts=posts, captions=captions)] for name, captions in copied.items()}
        rows |= {name: experiment.runs(name, options.seeds, condition) for name in COMPARED[experiment.name]}
        rows = {name: [replace(run, meteor=options.meteor) for run in runs] for name, runs in rows.items()}
        _print_runs(options, f"{experiment.name}, {condition.name} ({len(posts)} posts)", rows, rows[OURS])


def _controls(experiment: "CaptioningExperiment", options: Options) -> None:
    from benchmarks.captioning.conditions import CONTROLS, MAIN

    rows = {condition.name: experiment.runs(OURS, options.seeds, condition) for condition in (MAIN, *CONTROLS)}
    _print_runs(options, f"{experiment.name}, controls of {OURS}", rows, rows[MAIN.name])
    figures = experiment.personal_figures(OURS, options.seeds[0])
    rows_of_figures = {name: {"value": value} for name, value in figures.items()}
    print_table(f"{experiment.name}, what tells users apart", rows_of_figures, as_json=options.json)


def _curve(experiment: "CaptioningExperiment", options: Options) -> None:
    from benchmarks.captioning.conditions import CURVE, nearest_past, pasts
    from benchmarks.captioning.figures import CaptionRun, plot_curve

    bench, seeds, nearest = experiment.bench, options.seeds[:1], "nearest image, own past"
    lines: dict[str, list[float]] = {OURS: [], PAPER: [], nearest: []}
    for condition in CURVE:
        tested = bench.splits[condition.split]
        copied = nearest_past(bench, tested, pasts(condition, bench) if condition.past else {})
        runs = {name: experiment.runs(name, seeds, condition)[0] for name in (OURS, PAPER)}
        runs[nearest] = CaptionRun(posts=tested.posts, captions=copied)
        figures = {name: run.figures() for name, run in runs.items()}
        print_table(f"{experiment.name}, {condition.name}", figures, head="captions", as_json=options.json)
        for name, own in figures.items():
            lines[name].append(own["cider_d"])
    lines[MLP] = [experiment.runs(MLP, seeds, CURVE[-1])[0].figures()["cider_d"]] * len(CURVE)
    if options.out:
        remark(f"wrote {plot_curve([condition.name for condition in CURVE], lines, options.out)}")


def _ablations(experiment: "CaptioningExperiment", options: Options) -> None:
    # the validation posts decide
    from benchmarks.captioning.conditions import VALIDATION
    from benchmarks.captioning.experiment import DECODINGS

    names = [OURS, *(f"ours, {name}" for name in options.ablations)]
    rows = {name: experiment.runs(name, options.seeds, VALIDATION) for name in names}
    for title, search in DECODINGS.items():
        rows[f"ours, {title}"] = experiment.runs(OURS, options.seeds, VALIDATION, search=search)
    _print_runs(options, f"{experiment.name}, ablations, validation posts", rows, rows[OURS])


def _steps(experiment: "CaptioningExperiment", options: Options) -> None:
    """Print what longer training gives on the validation posts, and the published design on the test posts too."""
    from benchmarks.captioning.conditions import MAIN, VALIDATION

    for condition, names in ((VALIDATION, tuple(LONGER)), (MAIN, (PAPER,))):
        rows = {
            f"{name}, {times * options.train.steps} steps": experiment.longer(times).runs(
                name, options.seeds, condition
            )
            for name in names
            for times in LONGER[name]
        }
        ours = experiment.runs(OURS, options.seeds, condition)
        _print_runs(options, f"{experiment.name}, length of training, {condition.name}", rows, ours)


def _grid(experiment: "CaptioningExperiment", options: Options) -> None:
    from benchmarks.captioning.conditions import MAIN
    from benchmarks.captioning.figures import draw_grid

    if options.out:
        (run,) = experiment.runs(OURS, options.seeds[:1], MAIN)
        remark(f"wrote {draw_grid(run, options.out, seed=options.seeds[0])}")


def _print_runs(
    options: Options, title: str, rows: "Mapping[str, Sequence[CaptionRun]]", ours: "Sequence[CaptionRun]"
) -> None:
    from benchmarks.captioning.figures import compared

    table = {
        name: {**summary([run.figures() for run in runs]), **({} if runs is ours else compared(ours, runs))}
        for name, runs in rows.items()
    }
    print_table(title, table, head="captions", as_json=options.json)


if __name__ == "__main__":
    run_file(__file__)
