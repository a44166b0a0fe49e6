"""Narration of a video: spans of time with a narration each, without flicker and without repeats.

VLog narrates seconds alone (Section 4.3). Here all moments are narrated jointly: the best path through their candidates
(Viterbi), which changes freely at cuts and at a cost elsewhere, gives spans, narrated by all of their frames.

Shapes: T moments in the order of time, C candidates.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from video.timeline.query import TICK, EncodedVideo, Scores
from video.vocabulary.novelty import Novelty
from video.vocabulary.vectors import ScenePrior
from video.vocabulary.vocabulary import NarrationVocabulary, Retrieved

_CANDIDATES = 4  # best narrations of a moment that compete for all moments
_BLOCK = 256  # moments whose scores are held at a time


@dataclass(frozen=True, kw_only=True)
class Narrated:
    """A span of a video and its narration."""

    start: float
    stop: float  # seconds
    text: str
    score: float  # cosine similarity of the span and the narration, plus what the scene adds
    confidence: float  # probability of the narration among all that come close anywhere in the video
    novel: bool  # whether the vocabulary seems to have no words for most of the span
    narrations: tuple[Retrieved, ...]  # as many as were asked for, the best first


class CandidateRun(NamedTuple):
    """Consecutive moments with the same candidate."""

    moments: range
    candidate: int


def narrate_encoded(
    encoded: EncodedVideo, vocabulary: NarrationVocabulary, *, scale: float, novelty: Novelty
) -> list[Narrated]:
    """Narrate a video.

    Args:
        encoded: The video.
        vocabulary: With vectors.
        scale: What the narrator multiplies cosines by before the softmax.
        novelty: Detects spans for which there are no words.

    Returns:
        Spans in the order of time, neighbours with different texts.

    Raises:
        PolygraftError: The vocabulary has no vectors, holds nothing, or is damaged.
    """
    candidates = _Candidates(encoded, vocabulary)
    found: list[tuple[CandidateRun, list[Retrieved]]] = []
    for run in candidates.runs():
        narrations = candidates.narrations(run)
        if found and found[-1][1][0].text == narrations[0].text and candidates.follows(run.moments.start):
            before, _ = found.pop()
            run = CandidateRun(range(before.moments.start, run.moments.stop), run.candidate)
            narrations = candidates.narrations(run)
        found.append((run, narrations))
    novel = encoded.novel(vocabulary, novelty).float()
    spans = []
    for run, narrations in found:
        best = narrations[0]
        probability = (scale * (best.score - candidates.scores(run))).exp().sum().reciprocal()
        spans.append(
            Narrated(
                start=encoded.moments[run.moments.start].start,
                stop=encoded.moments[run.moments.stop - 1].stop,
                text=best.text,
                score=best.score,
                confidence=float(probability),
                novel=bool(novel[run.moments.start : run.moments.stop].mean() > 0.5),
                narrations=tuple(narrations),
            )
        )
    return spans


class _Candidates:
    """The narrations that compete for a video's moments, and the runs that they make."""

    def __init__(self, encoded: EncodedVideo, vocabulary: NarrationVocabulary) -> None:
        self._encoded, self._vocabulary = encoded, vocabulary
        options = encoded.options
        prior = ScenePrior(weight=options.scene_weight, keep=options.scene_keep)
        scene = encoded.scene if options.scene_weight or options.scene_keep else None
        hits = vocabulary.search(encoded.queries, _CANDIDATES, scene_queries=scene, prior=prior)
        self._rows = sorted(set(hits.rows[hits.rows >= 0].tolist()))
        # the scene is the video's, so what it adds to a narration is the same for every moment
        self._added = (
            torch.zeros(len(self._rows)) if scene is None else vocabulary.scene_bonus(self._rows, scene, prior)
        )
        self._vectors = vocabulary.vectors(self._rows).float()
        self._queries = F.normalize(encoded.queries, dim=1)

    def follows(self, at: int) -> bool:
        """Return whether a moment begins where the one before it ends."""
        moments = self._encoded.moments
        return 0 < at < len(moments) and moments[at].start - moments[at - 1].stop < TICK

    def runs(self) -> list[CandidateRun]:
        """Return the runs of the best path, without short ones."""
        options, moments = self._encoded.options, self._encoded.moments
        # where a shot begins, a change costs nothing
        costs = [0.0 if moment.opens else options.steady for moment in moments]
        return merge_short(
            runs_of(steady_path(self._blocks(), costs), self.follows),
            length=lambda some: moments[some.stop - 1].stop - moments[some.start].start,
            least=min(options.min_span, self._encoded.end),
            score=lambda some, at: (self._queries[some.start : some.stop] @ self._vectors[at]).numpy(),
            follows=self.follows,
        )

    def _blocks(self) -> Iterator[Scores]:
        for start in range(0, len(self._queries), _BLOCK):
            yield (self._queries[start : start + _BLOCK] @ self._vectors.T + self._added).numpy()

    def scores(self, run: CandidateRun) -> torch.Tensor:
        """Return the score of each candidate by the mean direction of a run's moments, (C,)."""
        query = F.normalize(self._queries[run.moments.start : run.moments.stop].mean(dim=0), dim=0)
        return self._vectors @ query + self._added

    def narrations(self, run: CandidateRun) -> list[Retrieved]:
        """Return the best narrations of a run, its own candidate first."""
        scores = self.scores(run)
        order = [run.candidate, *(at for at in scores.argsort(descending=True).tolist() if at != run.candidate)]
        kept = order[: self._encoded.options.top]
        return [self._vocabulary.retrieved(float(scores[at]), self._rows[at]) for at in kept]


