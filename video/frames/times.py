"""Times asked of a video, when a leap pays, and when a video is over.

Times are seconds from the video's beginning. Nothing here opens a file.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from backbone.errors import UsageError

ROUNDING = 1e-6  # seconds by which an asked time may miss a frame's: less than any container's tick between frames

# Fewer frames are decoded quicker than leapt over: a leap throws away what the decoder's threads hold.
_LEAST_LEAP = 16
# Without an index nobody knows where the key frames are. Encoders set one every ten seconds at the latest by custom.
_BLIND_LEAP = 10.0
# Headers round, sound may outlast the images a little, and so may the gaps of a slow slide show: no sign of a cut.
_SLACK = 1.0


@dataclass(frozen=True, kw_only=True)
class AskedTimes:
    """The times at which frames are sampled: those listed, one every so often, or those of all its frames.

    Raises:
        UsageError: Names the setting and what is allowed.
    """

    at: tuple[float, ...] | None = None  # these, in any order
    every: float | None = None
    """``start``, ``start + every``, ``start + 2 * every`` and so on, each multiplied anew so that nothing drifts."""
    start: float = 0.0
    stop: float | None = None  # not included; None: the video's end

    def __post_init__(self) -> None:
        for number, name in ((self.every, "every"), (self.start, "start"), (self.stop, "stop")):
            if number is not None and not math.isfinite(number):
                raise UsageError(f"{name} is {number}: give a number of seconds")
        if self.at is not None:
            if self.every is not None or self.start or self.stop is not None:
                raise UsageError("`at` lists the times: give it alone, or give every, start and stop instead")
            if bad := [time for time in self.at if not (math.isfinite(time) and time >= 0)]:
                raise UsageError(f"`at` holds {bad[0]}: give times in seconds, 0 or later")
        if self.every is not None and self.every < 1e-3:
            raise UsageError(f"every is {self.every}: give the seconds between two frames, 0.001 or more")
        if self.start < 0:
            raise UsageError(f"start is {self.start}: videos begin at 0")
        if self.stop is not None and self.stop <= self.start:
            raise UsageError(f"stop is {self.stop} and start {self.start}: give a later stop")

    @classmethod
    def of(
        cls, at: Iterable[float] | None, every: float | None, start: float = 0.0, stop: float | None = None
    ) -> "AskedTimes":
        """Take the arguments of `video.read_frames`."""
        try:
            listed = None if at is None else tuple(float(t) for t in at)
            return cls(
                at=listed,
                every=None if every is None else float(every),
                start=float(start),
                stop=None if stop is None else float(stop),
            )
        except (TypeError, ValueError):
            raise UsageError(
                f"at={at!r}, every={every!r}, start={start!r} and stop={stop!r} should be seconds"
            ) from None

    @property
    def all_frames(self) -> bool:
        """Whether no times are asked for, but frames."""
        return self.at is None and self.every is None

    @property
    def ascending(self) -> bool:
        """Whether nothing follows an earlier time."""
        return self.at is None or self.at == self._listed

    @cached_property
    def _listed(self) -> tuple[float, ...]:
        return tuple(sorted(self.at or ()))

    def count(self) -> float:
        """Return how many times are asked for; infinite where only the video's end ends them."""
        if self.at is not None:
            return len(self.at)
        if self.every is None or self.stop is None:
            return math.inf
        return math.ceil((self.stop - self.start - ROUNDING) / self.every)

    def __iter__(self) -> Iterator[float]:
        """Yield the times in the order asked for; there is none to yield where all frames are."""
        if self.at is not None:
            yield from self.at
        elif self.every is not None:
            number = 0
            while number < self.count():
                yield self.start + number * self.every
                number += 1

    def within(self, begin: float, end: float) -> bool:
        """Whether a frame shown from ``begin`` until ``end`` may be seen; True in doubt."""
        begin -= 2 * ROUNDING
        if self.at is not None:
            place = bisect_left(self._listed, begin)
            return place < len(self._listed) and self._listed[place] <= end
        if self.every is None:
            return True
        number = max(0, math.ceil((begin - self.start) / self.every))
        return number < self.count() and self.start + number * self.every <= end


class Leaps:
    """Decides whether to leap to a key frame further on or to decode one frame after the other."""

    def __init__(self, key_frames: Sequence[float], rate: float) -> None:
        self._keys = key_frames
        self._rate = rate
        self._blind = _BLIND_LEAP

    def pays(self, place: float, time: float) -> bool:
        """Return whether a leap from the frame at ``place`` to the one at ``time`` is worth it."""
        if not self._keys:
            return time - place > self._blind
        key = bisect_right(self._keys, time) - 1
        return key >= 0 and (self._keys[key] - place) * self._rate > _LEAST_LEAP

    def learn(self, place: float, landed: float) -> None:
        """Take note of where a leap from ``place`` ended."""
        if landed <= place:
            self._blind *= 2


@dataclass(frozen=True, kw_only=True)
class Ending:
    """When a video is over."""

    until: float  # the last frame is shown until then
    last: float  # how long a frame is shown; so much may a listed time lie beyond the end, as durations are rounded
    header_end: float | None = None  # when it is over by the file's header, if that has it
    cut: bool = False  # whether it should last longer

    @classmethod
    def of(cls, time: float, length: float, header_end: float | None, longest: float) -> "Ending":
        """Judge from the last frame that was read.

        Args:
            time: When it begins.
            length: How long it is shown, by its packet.
            header_end: The end of the images by the file's header, if that has it.
            longest: The longest time that another frame was seen to be shown.
        """
        until = time + length
        if header_end is None or header_end <= until:
            return cls(until=until, last=length, header_end=header_end)
        cut = header_end - until > max(_SLACK, 2 * longest)
        return cls(until=until if cut else header_end, last=length, header_end=header_end, cut=cut)

    def reaches(self, time: float, asked: AskedTimes) -> bool:
        """Return whether something is shown at ``time``."""
        return time <= self.until + self.last if asked.at is not None else time < self.until - ROUNDING


def look_up(times: AskedTimes, begins: Sequence[float], ending: Ending) -> Iterator[tuple[float, int | None]]:
    """Yield each time asked for with the number of the frame that is shown then, None where the video is over.

    Args:
        times: Not all frames; where they ascend, the first that has nothing to show is the last.
        begins: When each frame begins, ascending; at least one.
        ending: When the last one is over.
    """
    for time in times:
        place = bisect_right(begins, time + ROUNDING)
        over = place == len(begins) and not ending.reaches(time, times)
        yield time, None if over else max(0, place - 1)
        if over and times.ascending:
            return


def parse_clock(text: str) -> float | None:
    """Return the seconds of a time like 00:09:56.458, None where it is none."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
