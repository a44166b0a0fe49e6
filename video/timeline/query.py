"""Query vectors for the moments of a video, cut detection, and the segments that a vocabulary has no words for.

Shapes: T moments in the order of time, d the width of query vectors.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backbone.errors import PolygraftError
from video.config import QUESTIONS, NarrateOptions
from video.data.clips import Span
from video.data.feature_cache import SpanFeatures, VideoCache
from video.frames.reader import duration, read_frames
from video.vocabulary.novelty import NEIGHBOURS, Novelty
from video.vocabulary.vocabulary import NarrationVocabulary

Scores: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"

Ask = Callable[[Sequence[Tensor], Sequence[str]], Tensor]
"""Clips of frames (T, dv) and a question for each become (B, d) query vectors."""

CAUSAL = ("next", "before")  # questions that are answered from the frames beside a moment, not from its own
TICK = 1e-6  # seconds; times that are nearer are one
_BATCH = 32
_BLOCK = 1024
_MOST_FRAMES = 512  # of a whole video; more than any narrator takes
_CUT = 0.5  # of the video's spread: half way from the same to whatever else
_LEAST_CHANGE = 0.1  # 1 - cosine; where nothing happens, noise is all the spread there is


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A stretch of a video that has one answer, and the frames by which it is answered."""

    start: float
    stop: float  # seconds
    frames: range  # numbers of the frames that are shown, one at least
    opens: bool = False  # whether a shot begins with it


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A stretch of a video without a good narration in the vocabulary."""

    video: str
    start: float
    stop: float  # seconds
    query: Tensor  # (d,), what it shows
    scene: str = ""
    """Scene of the video; a new one where no scenario has this label. Empty: unknown."""
    image: Image.Image | None = None  # a frame of it


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedVideo:
    """A video's moments with their query vectors."""

    video: Path
    end: float  # seconds
    moments: tuple[Moment, ...]
    queries: Tensor  # (T, d) on the CPU, one for each moment
    scene: Tensor  # (1, d): the query of the whole video
    options: NarrateOptions
    features: SpanFeatures

    def novel(self, vocabulary: NarrationVocabulary, novelty: Novelty) -> Tensor:
        """Return which moments are novel to the vocabulary, (T,) bool; none where it is too small."""
        if vocabulary.size("narrations") < NEIGHBOURS:
            return torch.zeros(len(self.moments), dtype=torch.bool)
        return novelty.is_novel(vocabulary.search(self.queries, NEIGHBOURS).scores)

    def novel_segments(
        self, vocabulary: NarrationVocabulary, novelty: Novelty, *, scene: str = "", images: bool = False
    ) -> list[Segment]:
        """Return the segments that are novel to the vocabulary.

        Args:
            vocabulary: With vectors.
            novelty: The detector.
            scene: Scene of the video, for what may be added.
            images: Give each segment the frame in its middle.

        Raises:
            PolygraftError: A frame cannot be read again.
        """
        novel = self.novel(vocabulary, novelty)
        found = novel_segments(str(self.video), self.moments, self.queries, novel, bridge=1, scene=scene)
        return [replace(segment, image=self._middle_frame(segment)) for segment in found] if images else found

    def _middle_frame(self, segment: Segment) -> Image.Image:
        middle = (segment.start + min(segment.stop, self.features.times[0][-1])) / 2
        return next(read_frames(self.video, at=[middle], reader="pyav"))[0].image


def novel_segments(
    video: str,
    moments: Sequence[Moment],
    queries: Tensor,
    novel: Sequence[bool] | Tensor,
    *,
    bridge: int = 0,
    scene: str = "",
) -> list[Segment]:
    """Join consecutive novel moments into segments.

    Args:
        video: Its name.
        moments: In the order of time.
        queries: (T, d), theirs.
        novel: Which of them are novel.
        bridge: So many moments that are not novel do not end a segment, so that a doubtful one does not cut it.
        scene: Scene of the video.

    Returns:
        Segments in the order of time; the query of each is the mean direction of its novel moments.
    """
    runs: list[list[int]] = []
    for index, is_novel in enumerate(novel):
        if not is_novel:
            continue
        if runs and index - runs[-1][-1] <= 1 + bridge:
            runs[-1].append(index)
        else:
            runs.append([index])
    segments = []
    for run in runs:
        start, stop = moments[run[0]].start, moments[run[-1]].stop
        mean = F.normalize(queries[run].float(), dim=1).sum(dim=0)
        segments.append(Segment(video=video, start=start, stop=stop, query=F.normalize(mean, dim=0), scene=scene))
    return segments


