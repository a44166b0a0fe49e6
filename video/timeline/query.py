"""Query vectors for the moments of a video, and the detection of novel segments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backbone.errors import PolygraftError
from video.config import QUESTIONS
from video.data.clips import Span
from video.data.feature_cache import SpanFeatures, VideoCache
from video.frames.reader import probe, read_frames
from video.options import NarrateOptions
from video.timeline.segments import Segment, Window, novel_segments
from video.timeline.viterbi import Moment, Scores, find_cuts, moments
from video.vocabulary.novelty import NEIGHBOURS, Novelty
from video.vocabulary.vocabulary import NarrationVocabulary

Ask = Callable[[Sequence[Tensor], Sequence[str]], Tensor]
"""Clips of frames (T, dv) and a question for each become (B, d) query vectors."""

_BATCH = 32
_BLOCK = 1024
_MOST_FRAMES = 512  # of a whole video; more than any narrator takes


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """A video that has been looked at and asked about."""

    video: Path
    end: float
    """Seconds."""
    moments: tuple[Moment, ...]
    queries: Tensor
    """(T, d) on the CPU, one for each moment."""
    scene: Tensor
    """(1, d): what the whole video is about."""
    options: NarrateOptions
    features: SpanFeatures

    @property
    def times(self) -> tuple[float, ...]:
        """Of all looks at the video, in seconds."""
        return self.features.times[0]

    def novel(self, vocabulary: NarrationVocabulary, novelty: Novelty) -> Tensor:
        """Return for which moments the vocabulary has no words, (T,) bool; none where it has too few to tell."""
        if vocabulary.size("narrations") < NEIGHBOURS:
            return torch.zeros(len(self.moments), dtype=torch.bool)
        return novelty.is_novel(vocabulary.search(self.queries, NEIGHBOURS).scores)

    def unknown(
        self, vocabulary: NarrationVocabulary, novelty: Novelty, *, scene: str = "", images: bool = False
    ) -> list[Segment]:
        """Return the stretches for which the vocabulary has no words.

        Args:
            vocabulary: with vectors.
            novelty: draws the line.
            scene: what the video is about, for what may be added.
            images: give each stretch the frame in its middle.

        Raises:
            PolygraftError: a frame cannot be read again.
        """
        windows = [
            Window(start=moment.start, stop=moment.stop, query=query)
            for moment, query in zip(self.moments, self.queries, strict=True)
        ]
        found = novel_segments(str(self.video), windows, self.novel(vocabulary, novelty), bridge=1, scene=scene)
        return [self._imaged(segment) for segment in found] if images else found

    def _imaged(self, segment: Segment) -> Segment:
        middle = (segment.start + min(segment.stop, self.times[-1])) / 2
        image = next(read_frames(self.video, at=[middle], reader="pyav"))[0].image
        return Segment(
            video=segment.video,
            start=segment.start,
            stop=segment.stop,
            query=segment.query,
            scene=segment.scene,
            image=image,
        )


def watch(
    video: Path,
    ask: Ask,
    cache: VideoCache,
    options: NarrateOptions,
    *,
    report: Callable[[str], None] | None = None,
    looked: Callable[[float], None] | None = None,
) -> Watched:
    """Look at a video and ask about its moments.

    Args:
        video: a file.
        ask: the narrator.
        cache: of its frames; what is there is not decoded again.
        options: what is asked, how often.
        report: called with a sentence about a video that is damaged.
        looked: called with the time of each look that is read anew.

    Raises:
        PolygraftError: the video cannot be read, or shows nothing.
    """
    features = cache.features([Span(video=video)], fps=options.fps, report=report, progress=False, looked=looked)
    for sentence in features.unreadable.values():
        raise PolygraftError(sentence)
    times = features.times[0]
    if not times:
        raise PolygraftError(f"video {video} shows nothing")
    end = _end(video, times, options.fps)
    found = moments(
        times,
        end,
        question=options.question,
        every=options.every,
        window=options.window,
        cuts=find_cuts(times, *_changes(features)) if options.cuts else (),
    )
    if not found:
        raise PolygraftError(
            f"{video} is {end:.1f} s long, too short to ask what comes {options.question}: give a smaller --every"
        )
    return Watched(
        video=video,
        end=end,
        moments=tuple(found),
        queries=_asked(ask, features, [moment.looks for moment in found], options.asked),
        scene=_asked(ask, features, [range(len(times))], QUESTIONS["overall"]),
        options=options,
        features=features,
    )


def _asked(ask: Ask, features: SpanFeatures, looks: Sequence[range], question: str) -> Tensor:
    """Return the answers to a question about each of some stretches, (len(looks), d) float32 on the CPU."""
    found = []
    for start in range(0, len(looks), _BATCH):
        clips = [features.take(0, _evenly(own)) for own in looks[start : start + _BATCH]]
        found.append(ask(clips, [question] * len(clips)).float().cpu())
    return torch.cat(found)


def _changes(features: SpanFeatures) -> tuple[Scores, float]:
    """Return how far each look is from the one before it, 1 - cosine, and how far two looks are on average."""
    rows = features.rows[0]
    found, total = torch.zeros(len(rows)), torch.zeros(features.table.shape[1], dtype=torch.float64)
    for start in range(0, len(rows), _BLOCK):
        first = max(0, start - 1)
        block = features.take(0, slice(first, start + _BLOCK))
        found[first + 1 : first + len(block)] = 1 - (block[1:] * block[:-1]).sum(dim=1)
        total += block[start - first :].double().sum(dim=0)
    return found.numpy(), 1 - float((total / len(rows)).square().sum())


def _end(video: Path, times: Sequence[float], fps: float) -> float:
    """Return the video's end in seconds: what it says of itself, within half a look of what it shows."""
    shown = times[-1] + 1 / fps
    said = probe(video).duration
    return max(times[-1] + 1e-3, min(said, shown)) if said else shown


def _evenly(looks: range) -> slice:
    """Return the looks, or of very many as many as any narrator can use."""
    return slice(looks.start, looks.stop, 1 + len(looks) // _MOST_FRAMES)
