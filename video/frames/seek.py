"""Position in an opened video: from one requested time to the next by decoding, by seeking, and back where needed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import inf
from typing import Any, NamedTuple, Protocol

from video.frames.timestamps import ROUNDING, AskedTimes, Ending, Leaps

Seen = Callable[[float, float], bool]
"""Tells whether a frame that is shown from one time until another may be looked at."""

_REORDERED = 16  # packets: codecs move a frame by so many places at most


class Decoded(NamedTuple):
    """A frame as the decoder gave it."""

    time: float
    length: float
    """Seconds for which it says to be shown."""
    frame: Any


class OpenedVideo(Protocol):
    """What a walk needs of a video."""

    seekable: bool

    @property
    def said(self) -> float | None:
        """When it is over by its header, if it tells."""

    def decoded(self, seen: Seen) -> Iterator[Decoded]:
        """Yield frames in order of time, from where the video stands; some that are not seen may be left out."""

    def seek(self, time: float) -> bool:
        """Stand at a frame near ``time`` that needs no earlier one; False if that cannot be done."""

    def restart(self) -> None:
        """Stand at the beginning."""

    def leaps(self) -> Leaps:
        """Return when leaping pays."""


class Walk:
    """A place in a video, between the frame that is shown and the one after it.

    Attributes:
        ending: when the video is over, once something was asked for that lies beyond; None before.
    """

    _frames: Iterator[Decoded]
    _shown: Decoded | None
    _next: Decoded | None

    def __init__(self, video: OpenedVideo, times: AskedTimes) -> None:
        self._video = video
        self._times = times
        self._leaps = video.leaps()
        self._longest = 0.0
        self.ending: Ending | None = None
        self._begin()

    def looks(self) -> Iterator[tuple[float, Decoded | None]]:
        """Yield each time asked for with what is shown then, None where the video is over.

        Where times ascend the first that has nothing to show is the last; of all frames it is the video's end.
        """
        if self._times.all_frames:
            yield from self._all_frames()
            return
        for time in self._times:
            shown = self.show(time)
            yield time, shown
            if shown is None and self._times.ascending:
                return

    def show(self, time: float) -> Decoded | None:
        """Go to ``time`` and return the frame that is shown then; None if the video is over."""
        if self._is_past(time) or self._is_far_from(time):
            self._leap(time)
        while self._next is not None and self._next.time <= time + ROUNDING:
            self._step()
        if self._next is None and not self._end().reaches(time, self._times):
            self.ending = self._end()
            return None
        return self._shown or self._next  # before the first frame, the first

    @property
    def empty(self) -> bool:
        """Whether the video has no frame."""
        return self._shown is None and self._next is None

    def _end(self) -> Ending:
        if self._shown is None:
            return Ending(until=0.0, last=0.0)
        return Ending.of(self._shown.time, self._shown.length, self._video.said, self._longest)

    def _is_past(self, time: float) -> bool:
        return self._shown is not None and time < self._shown.time - ROUNDING

    def _is_far_from(self, time: float) -> bool:
        return self._next is not None and self._video.seekable and self._leaps.pays(self._next.time, time)

    def _all_frames(self) -> Iterator[tuple[float, Decoded | None]]:
        start, stop = self._times.start, self._times.stop
        self.show(start)
        if self._shown is None and self._next is not None:
            self._step()
        while self._shown is not None:
            if self._shown.time >= start - ROUNDING:
                yield self._shown.time, self._shown
            if self._next is None:
                self.ending = self._end()
                yield max(start, self.ending.until), None
                return
            if stop is not None and self._next.time >= stop - ROUNDING:
                return
            self._step()

    def _step(self) -> None:
        if self._shown is not None and self._next is not None:
            self._longest = max(self._longest, self._next.time - self._shown.time)
        self._shown, self._next = self._next, next(self._frames, None)

    def _begin(self) -> None:
        self._shown = self._next = None  # so that the first one is wanted in any case
        self._frames = self._video.decoded(self._wanted)
        self._next = next(self._frames, None)

    def _wanted(self, begin: float, end: float) -> bool:
        return self._next is None or self._times.within(begin, end)

    def _leap(self, time: float) -> None:
        """Go to a key frame at ``time`` or before, or to the beginning if nothing else works."""
        place = self._next.time if self._next is not None else time
        back = 0.0
        # Containers find a key frame by the time at which it is decoded, and some files have no data where their index
        # says so. Then it is tried further back.
        while self._video.seekable and time > back and self._video.seek(time - back):
            self._begin()
            if self._next is not None and self._next.time <= time + ROUNDING:
                self._leaps.learn(place, self._next.time)
                return
            back = 2 * back or 1.0
        self._video.restart()
        self._begin()


def mark_seen(packets: Iterable[Any], seconds: Callable[[int], float], seen: Seen) -> Iterator[tuple[Any, bool]]:
    """Yield packets of PyAV, each with whether its frame may be looked at.

    Frames that no other one is made from need not be decoded where nobody looks at them: half of a usual video.

    Args:
        packets: in the order in which they are decoded.
        seconds: makes a time of a timestamp.
        seen: whether somebody looks.
    """
    ahead: deque[Any] = deque()
    for packet in chain(packets, [None] * _REORDERED):
        if packet is not None:
            ahead.append(packet)
        if len(ahead) > _REORDERED or (packet is None and ahead):
            due = ahead.popleft()
            yield due, due.pts is None or seen(seconds(due.pts), _shown_until(due.pts, ahead, seconds))


def _shown_until(pts: int, ahead: Iterable[Any], seconds: Callable[[int], float]) -> float:
    # The next frame may have been decoded before this one. Then this looks too far, which is the safe side.
    later = [packet.pts for packet in ahead if packet.pts is not None and packet.pts > pts]
    return seconds(min(later)) if later else inf