def encode_video(
    video: Path,
    ask: Ask,
    cache: VideoCache,
    options: NarrateOptions,
    *,
    report: Callable[[str], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> EncodedVideo:
    """Sample a video's frames and compute the query vector of each of its moments.

    Args:
        video: A file.
        ask: The narrator.
        cache: Of its frames; what is there is not decoded again.
        options: The question, how often it is asked, and how frames are sampled.
        report: Called with a sentence about a video that is damaged.
        progress: Called with the time of each frame that is read anew.

    Raises:
        PolygraftError: The video cannot be read, or shows nothing.
    """
    features = cache.features([Span(video=video)], fps=options.fps, report=report, progress=progress)
    for sentence in features.unreadable.values():
        raise PolygraftError(sentence)
    times = features.times[0]
    if not times:
        raise PolygraftError(f"video {video} shows nothing")
    end = _end(video, times, options.fps)
    cuts = find_cuts(times, *_changes(features)) if options.cuts else ()
    found = lay_moments(times, end, question=options.question, every=options.every, window=options.window, cuts=cuts)
    if not found:
        raise PolygraftError(
            f"{video} is {end:.1f} s long, too short to ask what comes {options.question}: give a smaller --every"
        )
    return EncodedVideo(
        video=video,
        end=end,
        moments=tuple(found),
        queries=_queries(ask, features, [moment.frames for moment in found], options.asked),
        scene=_queries(ask, features, [range(len(times))], QUESTIONS["overall"]),
        options=options,
        features=features,
    )


def _queries(ask: Ask, features: SpanFeatures, stretches: Sequence[range], question: str) -> Tensor:
    found = []
    for start in range(0, len(stretches), _BATCH):
        # of very many frames as many as any narrator can use
        kept = [slice(own.start, own.stop, 1 + len(own) // _MOST_FRAMES) for own in stretches[start : start + _BATCH]]
        found.append(ask([features.take(0, own) for own in kept], [question] * len(kept)).float().cpu())
    return torch.cat(found)


def _end(video: Path, times: Sequence[float], fps: float) -> float:
    """Return the video's end in seconds: that of its header, within half a frame of what it shows."""
    shown = times[-1] + 1 / fps
    header_end = duration(video)
    return max(times[-1] + 1e-3, min(header_end, shown)) if header_end else shown


def _changes(features: SpanFeatures) -> tuple[Scores, float]:
    """Return the change from each frame to the next, 1 - cosine, and its mean over all pairs of frames."""
    count = len(features.times[0])
    found, total = torch.zeros(count), torch.zeros((), dtype=torch.float64)
    for start in range(0, count, _BLOCK):
        first = max(0, start - 1)
        block = features.take(0, slice(first, start + _BLOCK))
        found[first + 1 : first + len(block)] = 1 - (block[1:] * block[:-1]).sum(dim=1)
        total = total + block[start - first :].double().sum(dim=0)
    return found.numpy(), 1 - float((total / count).square().sum())


def find_cuts(times: Sequence[float], changes: Scores, spread: float) -> list[float]:
    """Return when new shots begin: at frames that differ from the ones before them as frames of different shots do.

    Args:
        times: Of frames, ascending.
        changes: (len(times),), 1 - cosine of each frame and the one before it.
        spread: Mean 1 - cosine of any two frames of the video: encoders differ in how far apart images lie.
    """
    least = max(_LEAST_CHANGE, _CUT * spread)
    return [time for time, change in zip(times, changes.tolist(), strict=True) if change > least]


def lay_moments(
    times: Sequence[float], end: float, *, question: str, every: float, window: float, cuts: Sequence[float] = ()
) -> list[Moment]:
    """Divide a video into moments; those without any frame to be shown are left out.

    Args:
        times: Of the sampled frames, ascending.
        end: Of the video, in seconds.
        question: ``next`` is shown what comes before the moment, ``before`` what comes after it, ``overall`` is one
            moment, the whole video; anything else is shown the moment with what lies around it in its shot.
        every: Seconds from the start of one moment to that of the next, about: those of a shot are equally long.
        window: Seconds that are shown; a moment with no frame in it is shown the nearest.
        cuts: Where shots begin, ascending; ignored by causal questions, which are shown other moments anyway.
    """
    if question == "overall":
        return [Moment(start=0.0, stop=end, frames=range(len(times)))]
    if question in CAUSAL:
        cuts = ()
    found = []
    sampled = np.asarray(times)
    for low, high, start, stop in _stretches(end, every, cuts):
        shown = _shown(start, stop, question, window, low, high)
        first, last = (int(place) for place in np.searchsorted(sampled, np.array(shown) - TICK))
        if first == last and question not in CAUSAL:
            first = int(np.abs(sampled - (start + stop) / 2).argmin())
            last = first + 1
        if first < last:
            found.append(Moment(start=start, stop=stop, frames=range(first, last), opens=start == low))
    return found


def _stretches(end: float, every: float, cuts: Sequence[float]) -> Iterator[tuple[float, float, float, float]]:
    """Yield start and stop of each shot, then of each moment in it."""
    for low, high in pairwise([0.0, *(cut for cut in cuts if TICK < cut < end - TICK), end]):
        parts = max(1, round((high - low) / every)) if cuts else max(1, math.ceil((high - low - TICK) / every))
        length = (high - low) / parts if cuts else every
        for number in range(parts):
            yield low, high, low + number * length, min(low + (number + 1) * length, high)


def _shown(start: float, stop: float, question: str, window: float, low: float, high: float) -> tuple[float, float]:
    if question == "next":
        return start - window, start
    if question == "before":
        return stop, stop + window
    middle = (start + stop) / 2
    return max(low, min(start, middle - window / 2)), min(high, max(stop, middle + window / 2))