def steady_path(scores: Iterable[Scores], costs: Sequence[float]) -> list[int]:
    """Return for each moment the candidate of the best path: the sum of its scores less the costs of its changes.

    Viterbi's algorithm with one cost for all changes to a moment, so that it takes T x C steps and not T x C x C. If a
    change and none come to the same, there is none; of equal candidates the lower one is taken.

    Args:
        scores: Blocks of (some, C), together (T, C).
        costs: T, what another candidate than that of the moment before costs, 0 or more; the first is ignored.
    """
    total: Any = None
    came_from: list[int] = []
    changed: list[Any] = []
    for row, cost in zip((row for block in scores for row in block.astype(np.float64)), costs, strict=True):
        if total is None:
            total = row
            continue
        best = int(total.argmax())
        change = total[best] - cost > total
        came_from.append(best)
        changed.append(np.packbits(change))  # a bit for each moment and candidate: hours of video fit into memory
        total = np.where(change, total[best] - cost, total) + row
    if total is None:
        return []
    path = [int(total.argmax())]
    for best, bits in zip(reversed(came_from), reversed(changed), strict=True):
        here = path[-1]
        path.append(best if bits[here // 8] >> (7 - here % 8) & 1 else here)
    return path[::-1]


def runs_of(path: Sequence[int], follows: Callable[[int], bool]) -> list[CandidateRun]:
    """Return the runs of a path; ``follows`` is whether a moment begins where the one before it ends."""
    found: list[CandidateRun] = []
    for at, candidate in enumerate(path):
        if found and found[-1].candidate == candidate and follows(at):
            found[-1] = CandidateRun(range(found[-1].moments.start, at + 1), candidate)
        else:
            found.append(CandidateRun(range(at, at + 1), candidate))
    return found


def merge_short(
    runs: Sequence[CandidateRun],
    *,
    length: Callable[[range], float],
    least: float,
    score: Callable[[range, int], Scores],
    follows: Callable[[int], bool],
) -> list[CandidateRun]:
    """Merge runs that are too short into their neighbours, the shortest first.

    Between two neighbours the moments are divided where the scores of both are highest in sum. A run without a
    neighbour stays.

    Args:
        runs: In the order of time.
        length: Seconds of some moments.
        least: Seconds of a run that stays.
        score: Of some moments with a candidate, (len(moments),).
        follows: As in `runs_of`.
    """
    kept = list(runs)
    isolated: set[range] = set()
    while True:
        short = [at for at, run in enumerate(kept) if length(run.moments) < least - TICK]
        short = [at for at in short if kept[at].moments not in isolated]
        if not short:
            return kept
        at = min(short, key=lambda at: length(kept[at].moments))  # of equals the first
        moments = kept[at].moments
        left = kept[at - 1 : at] if follows(moments.start) else []
        right = kept[at + 1 : at + 2] if follows(moments.stop) else []
        if left or right:
            kept[at - len(left) : at + 1 + len(right)] = _divided(moments, left, right, score)
        else:
            isolated.add(moments)


def _divided(
    moments: range, left: Sequence[CandidateRun], right: Sequence[CandidateRun], score: Callable[[range, int], Scores]
) -> list[CandidateRun]:
    """Extend the neighbours, one or two, over the moments between them."""
    cut = moments.stop if left else moments.start
    if left and right:
        if left[0].candidate == right[0].candidate:
            return [CandidateRun(range(left[0].moments.start, right[0].moments.stop), left[0].candidate)]
        gain = np.cumsum(score(moments, left[0].candidate) - score(moments, right[0].candidate))
        cut = moments.start + int(np.concatenate([[0.0], gain]).argmax())
    return [
        *(CandidateRun(range(run.moments.start, cut), run.candidate) for run in left),
        *(CandidateRun(range(cut, run.moments.stop), run.candidate) for run in right),
    ]


# Subtitles


def clock(seconds: float, separator: str = ".") -> str:
    """Return a time as hours:minutes:seconds with milliseconds, 00:01:02.500."""
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{separator}{rest % 1000:03}"


def to_srt(spans: Iterable[Narrated]) -> str:
    """Return spans in SubRip's format."""
    blocks = (
        f"{number}\n{clock(span.start, ',')} --> {clock(span.stop, ',')}\n{_one_line(span.text)}\n"
        for number, span in enumerate(spans, 1)
    )
    return "\n".join(blocks)


def to_vtt(spans: Iterable[Narrated]) -> str:
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
