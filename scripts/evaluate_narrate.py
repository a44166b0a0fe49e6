"""polygraft evaluate narrate runs/narrator clips.jsonl

Evaluate a narrator on held-out clips: retrieval recall, caption metrics and time.

Clips are read as train narrator does. Narrations are retrieved from those of the evaluated clips themselves, or from
--vocabulary. Metrics: recall at 1 and 5 in three variants (plain: among the narrations of all clips, where a text that
occurs twice counts as wrong; deduplicated: among distinct texts; multi_positive: every text that is given for the same
moment and question is right); coverage, how often the vocabulary holds a right one at all; caption metrics of the
retrieved narration against all right ones. A narrator that generates has the latter alone.

seconds_per_clip is from encoded frames to a narration, --batch-size clips at a time; end to end is from the video's
file, one clip at a time, with frames read and encoded anew.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import write_text
from backbone.io.settings import check_range
from scripts._app.cli import Device, Json, Seed, emit, progress, remark, run_file
from video.config import check_fps
from video.data.clips import check_share

if TYPE_CHECKING:
    from video.data.clip_features import ClipSet
    from video.data.clips import Clip


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which narrator, on which clips, and what is measured."""

    model: tyro.conf.Positional[str]
    """Folder of a narrator, or starter for the one that comes with the package."""
    clips: tyro.conf.Positional[Path]
    """JSONL file of clips."""
    split: Literal["auto", "test", "validation", "all"] = "auto"
    """Clips for tests, those held out, or all, whatever they are for; auto: for tests where any are, else all."""
    val_share: float = 0.1
    """Share of the videos that was held out in training; with --seed, where --split validation is to be drawn."""
    vocabulary: Path | None = None
    """Folder of a vocabulary to retrieve from."""
    fps: float = 2.0
    """Frames sampled per second, as in training."""
    timed: int = 8
    """Clips that are read and encoded anew to measure the time end to end; 0: not measured."""
    predictions: Path | None = None
    """Write the narrations to this file, a line of JSON each: id, video, question, text, reference."""
    backbone: str = ""
    """Folder of the narrator's language model, if it has moved since the training."""
    clip: str = ""
    """Folder of its image-text model, likewise."""
    batch_size: int = 32
    """Clips per batch."""
    cache: Path = Path("~/.cache/polygraft/features")
    """Cache folder of video features."""
    seed: Seed = 0
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        check_fps(self.fps)
        check_share(self.val_share)
        check_range(self, "timed", 0)
        check_range(self, "batch_size", 1)


def main(options: Options) -> int:
    """Print the figures."""
    split, clips = _clips(options)
    from multimodal.metrics.caption import score
    from video.data.clip_features import gather
    from video.data.feature_cache import VideoCache
    from video.evaluation import NarratorEvaluator, truths
    from video.narrator import Narrator
    from video.vocabulary.vocabulary import NarrationVocabulary

    narrator = Narrator.from_pretrained(
        options.model, device=options.device, backbone=options.backbone or None, encoder=options.clip or None
    )
    if options.vocabulary and narrator.config.answer == "generate":
        raise UsageError(
            f"vocabulary {options.vocabulary} does nothing: the narrator {options.model} writes narrations"
        )
    vocabulary = None
    if options.vocabulary:
        vocabulary = NarrationVocabulary.from_pretrained(options.vocabulary, device=str(narrator.backbone.device))
    cache = VideoCache(options.cache.expanduser(), narrator.encoder)
    data = gather(clips, cache, fps=options.fps, report=remark)
    evaluator = NarratorEvaluator(
        narrator, data, vocabulary=vocabulary, batch_size=options.batch_size, progress=progress
    )
    narrations, measured = evaluator.measure()
    right = truths(data)
    words = score(
        {str(number): text for number, text in enumerate(narrations)},
        {str(number): own for number, own in enumerate(right)},
    )
    figures = {name: value for name, value in words.items() if value is not None} | measured
    if options.timed:
        figures["seconds_per_clip_end_to_end"] = evaluator.seconds_end_to_end(options.timed)
    if options.predictions:
        _write(options.predictions, data, narrations)
    _print(options, split, data, figures)
    return 0


def _clips(options: Options) -> "tuple[str, list[Clip]]":
    from video.data.clips import SPLITS, mark_splits, read_clips

    found = read_clips(options.clips, report=remark)
    split = options.split
    if split == "auto":
        split = "test" if any(clip.split == "test" for clip in found) else "all"
    share = options.val_share if split == "validation" else 0.0
    marked = mark_splits(found, val_share=share, seed=options.seed, report=remark)
    chosen = [clip for clip in marked if split in ("all", clip.split)]
    if not chosen:
        counts = {name: sum(clip.split == name for clip in marked) for name in SPLITS}
        held = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        raise PolygraftError(f"no clip of {options.clips} is in the split {split} ({held}): choose another --split")
    return split, chosen


def _write(file: Path, data: "ClipSet", narrations: Sequence[str]) -> None:
    rows = [
        {"id": clip.id, "film": str(clip.video), "question": clip.question, "text": text, "reference": clip.text}
        for clip, text in zip(data.clips, narrations, strict=True)
    ]
    write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _print(options: Options, split: str, data: "ClipSet", figures: dict[str, float]) -> None:
    facts: dict[str, Any] = {
        "model": options.model,
        "clips": str(options.clips),
        "split": split,
        "vocabulary": str(options.vocabulary) if options.vocabulary else None,
        "samples": len(data),
        "films": data.videos,
        "texts": len(set(data.texts)),
    }
    if options.json:
        emit(json.dumps(facts | {"figures": figures}, ensure_ascii=False))
        return
    for name, value in facts.items():
        emit(f"{name:28} {'its own narrations' if value is None else value}")
    for name, figure in figures.items():
        emit(f"{name:28} {figure:11.6f}" if name.startswith("seconds") else f"{name:28} {figure:9.4f}")


if __name__ == "__main__":
    run_file(__file__)
