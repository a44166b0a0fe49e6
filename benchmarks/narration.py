"""python -m benchmarks.narration --seeds 0 1 2

Train narrators on moving emoji and compare what they find, with the plain image tower and a GPT-2 that writes.

708 short videos with the names that communities give them, parted by concept. All systems read the same frames by the
same frozen models, and learn for the same number of steps; validation videos choose the weights. The image-text model
has seen no emoji, as a general one has seen nothing of a special field; with --clip starter it has learned stills of
some held-out concepts (known ones; the others are fresh) and of all that the narrators are trained on.
Narrations are found among the names of the videos, the names of all emoji, and a large vocabulary filled up with recipe
steps, WordNet and sentences composed of the recipes' parts. Fetches some 800 MB of packages the first time.
Interrupted, it goes on when the command is given again: what was trained and encoded is kept in the work folder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from backbone.errors import UsageError
from benchmarks.common import cell, summary
from benchmarks.video.systems import ABLATIONS, BATCH, FRAMES_FIRST, MAIN, MEAN, OURS, WRITES, NarrationSchedule
from scripts._app.cli import Device, Json, emit, remark, run_file

if TYPE_CHECKING:
    from benchmarks.video.experiment import NarrationExperiment
    from benchmarks.video.tables import NarrationRun
    from starter_build.datasets.emoji_clips import Part

Section = Literal["table", "ablations", "novelty", "growth"]
SECTIONS: tuple[Section, ...] = ("table", "ablations", "novelty", "growth")

Cell: TypeAlias = "float | tuple[float, float | None]"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, and where to keep it."""

    parts: tuple[Section, ...] = SECTIONS
    """table: systems on both kinds of test videos; ablations: ours with other settings, on the validation videos;
    novelty: what tells videos that the vocabulary has no name of; growth: what a vocabulary finds once it has grown."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training; ablations use the first."""
    train: NarrationSchedule = field(default_factory=NarrationSchedule)
    entries: int = 200_000
    """Entries of the large vocabulary; to encode 200,000 takes some 8 minutes of one busy core, once."""
    distractors: Path | None = None
    """Further narrations to fill the large vocabulary with: a file as vocabulary build takes it."""
    out: Path | None = None
    """Write the tables to this file, too, an object of JSON a line."""
    work: Path = Path("~/.cache/polygraft/benchmark")
    """Folder of features, runs and vectors."""
    clip: str = "without-emoji"
    """Image-text model: without-emoji, which is the starter's fitted anew; starter, a folder, or MODEL:TAG of
    open_clip."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UsageError("seeds is empty: give at least one")
        if self.entries < 1:
            raise UsageError(f"entries is {self.entries}, allowed is 1 or more")


def main(options: Options) -> int:
    """Train, retrieve, compare and print."""
    from benchmarks.video.experiment import NarrationExperiment

    laboratory = NarrationExperiment.open(
        options.data.expanduser(), options.work.expanduser(), options.clip,
        schedule=options.train, device=options.device, distractors=options.distractors,
    )  # fmt: skip
    if options.out:
        options.out.unlink(missing_ok=True)
    sections = {"table": _table, "ablations": _ablations, "novelty": _novelty, "growth": _growth}
    for section in options.parts:
        sections[section](laboratory, options)
    return 0


def _table(laboratory: "NarrationExperiment", options: Options) -> None:
    """Print the systems under each vocabulary, and how much better ours is."""
    large, made_of = laboratory.large(options.entries)
    remark(f"{len(large.texts):,} entries: {made_of}")
    parts: tuple[Part, ...] = ("test fresh", "test known", "test")
    for which in parts:
        vocabularies = {
            "first names of these videos": laboratory.own(which, first=True),
            "all names of these videos": laboratory.own(which, first=False),
            "names of all emoji": laboratory.known,
            "large": large,
        }
        for title, vocabulary in vocabularies.items():
            rows = {name: _runs(laboratory, options, name, which, vocabulary) for name in MAIN}
            videos = len(laboratory.videos.parts[which].videos)
            _print_runs(options, f"{which}: {videos} videos, {title} ({len(vocabulary.texts):,} entries)", rows)


def _runs(
    laboratory: "NarrationExperiment", options: Options, name: str, which: "Part", vocabulary: Any
) -> "list[NarrationRun]":
    """Return the runs of a system."""
    return [laboratory.run(name, seed, which, vocabulary) for seed in _drawn(options, name)]


def _drawn(options: Options, name: str) -> Sequence[int]:
    """Return the seeds of a system: one where nothing is drawn."""
    return options.seeds if MAIN[name].learns else options.seeds[:1]


def _ablations(laboratory: "NarrationExperiment", options: Options) -> None:
    """Print ours with other settings, and the baselines, on the validation videos, which decide."""
    parts: tuple[Part, ...] = ("validation fresh", "validation known", "validation")
    for which in parts:
        vocabulary = laboratory.own(which, first=True)
        rows = {
            name: [laboratory.run(name, options.seeds[0], which, vocabulary)]
            for name in (MEAN, OURS, BATCH, FRAMES_FIRST, *ABLATIONS, WRITES)
        }
        _print_runs(options, f"{which}: seed {options.seeds[0]}, first names", rows)


def _novelty(laboratory: "NarrationExperiment", options: Options) -> None:
    """Print how well new videos are detected."""
    from benchmarks.video.growth import Noticed, gap, noticed, rules

    parts: tuple[Part, ...] = ("test fresh", "test known", "test")
    for which in parts:
        there = gap(laboratory, which)
        table: dict[str, Mapping[str, Cell]] = {}
        for name in (MEAN, OURS):
            noticed_by: dict[str, list[Noticed]] = {}
            for seed in _drawn(options, name):
                queries = laboratory.answers(name, seed).queries
                for rule, judge in rules(laboratory, queries).items():
                    noticed_by.setdefault(rule, []).append(noticed(judge, there, queries[which]))
            table |= {f"{name}, {rule}": summary(found) for rule, found in noticed_by.items()}
        missing, videos = int(there.missing.sum()), len(there.missing)
        _print(
            options, f"{which}: {missing} of {videos} videos without a name in {len(there.vocabulary.texts):,}", table
        )


def _growth(laboratory: "NarrationExperiment", options: Options) -> None:
    """Print what is found before and after a vocabulary has grown."""
    from benchmarks.video.growth import grown, rules

    found = [laboratory.answers(OURS, seed).queries for seed in options.seeds]
    margins = [rules(laboratory, queries)["calibrated margin"] for queries in found]
    parts: tuple[Part, ...] = ("test fresh", "test known", "test")
    for which in parts:
        noticed_by = [
            grown(laboratory, which, queries[which], rule) for queries, rule in zip(found, margins, strict=True)
        ]
        table: dict[str, Mapping[str, Cell]] = {}
        gains = {}
        for kind, mask in (("missing", noticed_by[0].missing), ("present", ~noticed_by[0].missing)):
            rows = mask.nonzero().flatten().tolist()
            before, after = ([getattr(one, side).take(rows) for one in noticed_by] for side in ("before", "after"))
            table |= {f"{kind}, before": summary(before), f"{kind}, after": summary(after)}
            gains[f"{kind}, after less before"] = _differences(after, before)
        counts = ", ".join(f"{one.asked} / {one.admitted} of {one.proposed}" for one in noticed_by)
        title = f"{which}, phrases of WordNet: videos asked about / proposals admitted {counts}"
        _print(options, title, table)
        _print(options, f"{title}: differences, 95 % by concept", gains)


def _print_runs(options: Options, title: str, rows: "Mapping[str, Sequence[NarrationRun]]") -> None:
    """Print the figures of systems, and the differences of ours from the others."""
    _print(options, title, {name: summary(runs) for name, runs in rows.items()})
    better = {f"ours less {name}": _differences(rows[OURS], runs) for name, runs in rows.items() if name != OURS}
    _print(options, f"{title}: differences, 95 % by concept", better)


def _differences(ours: "Sequence[NarrationRun]", others: "Sequence[NarrationRun]") -> dict[str, float]:
    from benchmarks.video.tables import difference

    found = {figure: difference(ours, others, figure) for figure in ("any_1", "cider_d")}
    return {
        f"{figure}, {side}": getattr(interval, side)
        for figure, interval in found.items()
        for side in ("mean", "low", "high")
    }


def _print(options: Options, title: str, table: Mapping[str, Mapping[str, Cell]]) -> None:
    """Print a table as markdown, or as one JSON object."""
    line = json.dumps({"table": title, "rows": table}, ensure_ascii=False)
    if options.out:
        with options.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    if options.json:
        emit(line)
        return
    figures = list(next(iter(table.values())))
    emit(f"\n**{title}**\n\n| | {' | '.join(figures)} |\n{'|---' * (len(figures) + 1)}|")
    for name, row in table.items():
        values = (row[figure] for figure in figures)
        cells = (cell(*value) if isinstance(value, tuple) else cell(value) for value in values)
        emit(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run_file(__file__)
