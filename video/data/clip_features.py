"""Clips with the features of their frames."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from backbone.errors import PolygraftError
from video.data.clips import Clip, count_of, some_of
from video.data.feature_cache import SpanFeatures, VideoCache


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipSet:
    """Clips whose frames are encoded."""

    clips: tuple[Clip, ...]
    features: SpanFeatures  # what is shown of each clip, in the same order; every one shows something
    encoder: str  # digest of the image encoder

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def texts(self) -> tuple[str, ...]:
        """The narration of each clip."""
        return tuple(clip.text for clip in self.clips)

    @property
    def videos(self) -> int:
        """How many videos they are of, copies counted once."""
        return len(set(self.features.videos))

    @property
    def digest(self) -> str:
        """SHA-256 over what is shown and asked, and the encoder; not over features, which differ in a last bit."""
        digest = hashlib.sha256(self.encoder.encode())
        for clip, video, times in zip(self.clips, self.features.videos, self.features.times, strict=True):
            digest.update(repr((video, times, clip.asked, clip.text)).encode())
        return digest.hexdigest()

    def frames(self, index: int) -> Tensor:
        """Return the frames of a clip, (T, dv) float32 of length 1 on the CPU."""
        return self.features.take(index)

    def take(self, kept: Sequence[int]) -> "ClipSet":
        """Return the set with these clips alone, in this order."""
        features = self.features
        return replace(
            self,
            clips=tuple(self.clips[index] for index in kept),
            features=replace(
                features,
                times=tuple(features.times[index] for index in kept),
                videos=tuple(features.videos[index] for index in kept),
            ),
        )

    def without(self, other: "ClipSet") -> "ClipSet":
        """Return this set without the videos that ``other`` holds too, under whatever name."""
        theirs = set(other.features.videos)
        return self.take([index for index, video in enumerate(self.features.videos) if video not in theirs])


def gather(
    clips: Sequence[Clip],
    cache: VideoCache,
    *,
    fps: float = 2.0,
    report: Callable[[str], None] | None = None,
) -> ClipSet:
    """Encode what is shown of clips.

    Args:
        clips: Videos, times and texts.
        cache: Holds features, or makes them.
        fps: Frames a second; a clip has one at least.
        report: Called with one sentence about each video that cannot be read, and one about the clips that lie beyond
            the end of their video; these are left out.

    Raises:
        UsageError: See `video.config.check_fps`.
        PolygraftError: Nothing is left; the cache cannot be written.
    """
    report = report or (lambda _: None)
    found = cache.features([clip.shown for clip in clips], fps=fps, report=report)
    for sentence in found.unreadable.values():
        report(sentence)
    beyond = [
        clip.id for clip, video, times in zip(clips, found.videos, found.times, strict=True) if video and not times
    ]
    if beyond:
        report(f"{count_of(len(beyond), 'clip')} left out, beyond the end of their videos: {some_of(beyond)}")
    whole = ClipSet(clips=tuple(clips), features=found, encoder=cache.encoder.digest)
    kept = whole.take([index for index, times in enumerate(found.times) if times])
    if not kept:
        raise PolygraftError(f"none of the {len(clips)} clips shows anything: give videos and times that can be seen")
    return kept
