"""python -m benchmarks.films

Narrate long videos with the starter and measure how near its spans end to the true cuts, and what is said meanwhile.

Big Buck Bunny (ten minutes) has the cuts that PySceneDetect finds in its colours, frame by frame. Videos composed of
moving emoji of concepts that the starter has never seen have known parts; there the share of the time at which the
right narration is given is measured, too. Beside it stands the plain way: every second narrated alone. Needs
`pip install ".[bench]"`; fetches some 800 MB of packages the first time.
"""

import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.errors import UsageError
from scripts._app.cli import Device, Json, emit, progress, run_file
from scripts._app.videos import NarratorSource, vocabulary_folder
from video.config import NarrateOptions

if TYPE_CHECKING:
    from benchmarks.video.composed import Part
    from video.narrator import Narrator
    from video.timeline.narrate import Narrated
    from video.vocabulary.vocabulary import NarrationVocabulary

WAYS = {
    "as narrate does": NarrateOptions(),
    "no cuts": NarrateOptions(cuts=False),
    "every second alone": NarrateOptions(cuts=False, window=1.0, steady=0.0, min_span=0.0, scene_weight=0.0),
}
"""Ways to narrate that are compared."""

_TOLERANCES = (0.5, 1.0)
_PARTS = 8


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is narrated, and by which narrator."""

    model: str = "starter"
    """Folder of a narrator."""
    vocabulary: str = "starter"
    """Folder of a vocabulary."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each composes videos anew."""
    videos: int = 10
    """Composed videos a seed, of eight parts each."""
    work: Path = Path("~/.cache/polygraft/benchmark")
    """Folder of features and composed videos."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.seeds or self.videos < 1:
            raise UsageError(f"seeds are {self.seeds} and videos {self.videos}, allowed is 1 or more of each")


def main(options: Options) -> int:
    """Narrate, compare and print."""
    source = NarratorSource(model=options.model)
    narrator, vocabulary = source.load(vocabulary_folder(options.vocabulary), options.device)
    _bunny(options, narrator, vocabulary)
    _composed(options, narrator, vocabulary)
    return 0


def _bunny(options: Options, narrator: "Narrator", vocabulary: "NarrationVocabulary") -> None:
    """Print how near spans of Big Buck Bunny end to its cuts."""
    from benchmarks.video.cuts import agreement, by_chance, shot_cuts
    from starter_build.datasets.videos import BUNNY_SCENES, big_buck_bunny

    video = big_buck_bunny(options.data.expanduser())
    true = shot_cuts(video)
    cache = options.work.expanduser() / "features"
    rows = []
    for way, narrating in WAYS.items():
        narrated = narrator.narrate_encoded(narrator.encode_video(video, narrating, cache=cache), vocabulary)
        cuts = _cuts(narrated)
        row: dict[str, Any] = {"way": way, "spans": len(narrated), "true cuts": len(true)}
        for tolerance in _TOLERANCES:
            near = agreement(cuts, true, tolerance)
            row |= {f"precision {tolerance}": near.precision, f"recall {tolerance}": near.recall}
            row |= {f"F1 {tolerance}": near.f1}
        row["F1 by chance 1.0"] = by_chance(len(cuts), narrated[-1].stop, true, 1.0, seed=0)
        ends = [time for scene in BUNNY_SCENES for time in (scene.start, scene.stop)]
        row["median distance of scenes"] = statistics.median(min(abs(cut - end) for cut in cuts) for end in ends)
        rows.append(row)
    _table(options, "Big Buck Bunny", rows)


def _composed(options: Options, narrator: "Narrator", vocabulary: "NarrationVocabulary") -> None:
    """Print the same, and what is said meanwhile, of videos composed of parts."""
    from benchmarks.video.cuts import agreement

    work = options.work.expanduser()
    videos = _videos(options, work / "composed")
    rows = []
    for way, narrating in WAYS.items():
        each: dict[str, list[float]] = {}
        for video, parts in progress(videos, way):
            narrated = narrator.narrate_encoded(
                narrator.encode_video(video, narrating, cache=work / "features"), vocabulary
            )
            near = agreement(_cuts(narrated), [part.start for part in parts[1:]], 1.0)
            own = {"precision 1.0": near.precision, "recall 1.0": near.recall, "F1 1.0": near.f1}
            own |= {
                "spans": float(len(narrated)),
                "true parts": float(len(parts)),
                "time narrated right": _right(narrated, parts),
            }
            for name, value in own.items():
                each.setdefault(name, []).append(value)
        rows.append({"way": way} | {name: statistics.fmean(values) for name, values in each.items()})
    _table(options, f"{len(videos)} composed videos", rows)


def _videos(options: Options, folder: Path) -> "list[tuple[Path, list[Part]]]":
    """Compose the videos, of moving emoji that the starter has held out."""
    from benchmarks.video.composed import Part, compose
    from starter_build.datasets.emoji_clips import emoji_clips
    from starter_build.datasets.splits import load_splits
    from video.vocabulary.narrations import clean

    sides = load_splits()
    clips = [
        clip for clip in emoji_clips(options.data.expanduser()) if sides.get(f"emoji/fluent/{clip.code}") == "test"
    ]
    folder.mkdir(parents=True, exist_ok=True)
    videos = []
    for seed in options.seeds:
        for number in range(options.videos):
            chosen = random.Random(f"{seed}-{number}").sample(clips, _PARTS)
            target, record = folder / f"{seed}-{number}.webp", folder / f"{seed}-{number}.json"
            if not record.exists():
                shown = [(clip.video, clean(clip.names[0])) for clip in chosen]
                parts = compose(shown, target, seed=1000 * seed + number)
                record.write_text(
                    json.dumps([[str(p.video), p.text, p.start, p.stop] for p in parts]), encoding="utf-8"
                )
            rows = json.loads(record.read_text(encoding="utf-8"))
            videos.append((target, [Part(video=Path(a), text=b, start=c, stop=d) for a, b, c, d in rows]))
    return videos


def _cuts(narrated: "Sequence[Narrated]") -> list[float]:
    return [span.start for span in narrated[1:]]


def _right(narrated: "Sequence[Narrated]", parts: "Sequence[Part]") -> float:
    """Return the share of the time at which the right narration is given."""
    both = sum(
        max(0.0, min(span.stop, part.stop) - max(span.start, part.start))
        for span in narrated
        for part in parts
        if span.text == part.text
    )
    return both / parts[-1].stop


def _table(options: Options, title: str, rows: list[dict[str, Any]]) -> None:
    if options.json:
        for row in rows:
            emit(json.dumps({"films": title} | row, ensure_ascii=False))
        return
    emit(f"\n**{title}**\n")
    emit("| " + " | ".join(rows[0]) + " |")
    emit("|---" * len(rows[0]) + "|")
    for row in rows:
        cells = (f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values())
        emit("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    run_file(__file__)
