"""polygraft vocabulary update kitchen video.mp4

Extend a narration vocabulary from videos; every update can be rolled back.

Videos are sampled as narrate does. Segments for which the novelty detector, calibrated on held-out clips, finds no good
narration are described by --proposer; each sentence that matches its segment better than all existing narrations is
added, with its video, time and proposer. The folder is saved after each segment: a killed run loses nothing and is
resumed when the same command is given again. vocabulary rollback undoes an update. A video that cannot be read is
reported on standard error and the others are used; the exit code is then 1.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.errors import PolygraftError
from scripts._app.cli import Device, Json, emit, remark, run_file
from scripts._app.videos import (
    NarratorSource,
    ProposerOptions,
    check_own,
    encode_video,
    extend,
    find_videos,
    load_proposer,
)  # fmt: skip
from video.config import NarrateOptions

if TYPE_CHECKING:
    from video.update.update import Growth


@dataclass(frozen=True, kw_only=True)
class Options:
    """The vocabulary, the videos and the proposer."""

    folder: tyro.conf.Positional[Path]
    """Folder of the vocabulary."""
    videos: tyro.conf.Positional[tuple[str, ...]]
    """Videos, animated images, folders or patterns."""
    narrator: NarratorSource = field(default_factory=NarratorSource)
    proposals: ProposerOptions = field(default_factory=ProposerOptions)
    every: float = 1.0
    """Seconds from one moment to the next."""
    window: float = 3.0
    """Seconds of video for each moment."""
    fps: float = 2.0
    """Frames sampled per second."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        self.sampling()

    def sampling(self) -> NarrateOptions:
        """Return how videos are sampled, where the numbers are in bounds."""
        return NarrateOptions(every=self.every, window=self.window, fps=self.fps)


def main(options: Options) -> int:
    """Update the vocabulary and print the decision on each proposal; 1 if a video failed."""
    options.proposals.check()  # here, so that a configuration without a proposer can be read
    videos, failed = find_videos(options.videos)
    check_own(options.folder)
    if not videos:
        return int(failed)
    narrator, vocabulary = options.narrator.load(options.folder, options.device)
    proposer = load_proposer(options.proposals, narrator, options.device)
    for video in videos:
        try:
            encoded = encode_video(narrator, video, options.sampling(), options.narrator.cache)
            growth = extend(options.folder, vocabulary, encoded, narrator, proposer, options.proposals)
        except PolygraftError as error:
            failed = True
            remark(f"polygraft: {error}")
            continue
        vocabulary = growth.vocabulary
        _print(video, growth, as_json=options.json)
    return int(failed)


def _print(video: Path, growth: "Growth", *, as_json: bool) -> None:
    update = growth.update.header.id if growth.update else ""
    for decision in growth.decisions:
        row = {
            "film": str(video),
            "update": update,
            "text": decision.text,
            "fate": decision.outcome,
            "score": round(decision.score, 4),
            "beaten": round(decision.beaten, 4),
        }
        emit(json.dumps(row, ensure_ascii=False) if as_json else "\t".join(map(str, row.values())))


if __name__ == "__main__":
    run_file(__file__)
