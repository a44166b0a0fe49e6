"""What an image encoder says of videos at regular times, so that each look at a video is decoded and encoded once.

All spans of a video are looked at on one grid of times, 0, 1 / fps, 2 / fps and so on (VLog takes 2 a second, section
4.1), so that spans that overlap share their frames. The cache is a `backbone.feature_cache.RowStore`: a row a look, its
key made of the video's contents and the time. Looks beyond the end are kept too, so that an end need not be found
again.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.feature_cache import Rows, RowStore
from video.data.clips import Span, check_fps
from video.frames.files import Frame, check_video
from video.frames.reader import read_frames

_TICK = 1e-6  # seconds; times that are nearer are one
_PASSED_OVER = 16  # so many looks that nobody wants take no longer than to open the video again

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Looks: TypeAlias = tuple[float, ...]


def grid(start: float, stop: float, fps: float) -> Looks:
    """Return the times of the grid from ``start`` to ``stop`` (not included), or the middle where there is none."""
    first, end = math.ceil((start - _TICK) * fps), math.ceil((stop - _TICK) * fps)
    return tuple(number / fps for number in range(first, end)) or ((start + stop) / 2,)


@dataclass(frozen=True, kw_only=True, eq=False)
class SpanFeatures:
    """The features of a list of spans, read from disk where they are asked for."""

    times: tuple[Looks, ...]
    """Of each span: when it was looked at, in seconds. None where its video cannot be read or shows nothing then."""
    rows: tuple[Numbers, ...]
    """The row of each look in the table."""
    videos: tuple[str, ...]
    """SHA-256 of each span's video; empty where it cannot be read."""
    unreadable: dict[Path, str]
    """Videos that cannot be read, with one sentence each."""
    encoded: int
    """How many looks this call had to encode."""
    table: Rows

    def take(self, index: int, looks: slice = slice(None)) -> Tensor:
        """Return the frames of a span, or of some looks of it, (T, dv) float32 of length 1 on the CPU."""
        return F.normalize(torch.from_numpy(self.table[self.rows[index][looks]]).float(), dim=-1)


class VideoCache:
    """Features of videos, by content: a copy or a renamed video is known, a changed one is encoded anew.

    Args:
        folder: where the cache lives; several encoders, and caches of images, may share it.
        encoder: what encodes frames that are not known.

    Raises:
        PolygraftError: the folder holds something else, or cannot be made.
    """

    def __init__(self, folder: Path | str, encoder: ImageEncoder) -> None:
        self.encoder = encoder
        self.store = RowStore(
            Path(folder) / f"{encoder.digest[:16]}-videos", encoder, {"pooled": (encoder.width,), "shown": ()}
        )

    def features(
        self,
        spans: Sequence[Span],
        *,
        fps: float = 2.0,
        batch_size: int = 32,
        report: Callable[[str], None] | None = None,
        progress: bool = True,
        looked: Callable[[float], None] | None = None,
    ) -> SpanFeatures:
        """Return the features of spans, encoding the looks that are not cached.

        A span with no time of the grid in it is looked at in its middle; one whose times lie all beyond the video's
        end, at its start. An interrupted call has cached every batch it finished.

        Args:
            spans: any number of a video.
            fps: looks a second.
            batch_size: frames per pass through the encoder.
            report: called with what `video.frames.reader.read_frames` says of videos that are read to their end.
            progress: show a bar on a terminal when it takes more than two seconds.
            looked: called with the time of each look that is read anew, in seconds.

        Raises:
            UsageError: see `video.data.clips.check_fps`.
            PolygraftError: the cache cannot be written (no space, no permission).
        """
        check_fps(fps)
        by_video: dict[Path, list[Span]] = {}
        for span in spans:
            by_video.setdefault(span.video, []).append(span)
        bar = tqdm(
            by_video.items(), desc="encoding", unit="video", delay=2.0, disable=not progress or not _is_terminal()
        )
        with self.store.locked():
            work = _Work(self.encoder, self.store, fps, batch_size, report or _nobody, looked or _nobody)
            found = {video: work.look(video, own) for video, own in bar}
            work.flush()
            return _collect(spans, found, work)


