"""python -m benchmarks.films

Narrate long videos with the starter and measure how near its spans end to the true cuts, and what is said meanwhile.

Big Buck Bunny (ten minutes) has the cuts that PySceneDetect finds in its colours, frame by frame. Videos composed of
moving emoji of concepts that the starter has never seen have known parts; there the share of the time at which the
right narration is given is measured, too. Beside it stands the plain way: every second narrated alone. Needs
`pip install ".[bench]"`; fetches some 800 MB of packages the first time.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.io.settings import check_range
from benchmarks.common import BenchmarkOptions, cache_path, cached, print_table
from scripts._app.cli import Device, progress, run_file
from scripts._app.videos import NarratorSource, vocabulary_folder
from video.config import NarrateOptions

if TYPE_CHECKING:
    from benchmarks.video.long_videos import CutAgreement, Part
    from video.narrator import Narrator
    from video.timeline.narrate import Narrated
    from video.vocabulary.vocabulary import NarrationVocabulary

# ways to narrate that are compared
WAYS = {
    "as narrate does": NarrateOptions(),
    "no cuts": NarrateOptions(cuts=False),
    "every second alone": NarrateOptions(cuts=False, window=1.0, steady=0.0, min_span=0.0, scene_weight=0.0),
}

_TOLERANCES = (0.5, 1.0)  # seconds between a cut and the true one
_PARTS = 8  # of a composed video


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """What is narrated, and by which narrator."""

    model: str = "starter"
    """Folder of a narrator."""
    vocabulary: str = "starter"
    """Folder of a vocabulary."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each composes videos anew."""
    videos: int = 10
    """Composed videos a seed, of eight parts each."""
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "videos", 1)


def main(options: Options) -> int:
    """Narrate, compare and print."""
    source = NarratorSource(model=options.model)
    narrator, vocabulary = source.load(vocabulary_folder(options.vocabulary), options.device)
    _bunny(options, narrator, vocabulary)
    _composed(options, narrator, vocabulary)
    return 0


def _bunny(options: Options, narrator: "Narrator", vocabulary: "NarrationVocabulary") -> None:
    from benchmarks.video.long_videos import BUNNY_SCENES, agreement, big_buck_bunny, by_chance, shot_cuts

    video = big_buck_bunny(options.data)
    true = shot_cuts(video)
    rows = {}
    for way, narrating in WAYS.items():
        encoded = narrator.encode_video(video, narrating, cache=options.work / "features")
        narrated = narrator.narrate_encoded(encoded, vocabulary)
        cuts = _cuts(narrated)
        row: dict[str, Any] = {"spans": len(narrated), "true cuts": len(true)}
        for tolerance in _TOLERANCES:
            row |= _figures(agreement(cuts, true, tolerance), tolerance)
        row["F1 by chance 1.0"] = by_chance(len(cuts), narrated[-1].stop, true, 1.0, seed=0)
        if cuts:
            ends = [time for scene in BUNNY_SCENES for time in scene]
            row["median distance of scenes"] = statistics.median(min(abs(cut - end) for cut in cuts) for end in ends)
        rows[way] = row
    print_table("Big Buck Bunny", rows, head="way", digits=2, as_json=options.json)


def _composed(options: Options, narrator: "Narrator", vocabulary: "NarrationVocabulary") -> None:
    from benchmarks.video.long_videos import agreement

    videos = _videos(options)
    rows = {}
    for way, narrating in WAYS.items():
        each = []
        for video, parts in progress(videos, way):
            encoded = narrator.encode_video(video, narrating, cache=options.work / "features")
            narrated = narrator.narrate_encoded(encoded, vocabulary)
            figures = _figures(agreement(_cuts(narrated), [part.start for part in parts[1:]], 1.0), 1.0)
            counts = {"spans": float(len(narrated)), "true parts": float(len(parts))}
            each.append(figures | counts | {"time narrated right": _right(narrated, parts)})
        rows[way] = {name: statistics.fmean(one[name] for one in each) for name in each[0]}
    print_table(f"{len(videos)} composed videos", rows, head="way", digits=2, as_json=options.json)


def _figures(near: "CutAgreement", tolerance: float) -> dict[str, float]:
    found = {"precision": near.precision, "recall": near.recall, "F1": near.f1}
    return {f"{name} {tolerance}": value for name, value in found.items()}


def _videos(options: Options) -> "list[tuple[Path, list[Part]]]":
    from benchmarks.video.long_videos import Part
    from starter_build.datasets.emoji_clips import emoji_clips
    from starter_build.datasets.splits import load_splits
    from video.vocabulary.narrations import clean

    sides = load_splits()
    clips = [clip for clip in emoji_clips(options.data) if sides.get(f"emoji/fluent/{clip.code}") == "test"]
    videos = []
    for seed in options.seeds:
        for number in range(options.videos):
            chosen = random.Random(f"{seed}-{number}").sample(clips, _PARTS)
            shown = [(clip.video, clean(clip.names[0])) for clip in chosen]
            target = cache_path(options.work / "composed", f"{seed}-{number}", shown).with_suffix(".webp")
            target.parent.mkdir(parents=True, exist_ok=True)
            rows = cached(target.with_suffix(".json"), partial(_compose, shown, target, 1000 * seed + number))
            videos.append((target, [Part(Path(video), *rest) for video, *rest in rows]))
    return videos


def _compose(shown: "Sequence[tuple[Path, str]]", target: Path, seed: int) -> list[Any]:
    from benchmarks.video.long_videos import compose

    return [(str(part.video), *part[1:]) for part in compose(shown, target, seed=seed)]


def _cuts(narrated: "Sequence[Narrated]") -> list[float]:
    return [span.start for span in narrated[1:]]


def _right(narrated: "Sequence[Narrated]", parts: "Sequence[Part]") -> float:
    both = sum(
        max(0.0, min(span.stop, part.stop) - max(span.start, part.start))
        for span in narrated
        for part in parts
        if span.text == part.text
    )
    return both / parts[-1].stop


if __name__ == "__main__":
    run_file(__file__)
