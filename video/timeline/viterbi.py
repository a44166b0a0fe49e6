"""From the scores of moments to spans of time that do not flicker.

Shapes: T moments in the order of time, C candidates.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

Scores: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"

CAUSAL = ("next", "before")
"""Questions about a moment of which nothing is shown but what lies beside it."""

_CUT = 0.5  # of the video's spread: half way from the same to whatever else
_LEAST_CHANGE = 0.1  # 1 - cosine; where nothing happens, noise is all the spread there is
_TICK = 1e-6  # seconds; times that are nearer are one


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A stretch of a video that has one answer, and the looks by which it is answered."""

    start: float
    stop: float
    """Seconds."""
    looks: range
    """Numbers of the looks that are shown, one at least."""
    opens: bool = False
    """Whether a shot begins with it."""


@dataclass(frozen=True, kw_only=True)
class CandidateRun:
    """Consecutive moments with the same candidate."""

    moments: range
    candidate: int


def moments(
    times: Sequence[float], end: float, *, question: str, every: float, window: float, cuts: Sequence[float] = ()
) -> list[Moment]:
    """Part a video into moments; those of which nothing is shown are left out.

    Args:
        times: of the looks at it, ascending.
        end: of the video, in seconds.
        question: ``next`` is shown what comes before the moment, ``before`` what comes after it, ``overall`` is one
            moment, the whole video; anything else is shown the moment with what lies around it in its shot.
        every: seconds from the start of one moment to that of the next, about: those of a shot are equally long.
        window: seconds that are shown; a moment with no look in it is shown the nearest.
        cuts: where shots begin, ascending; nothing to causal questions, which look beyond the moment anyway.
    """
    if question == "overall":
        return [Moment(start=0.0, stop=end, looks=range(len(times)))]
    if question in CAUSAL:
        cuts = ()
    looks = np.asarray(times)
    found = []
    for low, high in pairwise([0.0, *(cut for cut in cuts if _TICK < cut < end - _TICK), end]):
        parts = max(1, round((high - low) / every)) if cuts else max(1, math.ceil((high - low - _TICK) / every))
        length = (high - low) / parts if cuts else every
        for number in range(parts):
            start, stop = low + number * length, min(low + (number + 1) * length, high)
            shown = _shown(start, stop, question, window, low, high)
            first, last = (int(place) for place in np.searchsorted(looks, np.array(shown) - _TICK))
            if first == last and question not in CAUSAL:
                first = int(np.abs(looks - (start + stop) / 2).argmin())
                last = first + 1
            if first < last:
                found.append(Moment(start=start, stop=stop, looks=range(first, last), opens=not number))
    return found


def _shown(start: float, stop: float, question: str, window: float, low: float, high: float) -> tuple[float, float]:
    """Return from when to when a moment of a shot from ``low`` to ``high`` is shown."""
    if question == "next":
        return start - window, start
    if question == "before":
        return stop, stop + window
    middle = (start + stop) / 2
    return max(low, min(start, middle - window / 2)), min(high, max(stop, middle + window / 2))


def find_cuts(times: Sequence[float], changes: Scores, spread: float) -> list[float]:
    """Return when new shots begin: at looks that differ from the ones before them as looks of different shots do.

    Args:
        times: of looks, ascending.
        changes: (len(times),), 1 - cosine of each look and the one before it.
        spread: mean 1 - cosine of two looks of the video, whichever: encoders differ in how far apart images lie.
    """
    least = max(_LEAST_CHANGE, _CUT * spread)
    return [time for time, change in zip(times, changes.tolist(), strict=True) if change > least]


def steady_path(scores: Iterable[Scores], costs: Sequence[float]) -> list[int]:
    """Return for each moment the candidate of the best path: the sum of its scores less the costs of its changes.

    Viterbi's algorithm with one cost for all changes to a moment, so that it takes T x C steps and not T x C x C. If a
    change and none come to the same, there is none; of equal candidates the lower one is taken.

    Args:
        scores: blocks of (some, C), together (T, C).
        costs: T, what another candidate than that of the moment before costs, 0 or more; the first is nothing.
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
        changed.append(np.packbits(change))
        total = np.where(change, total[best] - cost, total) + row
    if total is None:
        return []
    path = [int(total.argmax())]
    for best, bits in zip(reversed(came_from), reversed(changed), strict=True):
        here = path[-1]
        path.append(best if bits[here // 8] >> (7 - here % 8) & 1 else here)
    return path[::-1]


def runs_of(path: Sequence[int], follows: Callable[[int], bool]) -> list[CandidateRun]:
    """Return the runs of a path; ``follows`` says whether a moment begins where the one before it ends."""
    found: list[CandidateRun] = []
    for at, candidate in enumerate(path):
        if found and found[-1].candidate == candidate and follows(at):
            found[-1] = CandidateRun(moments=range(found[-1].moments.start, at + 1), candidate=candidate)
        else:
            found.append(CandidateRun(moments=range(at, at + 1), candidate=candidate))
    return found


def without_short(
    runs: Sequence[CandidateRun],
    *,
    length: Callable[[range], float],
    least: float,
    score: Callable[[range, int], Scores],
    follows: Callable[[int], bool],
) -> list[CandidateRun]:
    """Give the moments of runs that are too short to their neighbours, the shortest first.

    Between two neighbours the moments are parted where the scores of both come to the most. A run without a neighbour
    stays.

    Args:
        runs: in the order of time.
        length: seconds of some moments.
        least: seconds of a run that stays.
        score: of some moments with a candidate, (len(moments),).
        follows: as in `runs_of`.
    """
    kept = list(runs)
    lonely: set[range] = set()
    while True:
        short = [at for at, run in enumerate(kept) if length(run.moments) < least - _TICK and run.moments not in lonely]
        if not short:
            return kept
        at = min(short, key=lambda at: (length(kept[at].moments), at))
        run = kept[at]
        left = kept[at - 1] if at and follows(run.moments.start) else None
        right = kept[at + 1] if at + 1 < len(kept) and follows(run.moments.stop) else None
        if left is None and right is None:
            lonely.add(run.moments)
            continue
        cut = _part(run.moments, left, right, score)
        kept[at : at + 1] = []
        if left is not None and cut > run.moments.start:
            kept[at - 1] = CandidateRun(moments=range(left.moments.start, cut), candidate=left.candidate)
        if right is not None and cut < run.moments.stop:
            kept[at] = CandidateRun(moments=range(cut, right.moments.stop), candidate=right.candidate)
        if left is not None and right is not None and left.candidate == right.candidate:
            joined = range(kept[at - 1].moments.start, kept[at].moments.stop)
            kept[at - 1 : at + 1] = [CandidateRun(moments=joined, candidate=left.candidate)]


def _part(
    moments: range, left: CandidateRun | None, right: CandidateRun | None, score: Callable[[range, int], Scores]
) -> int:
    """Return the first of the moments that goes to the right."""
    if left is None or right is None:
        return moments.start if left is None else moments.stop
    gain = score(moments, left.candidate) - score(moments, right.candidate)
    return moments.start + int(np.concatenate([[0.0], np.cumsum(gain)]).argmax())