def _nobody(_: object) -> None:
    """Hear what nobody asked for."""


def _is_terminal() -> bool:
    return sys.stderr.isatty()


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """What came of a video: its digest and the looks at each of its spans that show something, or why it fails."""

    digest: str = ""
    problem: str = ""
    looks: dict[Span, Looks]


class _UnreadableError(Exception):
    """Says of a video that it cannot be read."""


class _Work:
    """One call of `VideoCache.features`: which looks are known, and frames that wait to be encoded together."""

    def __init__(
        self,
        encoder: ImageEncoder,
        store: RowStore,
        fps: float,
        batch_size: int,
        report: Callable[[str], None],
        looked: Callable[[float], None],
    ) -> None:
        self.encoder, self.store, self.fps, self.batch_size, self.report = encoder, store, fps, batch_size, report
        self.looked = looked
        self.known = store.known
        shown = store.table("shown")
        self.beyond = set(np.flatnonzero(shown[np.arange(shown.shape[0])] == 0).tolist())
        """Rows of looks beyond a video's end."""
        self.encoded = 0
        self._waiting: dict[bytes, Tensor] = {}
        self._over: dict[bytes, None] = {}

    def look(self, video: Path, spans: Sequence[Span]) -> _Looked:
        """See to it that every look at the spans of a video is known or waits."""
        try:
            digest = _digest(video)
            opened = [span for span in spans if span.stop is None]
            if opened:
                self._to_the_end(video, digest, min(self._first(span) for span in opened))
            wanted = {span: self._looks(digest, span) for span in spans}
            self._listed(video, digest, (time for times in wanted.values() for time in times))
            # annotations round: what begins just before the end may show something at its very start alone
            late = {span: (span.start,) for span, times in wanted.items() if not self._shown(digest, times)}
            self._listed(video, digest, (time for times in late.values() for time in times))
        except _UnreadableError as error:  # and no other: a disk that is full is not the video's fault
            return _Looked(problem=str(error), looks={})
        return _Looked(
            digest=digest, looks={span: self._shown(digest, late.get(span, times)) for span, times in wanted.items()}
        )

    def _first(self, span: Span) -> int:
        """Return the number of a span's first look on the grid."""
        return math.ceil((span.start - _TICK) * self.fps)

    def _looks(self, digest: str, span: Span) -> Looks:
        if span.stop is not None:
            return grid(span.start, span.stop, self.fps)
        return tuple(number / self.fps for number in range(self._first(span), self._end(digest, self._first(span))))

    def _end(self, digest: str, number: int) -> int:
        """Return the first look from ``number`` on that shows nothing or is not known."""
        while self._is_shown(digest, number / self.fps):
            number += 1
        return number

    def _to_the_end(self, video: Path, digest: str, first: int) -> None:
        """Look at a video from look ``first`` on; the first look that shows nothing says where it ends."""
        number = self._end(digest, first)
        if not self._is_known(digest, number / self.fps):
            for frame in self._read(video, number / self.fps, None):
                self._keep(digest, number / self.fps, frame)
                number += 1
            self._nothing(digest, [number / self.fps])

    def _listed(self, video: Path, digest: str, times: Iterable[float]) -> None:
        """Look at a video at these times."""
        missing = sorted({time for time in times if not self._is_known(digest, time)})
        for run in _runs(missing, self.fps):
            wanted = {round((time - run[0]) * self.fps): time for time in run}
            for number, frame in enumerate(self._read(video, run[0], run[-1] + 0.5 / self.fps)):
                if number in wanted:
                    self._keep(digest, wanted.pop(number), frame)
            self._nothing(digest, wanted.values())

    def _read(self, video: Path, start: float, stop: float | None) -> Iterator[Frame]:
        """Yield what a video shows from ``start`` on, look by look; nothing where it is over by then."""
        seen = False
        report = self.report if stop is None else None
        try:
            # one library for all: decord would count a video's packets anew for every stretch of it
            for chunk in read_frames(video, every=1 / self.fps, start=start, stop=stop, reader="pyav", report=report):
                for frame in chunk:
                    seen = True
                    yield frame
        except PolygraftError as error:
            if seen or not _shows_anything(video):
                raise _UnreadableError(str(error)) from None

    def _key(self, digest: str, time: float) -> bytes:
        return hashlib.sha256(f"{digest} {round(time / _TICK)}".encode()).digest()

    def _is_known(self, digest: str, time: float) -> bool:
        key = self._key(digest, time)
        return key in self.known or key in self._waiting or key in self._over

    def _is_shown(self, digest: str, time: float) -> bool:
        key = self._key(digest, time)
        return key in self._waiting or (key in self.known and self.known[key] not in self.beyond)

    def _shown(self, digest: str, times: Looks) -> Looks:
        return tuple(time for time in times if self._is_shown(digest, time))

    def _keep(self, digest: str, time: float, frame: Frame) -> None:
        self.looked(time)
        key = self._key(digest, time)
        if key not in self.known:
            self._waiting[key] = self.encoder.prepare(frame.image)
        if len(self._waiting) >= self.batch_size:
            self.flush()

    def _nothing(self, digest: str, times: Iterable[float]) -> None:
        self._over |= {self._key(digest, time): None for time in times}

    def flush(self) -> None:
        """Encode and store what waits, and after it the ends that it leads to."""
        if self._waiting:
            features = self.encoder.encode_pixels(torch.stack(list(self._waiting.values())))
            self._append(features.pooled, list(self._waiting), shown=True)
            self.encoded += len(self._waiting)
            self._waiting.clear()
        if self._over:
            before = len(self.known)
            self._append(torch.zeros(len(self._over), self.encoder.width), list(self._over), shown=False)
            self.beyond |= set(range(before, len(self.known)))
            self._over.clear()

    def _append(self, rows: Tensor, keys: list[bytes], *, shown: bool) -> None:
        self.store.append({"pooled": rows, "shown": torch.full((len(keys),), float(shown))}, keys)

    def rows(self, digest: str, times: Looks) -> Numbers:
        """Return the row of each look."""
        return np.array([self.known[self._key(digest, time)] for time in times], dtype=np.int64)


