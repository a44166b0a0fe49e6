"""python -m benchmarks.personal --sets voices --seeds 0 1 2

Train personal and impersonal captioners on words of real communities, and compare them with one another and controls.

Voices: the same emoji in the words of many communities; users are voices with a past of 10 posts up to all. Authors:
clip art with titles and keywords of those who drew it. All systems read the same features by the same frozen models,
and of twelve captions drawn give the one that is agreed on; with ours, past captions of the user and of users who
write alike vote. Fetches some 400 MB of packages the first time. Interrupted, it goes on when the command is given
again: what was trained and captioned is kept in the work folder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backbone.errors import UsageError
from benchmarks.common import cell, summary
from scripts._app.cli import Device, Json, emit, remark, run_file
from starter_build.starter.captioners import ABLATIONS, COMPARED, LONGER, MLP, OURS, PAPER, CaptionSchedule

if TYPE_CHECKING:
    from benchmarks.captioning.experiment import CaptioningExperiment
    from benchmarks.captioning.tables import CaptionRun

Part = Literal["table", "controls", "curve", "ablations", "steps", "images"]
PARTS: tuple[Part, ...] = ("table", "controls", "curve", "ablations", "steps", "images")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, and where to keep it."""

    sets: tuple[Literal["voices", "authors"], ...] = ("voices", "authors")
    """The sets of posts."""
    parts: tuple[Part, ...] = PARTS
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
    export: Path | None = None
    """Write the posts of each set to this folder as JSONL, for `train captioner` and `evaluate caption`."""
    work: Path = Path("~/.cache/polygraft/benchmark")
    """Folder of features, runs and captions."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UsageError("seeds is empty: give at least one")
        if unknown := sorted(set(self.ablations) - set(ABLATIONS)):
            raise UsageError(f"ablations holds {unknown[0]!r}, allowed are {', '.join(ABLATIONS)}")


def main(options: Options) -> int:
    """Train, caption, compare and print."""
    from benchmarks.captioning.experiment import CaptioningExperiment
    from benchmarks.captioning.export import write_posts

    for name in options.sets:
        laboratory = CaptioningExperiment.open(
            name, options.data.expanduser(), options.work.expanduser(), schedule=options.train, device=options.device
        )
        if options.export:
            write_posts(laboratory.posts, options.export / f"{name}.jsonl")
            remark(f"wrote {options.export / name}.jsonl")
        parts = {"table": _table, "controls": _controls, "curve": _curve, "ablations": _ablations}
        parts |= {"steps": _steps, "images": _grid}
        for part in options.parts:
            if name == "voices" or part in ("table", "controls"):
                parts[part](laboratory, options)
    return 0


def _table(laboratory: "CaptioningExperiment", options: Options) -> None:
    """Print baselines and systems under the main conditions, and how many times ours is each of them."""
    from benchmarks.captioning.conditions import CONDITIONS, pasts
    from benchmarks.captioning.tables import CaptionRun

    bench = laboratory.bench
    for condition in CONDITIONS:
        if condition.split not in bench.data.splits:
            continue
        history = pasts(condition, bench)
        posts = bench.data.splits[condition.split].posts
        rows = {
            name: [CaptionRun(posts=posts, captions=c)]
            for name, c in laboratory.baselines(condition.split, history).items()
        }
        rows |= {name: laboratory.runs(name, options.seeds, condition) for name in COMPARED[laboratory.name]}
        rows = {name: [replace(run, meteor=options.meteor) for run in runs] for name, runs in rows.items()}
        _print_runs(options, f"{laboratory.name}, {condition.name} ({len(posts)} posts)", rows, rows[OURS])


def _controls(laboratory: "CaptioningExperiment", options: Options) -> None:
    """Print ours with wrong users and images, and what tells users apart."""
    from benchmarks.captioning.conditions import CONTROLS, MAIN

    rows = {condition.name: laboratory.runs(OURS, options.seeds, condition) for condition in (MAIN, *CONTROLS)}
    _print_runs(options, f"{laboratory.name}, controls of {OURS}", rows, rows[MAIN.name])
    for name, value in laboratory.personal_figures(OURS, options.seeds[0]).items():
        emit(
            json.dumps({"set": laboratory.name, "figure": name, "value": value}) if options.json else f"{name}: {value}"
        )


def _curve(laboratory: "CaptioningExperiment", options: Options) -> None:
    """Print quality against the number of past posts, and plot it."""
    from benchmarks.captioning.conditions import CURVE, pasts
    from benchmarks.captioning.plots import plot_curve
    from benchmarks.captioning.tables import CaptionRun

    seed = options.seeds[0]
    posts = laboratory.bench.data.splits["test2"].posts
    lines: dict[str, list[float]] = {OURS: [], PAPER: [], "nearest image, own past": []}
    for condition in CURVE:
        captions = laboratory.nearest_own(condition.split, pasts(condition, laboratory.bench) if condition.past else {})
        runs = {name: laboratory.run(name, seed, condition) for name in (OURS, PAPER)}
        runs["nearest image, own past"] = CaptionRun(posts=posts, captions=captions)
        for name, run in runs.items():
            lines[name].append(run.figures()["cider_d"])
        _print(options, f"{laboratory.name}, {condition.name}", {n: summary([run]) for n, run in runs.items()}, {})
    lines[MLP] = [laboratory.run(MLP, seed, CURVE[-1]).figures()["cider_d"]] * len(CURVE)
    if options.out:
        remark(f"wrote {plot_curve([condition.name for condition in CURVE], lines, options.out)}")


def _ablations(laboratory: "CaptioningExperiment", options: Options) -> None:
    """Print ours without each of its parts, on the validation posts, which decide."""
    from benchmarks.captioning.conditions import VALIDATION

    names = [OURS, *(f"ours, {name}" for name in options.ablations)]
    rows = {name: laboratory.runs(name, options.seeds, VALIDATION) for name in names}
    for title, decoding in laboratory.DECODINGS.items():
        rows[f"ours, {title}"] = laboratory.runs(OURS, options.seeds, VALIDATION, decoding=decoding)
    _print_runs(options, f"{laboratory.name}, ablations, validation posts", rows, rows[OURS])


def _steps(laboratory: "CaptioningExperiment", options: Options) -> None:
    """Print what longer training gives on the validation posts, and the published design on the test posts too."""
    from benchmarks.captioning.conditions import MAIN, VALIDATION

    for condition, names in ((VALIDATION, tuple(LONGER)), (MAIN, (PAPER,))):
        rows = {
            f"{name}, {times * options.train.steps} steps": laboratory.longer(times).runs(
                name, options.seeds, condition
            )
            for name in names
            for times in LONGER[name]
        }
        ours = laboratory.runs(OURS, options.seeds, condition)
        _print_runs(options, f"{laboratory.name}, length of training, {condition.name}", rows, ours)


def _grid(laboratory: "CaptioningExperiment", options: Options) -> None:
    """Draw the same images captioned for two users."""
    from benchmarks.captioning.conditions import MAIN
    from benchmarks.captioning.plots import draw_grid

    if options.out:
        run = laboratory.run(OURS, options.seeds[0], MAIN)
        remark(f"wrote {draw_grid(run, options.out, seed=options.seeds[0])}")


def _print_runs(
    options: Options, title: str, rows: "Mapping[str, Sequence[CaptionRun]]", ours: "Sequence[CaptionRun]"
) -> None:
    """Print the figures of each row over its seeds, and how many times ours is all rows but itself."""
    from benchmarks.captioning.tables import compared

    against = {name: compared(ours, runs) for name, runs in rows.items() if runs is not ours}
    _print(options, title, {name: summary(runs) for name, runs in rows.items()}, against)


def _print(
    options: Options,
    title: str,
    table: dict[str, dict[str, tuple[float, float | None]]],
    against: dict[str, dict[str, float]],
) -> None:
    """Print a table as markdown, or as one JSON object."""
    if options.json:
        rows = {name: {key: value for key, (value, _) in row.items()} for name, row in table.items()}
        emit(json.dumps({"table": title, "rows": rows, "ours over": against}, ensure_ascii=False))
        return
    figures = list(next(iter(table.values())))
    emit(f"\n**{title}**\n\n| captions | {' | '.join(figures)} | ours over it |\n{'|---' * (len(figures) + 2)}|")
    for name, row in table.items():
        emit(f"| {name} | {' | '.join(cell(*row[key]) for key in figures)} | {_ratio(against.get(name))} |")


def _ratio(found: dict[str, float] | None) -> str:
    if not found:
        return ""
    chance = f", p {found['p']:.4f}" if "p" in found else ""
    return f"{found['ratio']:.2f} ({found['low']:.2f} to {found['high']:.2f}){chance}"


if __name__ == "__main__":
    run_file(__file__)
