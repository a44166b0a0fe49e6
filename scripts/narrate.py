"""polygraft narrate video.mp4

Narrate videos: one line per span with the video, start, stop and a narration of the vocabulary.

Folders are searched recursively for videos and animated images, patterns such as 'films/*.mp4' are expanded. A video is
sampled at --fps frames a second and never held in memory as a whole; its features are cached, so that asking again
takes seconds. Each moment is narrated from the frames around it; next is answered from the frames before it, before
from the frames after it. Neighbouring spans with the same narration are joined, and cuts are moved to where the video
changes most.

--srt and --vtt print subtitles of one video; with --write they are saved beside each video, as video.srt or video.vtt.
With --update the vocabulary is extended first: segments without a good narration are described by --proposer, and
sentences that match better than all existing ones are added, see vocabulary update. A video that cannot be read is
reported on standard error and the others are narrated; the exit code is then 1.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from backbone.errors import PolygraftError, UsageError
from scripts._app.cli import Device, Json, emit, remark, run_file
from scripts._app.videos import (
    NarratorSource,
    ProposerOptions,
    check_own,
    encode_video,
    extend,
    find_videos,
    load_proposer,
    vocabulary_folder,
)  # fmt: skip
from video.config import NarrateOptions

if TYPE_CHECKING:
    from video.timeline.narrate import Narrated


SHOWN = (
    "vocabulary", "model", "cache", "question", "every", "window", "cuts", "top", "min_span", "steady", "update",
    "proposer", "proposer_command", "proposer_vocabulary", "srt", "vtt", "write", "overwrite", "device", "json",
)  # fmt: skip
"""Options of the help page; --config and the command line take all."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The videos, the vocabulary and how they are narrated."""

    videos: tyro.conf.Positional[tuple[str, ...]]
    """Videos, animated images, folders or patterns."""
    vocabulary: str = "starter"
    """Folder of a vocabulary; starter: the small one that comes with the package."""
    narrator: NarratorSource = field(default_factory=NarratorSource)
    narrating: NarrateOptions = field(default_factory=NarrateOptions)
    update: bool = False
    """Extend the vocabulary from each video before it is narrated."""
    proposals: ProposerOptions = field(default_factory=ProposerOptions)
    srt: bool = False
    """Print subtitles in SubRip's format."""
    vtt: bool = False
    """Print subtitles in WebVTT's format."""
    write: bool = False
    """Save the subtitles beside each video instead of printing them."""
    overwrite: bool = False
    """Let --write replace files that are there."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.videos:
            raise UsageError("no video named: give files, folders or patterns")
        chosen = [name for name in ("json", "srt", "vtt") if getattr(self, name)]
        if len(chosen) > 1:
            raise UsageError(f"--{' and --'.join(chosen)} are both given: choose one")
        if self.write and not (self.srt or self.vtt):
            raise UsageError("--write needs --srt or --vtt, to know what is written")
        if self.overwrite and not self.write:
            raise UsageError("--overwrite has nothing to overwrite without --write")
        if self.update:
            self.proposals.check()
        elif self.proposals != ProposerOptions():
            raise UsageError("a proposer, and what is accepted of it, means nothing without --update")

    @property
    def form(self) -> str:
        """Ending of the subtitles; empty: none."""
        return "srt" if self.srt else "vtt" if self.vtt else ""


def main(options: Options) -> int:
    """Narrate the videos; 1 if any of them failed."""
    videos, failed = _videos(options)
    if not videos:
        return int(failed)
    folder = vocabulary_folder(options.vocabulary)
    if options.update:
        check_own(folder)
    narrator, vocabulary = options.narrator.load(folder, options.device)
    proposer = load_proposer(options.proposals, narrator, options.device) if options.update else None
    for video in videos:
        try:
            encoded = encode_video(narrator, video, options.narrating, options.narrator.cache)
            if proposer:
                vocabulary = extend(folder, vocabulary, encoded, narrator, proposer, options.proposals).vocabulary
            _print(options, video, narrator.narrate_encoded(encoded, vocabulary))
        except PolygraftError as error:
            failed = True
            remark(f"polygraft: {error}")
    return int(failed)


def _videos(options: Options) -> tuple[list[Path], bool]:
    """Return the videos, and whether some of what was named cannot be narrated, which is reported."""
    videos, failed = find_videos(options.videos)
    if options.form and not options.write and len(videos) > 1:
        raise UsageError(
            f"--{options.form} prints the subtitles of one video, but there are {len(videos)}: add --write"
        )
    if not options.write:
        return videos, failed
    targets: dict[Path, Path] = {}
    for video in videos:
        target = video.with_suffix(f".{options.form}")
        if target in targets:
            remark(f"polygraft: {video} shares {target.name} with {targets[target].name}: rename one of them")
        elif target.exists() and not options.overwrite:
            remark(f"polygraft: {target} is there and is not replaced: use --overwrite")
        else:
            targets[target] = video
    return list(targets.values()), failed or len(targets) < len(videos)


def _print(options: Options, video: Path, spans: "Sequence[Narrated]") -> None:
    if options.json:
        emit(json.dumps({"film": str(video), "spans": [_plain(span, options) for span in spans]}, ensure_ascii=False))
    elif options.form:
        _subtitles(options, video, spans)
    else:
        _lines(video, spans)


def _plain(span: "Narrated", options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {
        "start": round(span.start, 3),
        "stop": round(span.stop, 3),
        "text": span.text,
        "score": round(span.score, 4),
        "confidence": round(span.confidence, 4),
        "novel": span.novel,
    }
    if options.narrating.top > 1:
        found["narrations"] = [{"text": one.text, "score": round(one.score, 4)} for one in span.narrations]
    return found


def _lines(video: Path, spans: "Sequence[Narrated]") -> None:
    from video.timeline.narrate import clock

    for span in spans:
        others = "".join(f"\t{one.text}" for one in span.narrations[1:])
        emit(f"{video}\t{clock(span.start)[:-2]}\t{clock(span.stop)[:-2]}\t{span.text}{others}")


def _subtitles(options: Options, video: Path, spans: "Sequence[Narrated]") -> None:
    from backbone.io.files import write_text
    from video.timeline.narrate import to_srt, to_vtt

    text = to_srt(spans) if options.srt else to_vtt(spans)
    if not options.write:
        emit(text.rstrip("\n"))
        return
    target = video.with_suffix(f".{options.form}")
    write_text(target, text)
    emit(str(target))


if __name__ == "__main__":
    run_file(__file__)