def _digest(video: Path) -> str:
    try:
        with check_video(video).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PolygraftError as error:
        raise _UnreadableError(str(error)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _UnreadableError(f"video {video} cannot be read ({reason})") from None


def _shows_anything(video: Path) -> bool:
    try:
        next(read_frames(video, every=1.0, stop=0.5, reader="pyav"))
    except PolygraftError:
        return False
    return True


def _runs(times: Sequence[float], fps: float) -> list[list[float]]:
    """Part ascending times into stretches that are read at one go: whole looks apart, and not many of them."""
    runs: list[list[float]] = []
    for time in times:
        gap = (time - runs[-1][-1]) * fps if runs else 0.0
        if runs and abs(gap - round(gap)) < _TICK * fps and gap <= _PASSED_OVER:
            runs[-1].append(time)
        else:
            runs.append([time])
    return runs


def _collect(spans: Sequence[Span], found: dict[Path, _Looked], work: _Work) -> SpanFeatures:
    times = tuple(found[span.video].looks.get(span, ()) for span in spans)
    videos = tuple(found[span.video].digest for span in spans)
    return SpanFeatures(
        times=times,
        rows=tuple(work.rows(digest, looks) for digest, looks in zip(videos, times, strict=True)),
        videos=videos,
        unreadable={video: looked.problem for video, looked in found.items() if looked.problem},
        encoded=work.encoded,
        table=work.store.table("pooled"),
    )
