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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from backbone.io.settings import check_range
from benchmarks.common import BenchmarkOptions, print_table, summary
from benchmarks.video.systems import ABLATIONS, BATCH, FRAMES_FIRST, MAIN, MEAN, OURS, WRITES, NarrationSchedule
from scripts._app.cli import Device, remark, run_file

if TYPE_CHECKING:
    from benchmarks.video.experiment import NarrationExperiment, NarrationRun
    from multimodal.metrics.personalization import Interval
    from starter_build.datasets.emoji_clips import Part

Section = Literal["table", "ablations", "novelty", "growth"]
_TESTS: "tuple[Part, ...]" = ("test fresh", "test known", "test")
_VALIDATION: "tuple[Part, ...]" = ("validation fresh", "validation known", "validation")


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """What to measure, and where to keep it."""

    parts: tuple[Section, ...] = get_args(Section)
    """table: systems on both kinds of test videos; ablations: ours with other settings, on the validation videos;
    novelty: what tells videos that the vocabulary has no name of; growth: what a vocabulary finds once it has grown."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training; ablations use the first."""
    train: NarrationSchedule = field(default_factory=NarrationSchedule)
    entries: int = 200_000
    """Entries of the large vocabulary; to encode 200,000 takes some 8 minutes of one busy core, once."""
    clip: str = "without-emoji"
    """Image-text model: without-emoji, which is the starter's fitted anew; starter, a folder, or MODEL:TAG of
    open_clip."""
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "entries", 1)


def main(options: Options) -> int:
    """Train, retrieve, compare and print."""
    from benchmarks.video.experiment import NarrationExperiment

    experiment = NarrationExperiment.open(
        options.data, options.work, options.clip, schedule=options.train, device=options.device
    )
    sections = {"table": _table, "ablations": _ablations, "novelty": _novelty, "growth": _growth}
    for section in options.parts:
        sections[section](experiment, options)
    return 0


def _table(experiment: "NarrationExperiment", options: Options) -> None:
    large, made_of = experiment.large(options.entries)
    remark(f"{len(large.texts):,} entries: {made_of}")
    for which in _TESTS:
        vocabularies = {
            "first names of these videos": experiment.own(which, first=True),
            "all names of these videos": experiment.own(which, first=False),
            "names of all emoji": experiment.known,
            "large": large,
        }
        for title, vocabulary in vocabularies.items():
            rows = {
                name: [experiment.run(name, seed, which, vocabulary) for seed in _seeds(options, name)] for name in MAIN
            }
            videos = len(experiment.videos.parts[which].videos)
            _print_runs(options, f"{which}: {videos} videos, {title} ({len(vocabulary.texts):,} entries)", rows)


def _seeds(options: Options, name: str) -> Sequence[int]:
    return options.seeds if MAIN[name].learns else options.seeds[:1]  # where nothing is drawn one is enough


def _ablations(experiment: "NarrationExperiment", options: Options) -> None:
    # the validation videos decide
    names = (MEAN, OURS, BATCH, FRAMES_FIRST, *ABLATIONS, WRITES)
    for which in _VALIDATION:
        vocabulary = experiment.own(which, first=True)
        rows = {name: [experiment.run(name, options.seeds[0], which, vocabulary)] for name in names}
        _print_runs(options, f"{which}: seed {options.seeds[0]}, first names", rows)


def _novelty(experiment: "NarrationExperiment", options: Options) -> None:
    from benchmarks.video.growth import gap, noticed, rules

    for which in _TESTS:
        there = gap(experiment, which)
        table: dict[str, Any] = {}
        for name in (MEAN, OURS):
            found: dict[str, list[dict[str, float]]] = {}
            for seed in _seeds(options, name):
                queries = experiment.answers(name, seed).queries
                for rule, judge in rules(experiment, queries).items():
                    found.setdefault(rule, []).append(noticed(judge, there, queries[which]))
            table |= {f"{name}, {rule}": summary(figures) for rule, figures in found.items()}
        missing, videos = int(there.missing.sum()), len(there.missing)
        title = f"{which}: {missing} of {videos} videos without a name in {len(there.vocabulary.texts):,}"
        _print(options, title, table)


def _growth(experiment: "NarrationExperiment", options: Options) -> None:
    from benchmarks.video.growth import grown, rules

    found = [experiment.answers(OURS, seed).queries for seed in options.seeds]
    margins = [rules(experiment, queries)["calibrated margin"] for queries in found]
    for which in _TESTS:
        each = [grown(experiment, which, queries[which], rule) for queries, rule in zip(found, margins, strict=True)]
        table: dict[str, Any] = {}
        gains = {}
        for kind, mask in (("missing", each[0].missing), ("present", ~each[0].missing)):
            rows = mask.nonzero().flatten().tolist()
            before, after = ([getattr(one, side).take(rows) for one in each] for side in ("before", "after"))
            table |= {f"{kind}, before": _summary(before), f"{kind}, after": _summary(after)}
            gains[f"{kind}, after less before"] = _differences(after, before)
        counts = ", ".join(f"{one.asked} / {one.admitted} of {one.proposed}" for one in each)
        title = f"{which}, phrases of WordNet: videos asked about / proposals admitted {counts}"
        _print(options, title, table)
        _print(options, f"{title}: differences, 95 % by concept", gains)


def _print_runs(options: Options, title: str, rows: "Mapping[str, Sequence[NarrationRun]]") -> None:
    _print(options, title, {name: _summary(runs) for name, runs in rows.items()})
    better = {f"ours less {name}": _differences(rows[OURS], runs) for name, runs in rows.items() if name != OURS}
    _print(options, f"{title}: differences, 95 % by concept", better)


def _summary(runs: "Sequence[NarrationRun]") -> dict[str, Any]:
    return summary([run.figures() for run in runs])


def _differences(ours: "Sequence[NarrationRun]", others: "Sequence[NarrationRun]") -> "dict[str, Interval]":
    from benchmarks.video.experiment import difference

    return {figure: difference(ours, others, figure) for figure in ("any_1", "cider_d")}


def _print(options: Options, title: str, table: Mapping[str, Mapping[str, Any]]) -> None:
    print_table(title, table, as_json=options.json)


if __name__ == "__main__":
    run_file(__file__)
