"""Narration of a video: spans of time with a narration each, without flicker and without repeats.

VLog narrates clip by clip (Section 4.3: a video is cut into seconds, and each is narrated alone). Here all moments of a
video are narrated jointly: the best path through their candidates (`video.timeline.viterbi`), which changes freely at
cuts and at a cost elsewhere, gives spans, and each span is narrated by all of its frames. Spans are written as SubRip
(.srt) and WebVTT (.vtt) subtitles.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from video.timeline.query import Watched
from video.timeline.viterbi import CandidateRun, Scores, runs_of, steady_path, without_short
from video.vocabulary.compose import Joins, retrieve_joined
from video.vocabulary.exact_search import ScenePrior
from video.vocabulary.novelty import Novelty
from video.vocabulary.text_encoder import TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary, Retrieved

_CANDIDATES = 4  # best narrations of a moment that compete for all moments

_BLOCK = 256  # moments whose scores are held at a time

_TICK = 1e-6


@dataclass(frozen=True, kw_only=True)
class Narrated:
    """A span of a video and what is said of it."""

    start: float
    stop: float
    """Seconds."""
    text: str
    score: float
    """Cosine of the span with the narration, and what the scene adds."""
    confidence: float
    """Probability of the narration among all that come close anywhere in the video."""
    novel: bool
    """Whether the vocabulary seems to have no words for most of the span."""
    narrations: tuple[Retrieved, ...]
    """As many as were asked for, the best first."""


def tell(
    watched: Watched,
    vocabulary: NarrationVocabulary,
    *,
    scale: float,
    novelty: Novelty,
    encoder: TextEncoder,
) -> list[Narrated]:
    """Narrate a video.

    Args:
        watched: the video.
        vocabulary: with vectors.
        scale: what the narrator multiplies cosines by before the softmax.
        novelty: tells spans for which there are no words.
        encoder: the vocabulary's, for sentences that are joined.

    Returns:
        Spans in the order of time, neighbours with different texts.

    Raises:
        PolygraftError: the vocabulary has no vectors, holds nothing, or is damaged.
    """
    story = _Story(watched, vocabulary, scale, encoder)
    spans: list[_Narration] = []
    for run in story.runs():
        found = story.narration(run)
        if spans and spans[-1].text == found.text and story.follows(run.moments.start):
            moments = range(spans[-1].run.moments.start, run.moments.stop)
            found = story.narration(CandidateRun(moments=moments, candidate=run.candidate))
            spans.pop()
        spans.append(found)
    novel = watched.novel(vocabulary, novelty).float()
    return [
        Narrated(
            start=story.span(one.run)[0],
            stop=story.span(one.run)[1],
            text=one.text,
            score=one.narrations[0].score,
            confidence=one.confidence,
            novel=bool(novel[one.run.moments.start : one.run.moments.stop].mean() > 0.5),
            narrations=one.narrations,
        )
        for one in spans
    ]


@dataclass(frozen=True, kw_only=True)
class _Narration:
    run: CandidateRun
    narrations: tuple[Retrieved, ...]
    confidence: float

    @property
    def text(self) -> str:
        return self.narrations[0].text


class _Story:
    """The candidates of a video and the runs that they make."""

    def __init__(self, watched: Watched, vocabulary: NarrationVocabulary, scale: float, encoder: TextEncoder) -> None:
        self._watched, self._vocabulary, self._scale, self._encoder = watched, vocabulary, scale, encoder
        options = watched.options
        self._prior = ScenePrior(weight=options.scene_weight, keep=options.scene_keep)
        self._scene = watched.scene if options.scene_weight or options.scene_keep else None
        hits = vocabulary.search(watched.queries, _CANDIDATES, scene_queries=self._scene, prior=self._prior)
        found = hits.rows >= 0
        # the scene is the video's, so what it adds to a narration is the same for every moment
        added = dict(zip(hits.rows[found].tolist(), hits.added[found].tolist(), strict=True))
        self._rows = sorted(added)
        self._added = torch.tensor([added[row] for row in self._rows])
        self._vectors = vocabulary.vectors("narrations", self._rows).float()
        self._queries = F.normalize(watched.queries, dim=1)

    def follows(self, at: int) -> bool:
        """Return whether a moment begins where the one before it ends."""
        moments = self._watched.moments
        return 0 < at < len(moments) and moments[at].start - moments[at - 1].stop < _TICK

    def runs(self) -> list[CandidateRun]:
        """Return the runs of candidates."""
        options, moments = self._watched.options, self._watched.moments
        # where the video itself breaks off, so may the story
        costs = [0.0 if moment.opens else options.steady for moment in moments]
        return without_short(
            runs_of(steady_path(self._blocks(), costs), self.follows),
            length=lambda some: moments[some.stop - 1].stop - moments[some.start].start,
            least=min(options.min_span, self._watched.end),
            score=self._scores_of,
            follows=self.follows,
        )

    def _blocks(self) -> Iterator[Scores]:
        for start in range(0, len(self._queries), _BLOCK):
            yield (self._queries[start : start + _BLOCK] @ self._vectors.T + self._added).numpy()

    def _scores_of(self, moments: range, candidate: int) -> Scores:
        return (self._queries[moments.start : moments.stop] @ self._vectors[candidate]).numpy()

    def narration(self, run: CandidateRun) -> _Narration:
        """Narrate a run by the mean direction of its moments: its own candidate first, or what is joined if closer."""
        options = self._watched.options
        query = F.normalize(self._queries[run.moments.start : run.moments.stop].mean(dim=0), dim=0)
        scores = self._vectors @ query + self._added
        order = [run.candidate, *(at for at in scores.argsort(descending=True).tolist() if at != run.candidate)]
        found = [self._vocabulary.retrieved(float(scores[at]), self._rows[at]) for at in order[: options.top]]
        rivals = scores
        if options.joins and (joined := self._joined(query)) and joined[0].score > found[0].score:
            rivals = torch.cat([scores, torch.tensor([one.score for one in joined])])
            found = [*joined, *(one for one in found if one.text not in {other.text for other in joined})]
        probability = (self._scale * (found[0].score - rivals)).exp().sum().reciprocal()
        return _Narration(run=run, narrations=tuple(found[: options.top]), confidence=float(probability))

    def _joined(self, query: Tensor) -> list[Retrieved]:
        """Return the sentences that nobody wrote among the best ones, while they come before any that somebody did."""
        options = self._watched.options
        best = retrieve_joined(
            self._vocabulary,
            self._encoder,
            query[None],
            options.top,
            joins=Joins(prefixes=options.joins, postfixes=options.joins),
            scene_queries=self._scene,
            prior=self._prior,
        )[0]
        written = next((at for at, one in enumerate(best) if one.row is not None), len(best))
        return best[:written]

    def span(self, run: CandidateRun) -> tuple[float, float]:
        """Return start and stop of a run."""
        moments = self._watched.moments
        return moments[run.moments.start].start, moments[run.moments.stop - 1].stop


class SubtitleSpan(Protocol):
    """A span of a video with a text."""

    @property
    def start(self) -> float:
        """Seconds."""

    @property
    def stop(self) -> float:
        """Seconds."""

    @property
    def text(self) -> str:
        """What is shown, a line."""


def clock(seconds: float, separator: str = ".") -> str:
    """Return a time as hours:minutes:seconds with milliseconds, 00:01:02.500."""
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{separator}{rest % 1000:03}"


def to_srt(spans: Iterable[SubtitleSpan]) -> str:
    """Return spans in SubRip's format."""
    blocks = (
        f"{number}\n{clock(span.start, ',')} --> {clock(span.stop, ',')}\n{_one_line(span.text)}\n"
        for number, span in enumerate(spans, 1)
    )
    return "\n".join(blocks)


def to_vtt(spans: Iterable[SubtitleSpan]) -> str:
    """Return spans in WebVTT's format (W3C), in which < and & begin marks and an arrow would be taken for times."""
    cues = (
        f"{clock(span.start)} --> {clock(span.stop)}\n"
        + _one_line(span.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "\n"
        for span in spans
    )
    return "\n".join(["WEBVTT\n", *cues])


def _one_line(text: str) -> str:
    """Return a text without line ends, since an empty line ends a subtitle."""
    return " ".join(text.split())
