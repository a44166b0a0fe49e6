"""On-disk cache of image features for the frames of videos at regular times: one safetensors file per video.

All spans of a video share one grid of times, 0, 1 / fps, 2 / fps and so on (VLog samples 2 a second, section 4.1), so
that overlapping spans share their frames. A video's file is named by the SHA-256 of its contents and holds ``ticks``,
(N,) int64, the times of its frames in microseconds, ascending; ``features``, (N, dv) float16; and ``beyond``, int64
ticks at which nothing is shown, so that the video's end need not be found again. It is replaced as a whole now and
then, so that a killed process loses little and leaves no half a file.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from backbone.checkpoint import load_tensors
from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.io.files import atomic_file, cache_lock, cache_writes
from video.config import check_fps
from video.data.clips import Span
from video.frames.files import Frame, check_video
from video.frames.reader import read_frames

_TICK = 1e-6  # seconds; times that are nearer are one
_MAX_SKIPPED = 16  # skipping more frames takes longer than opening the video again
_SAVED_FRAMES = 512  # encoded between two writes of a file: seconds of work, some hundred kilobytes
_OPEN_FILES = 64
_BATCH = 32  # frames per pass through the encoder

Times: TypeAlias = tuple[float, ...]


def grid(start: float, stop: float, fps: float) -> Times:
    """Return the times of the grid from ``start`` to ``stop`` (not included), or the middle where there is none."""
    return tuple(number / fps for number in range(_first(start, fps), _first(stop, fps))) or ((start + stop) / 2,)


def _first(time: float, fps: float) -> int:
    return math.ceil((time - _TICK) * fps)


@dataclass(frozen=True, kw_only=True, eq=False)
class SpanFeatures:
    """The features of a list of spans, read from disk where they are asked for."""

    times: tuple[Times, ...]
    """The frames of each span, in seconds. None where its video cannot be read or shows nothing then."""
    videos: tuple[str, ...]  # SHA-256 of each span's video; empty where it cannot be read
    unreadable: dict[Path, str]  # videos that cannot be read, with one sentence each
    encoded: int  # how many frames this call had to encode
    read: Callable[[str, Times], Tensor]  # returns the features of a video, by its SHA-256, at some times: (T, dv)

    def take(self, index: int, frames: slice = slice(None)) -> Tensor:
        """Return the frames of a span, or some of them, (T, dv) float32 of length 1 on the CPU."""
        return F.normalize(self.read(self.videos[index], self.times[index][frames]).float(), dim=-1)


class VideoCache:
    """Features of videos, by content: a copy or a renamed video is known, a changed one is encoded anew.

    Args:
        folder: Where the cache lives; several encoders, and caches of images, may share it.
        encoder: What encodes frames that are not known.

    Raises:
        PolygraftError: The folder cannot be made.
    """

    def __init__(self, folder: Path | str, encoder: ImageEncoder) -> None:
        self.encoder = encoder
        self.folder = Path(folder) / f"videos-{encoder.digest[:16]}"
        with cache_writes(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._opened = lru_cache(_OPEN_FILES)(self.load)

    def features(
        self,
        spans: Sequence[Span],
        *,
        fps: float = 2.0,
        report: Callable[[str], None] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> SpanFeatures:
        """Return the features of spans, encoding the frames that are not cached; of many videos with a bar.

        A span with no time of the grid in it has one frame, in its middle; one whose times lie all beyond the video's
        end, one at its start. Another process that uses the same cache is waited for.

        Args:
            spans: Any number of a video.
            fps: Frames a second.
            report: Called with what `video.frames.reader.read_frames` reports of videos that are read to their end, and
                with a sentence about each damaged file of the cache, whose video is encoded anew.
            progress: Called with the time of each frame that is read anew, in seconds.

        Raises:
            UsageError: See `check_fps`.
            PolygraftError: The cache cannot be written (no space, no permission).
        """
        check_fps(fps)
        report, progress = report or (lambda _: None), progress or (lambda _: None)
        by_video: dict[Path, list[Span]] = {}
        for span in spans:
            by_video.setdefault(span.video, []).append(span)
        hidden = len(by_video) < 2 or not sys.stderr.isatty()
        digests: dict[Path, str] = {}
        times: dict[Span, Times] = {}
        unreadable: dict[Path, str] = {}
        encoded = 0
        with self._locked():
            self._opened.cache_clear()  # another process may have added frames since
            for video, own in tqdm(by_video.items(), desc="encoding", unit="video", delay=2.0, disable=hidden):
                try:
                    digest = _digest(video)
                    frames = _VideoFrames(self, video, digest, fps, report, progress)
                    try:
                        times |= frames.times_of(own)
                    finally:
                        frames.save()
                        encoded += frames.encoded
                    digests[video] = digest
                except _UnreadableError as error:  # and no other: a disk that is full is not the video's fault
                    unreadable[video] = str(error)
        return SpanFeatures(
            times=tuple(times[span] if span.video in digests else () for span in spans),
            videos=tuple(digests.get(span.video, "") for span in spans),
            unreadable=unreadable,
            encoded=encoded,
            read=self.read,
        )

    def read(self, video: str, times: Times) -> Tensor:
        """Return the cached features of a video, by its SHA-256, at some times: (T, dv) float16.

        Raises:
            PolygraftError: They are not there, or no longer.
        """
        stored = self._opened(video)
        wanted = torch.tensor([_tick(time) for time in times], dtype=torch.int64)
        rows = torch.searchsorted(stored["ticks"], wanted).clamp(max=max(0, len(stored["ticks"]) - 1))
        if not torch.equal(stored["ticks"][rows], wanted):
            raise PolygraftError(f"{self.file(video)} was changed while it was in use: run the command again")
        return stored["features"][rows]

    def write(self, video: str, features: Mapping[int, Tensor], beyond: Iterable[int]) -> None:
        """Replace the file of a video.

        Args:
            video: Its SHA-256.
            features: (dv,) float16 by ticks.
            beyond: Ticks at which nothing is shown.

        Raises:
            PolygraftError: The disk refuses, or a feature is beyond half precision.
        """
        ticks = sorted(features)
        rows = torch.stack([features[tick] for tick in ticks]) if ticks else torch.zeros(0, self.encoder.width).half()
        if not bool(rows.isfinite().all()):
            raise PolygraftError(f"the image encoder {self.encoder.name} gives numbers beyond half precision")
        tensors = {"ticks": torch.tensor(ticks, dtype=torch.int64), "features": rows}
        data = save(tensors | {"beyond": torch.tensor(sorted(beyond), dtype=torch.int64)})
        with cache_writes(self.folder), atomic_file(self.file(video)) as partial:
            partial.write_bytes(data)
        self._opened.cache_clear()

    def file(self, video: str) -> Path:
        """Return where the features of a video lie, by its SHA-256."""
        return self.folder / f"{video}.safetensors"

    def load(self, video: str) -> dict[str, Tensor]:
        """Map the file of a video, by its SHA-256, into memory.

        Raises:
            PolygraftError: It is missing or damaged.
        """
        file = self.file(video)
        tensors = load_tensors(file)
        expected = {"ticks": torch.int64, "features": torch.float16, "beyond": torch.int64}
        if {name: tensor.dtype for name, tensor in tensors.items()} != expected:
            raise PolygraftError(f"{file} holds other tensors than {', '.join(expected)}")
        if tensors["features"].shape != (len(tensors["ticks"]), self.encoder.width):
            raise PolygraftError(f"{file} holds features of the shape {tuple(tensors['features'].shape)}")
        return tensors

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with cache_lock(self.folder):
            for leftover in self.folder.glob(".*"):  # of processes that were killed while writing
                leftover.unlink(missing_ok=True)
            yield


class _UnreadableError(Exception):
    pass


class _VideoFrames:
    """The frames of one video that are encoded or wait for the encoder, by their ticks."""

    def __init__(
        self,
        cache: VideoCache,
        video: Path,
        digest: str,
        fps: float,
        report: Callable[[str], None],
        progress: Callable[[float], None],
    ) -> None:
        self._cache, self._video, self._digest, self._fps = cache, video, digest, fps
        self._report, self._progress = report, progress
        self._features: dict[int, Tensor] = {}
        self._beyond: set[int] = set()
        if cache.file(digest).exists():
            try:
                stored = cache.load(digest)
                self._features = dict(zip(stored["ticks"].tolist(), stored["features"].unbind(), strict=True))
                self._beyond = set(stored["beyond"].tolist())
            except PolygraftError as error:
                self._report(f"the video is encoded anew, since its cache is damaged: {error}")
        self._saved = (len(self._features), len(self._beyond))
        self._pixels: dict[int, Tensor] = {}
        self.encoded = 0

    def times_of(self, spans: Sequence[Span]) -> dict[Span, Times]:
        """Encode what is missing of spans and return the times at which each shows something."""
        open_ended = [span for span in spans if span.stop is None]
        if open_ended:
            self._read_to_end(min(_first(span.start, self._fps) for span in open_ended))
        wanted = {span: self._grid(span) for span in spans}
        self._read_missing(time for times in wanted.values() for time in times)
        # annotations round: what begins just before the end may show something at its very start alone
        late = {span: (span.start,) for span, times in wanted.items() if not self._shown(times)}
        self._read_missing(time for times in late.values() for time in times)
        self._encode()
        return {span: self._shown(late.get(span, times)) for span, times in wanted.items()}

    def save(self) -> None:
        """Write the file, unless it is as it was."""
        size = (len(self._features), len(self._beyond))
        if size != self._saved:
            self._saved = size  # before, so that a full disk is reported once
            self._cache.write(self._digest, self._features, self._beyond)

    def _grid(self, span: Span) -> Times:
        if span.stop is not None:
            return grid(span.start, span.stop, self._fps)
        first = _first(span.start, self._fps)
        return tuple(number / self._fps for number in range(first, self._end(first)))

    def _end(self, number: int) -> int:
        while self._is_shown(number / self._fps):
            number += 1
        return number

    def _read_to_end(self, first: int) -> None:
        number = self._end(first)
        if _tick(number / self._fps) not in self._beyond:
            for frame in self._frames(number / self._fps, None):
                self._add(number / self._fps, frame)
                number += 1
            self._beyond.add(_tick(number / self._fps))

    def _read_missing(self, times: Iterable[float]) -> None:
        missing = {time for time in times if not self._is_shown(time) and _tick(time) not in self._beyond}
        for run in _runs(sorted(missing), self._fps):
            wanted = {round((time - run[0]) * self._fps): time for time in run}
            for number, frame in enumerate(self._frames(run[0], run[-1] + 0.5 / self._fps)):
                if number in wanted:
                    self._add(wanted.pop(number), frame)
            self._beyond.update(map(_tick, wanted.values()))

    def _frames(self, start: float, stop: float | None) -> Iterator[Frame]:
        """Yield what the video shows from ``start`` on; nothing where it is over by then."""
        any_seen = False
        report = self._report if stop is None else None
        every = 1 / self._fps
        try:
            # one library for all: decord would count a video's packets anew for every stretch of it
            for chunk in read_frames(self._video, every=every, start=start, stop=stop, reader="pyav", report=report):
                for frame in chunk:
                    any_seen = True
                    yield frame
        except PolygraftError as error:
            if any_seen or not _shows_anything(self._video):
                raise _UnreadableError(str(error)) from None

    def _is_shown(self, time: float) -> bool:
        return _tick(time) in self._features or _tick(time) in self._pixels

    def _shown(self, times: Times) -> Times:
        return tuple(time for time in times if self._is_shown(time))

    def _add(self, time: float, frame: Frame) -> None:
        self._progress(time)
        if _tick(time) not in self._features:
            self._pixels[_tick(time)] = self._cache.encoder.prepare(frame.image)
        if len(self._pixels) >= _BATCH:
            self._encode()

    def _encode(self) -> None:
        if not self._pixels:
            return
        pooled = self._cache.encoder.encode_pixels(torch.stack(list(self._pixels.values()))).pooled
        self._features |= zip(self._pixels, pooled.cpu().half().unbind(), strict=True)
        self.encoded += len(self._pixels)
        self._pixels.clear()
        # more of a longer video, so that what is written in all stays within a few times its features
        if len(self._features) - self._saved[0] >= max(_SAVED_FRAMES, self._saved[0] // 8):
            self.save()


def _tick(time: float) -> int:
    return round(time / _TICK)


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
    """Part ascending times into stretches that are read at one go: whole frames apart, and not many of them."""
    runs: list[list[float]] = []
    for time in times:
        gap = (time - runs[-1][-1]) * fps if runs else 0.0
        if runs and abs(gap - round(gap)) < _TICK * fps and gap <= _MAX_SKIPPED:
            runs[-1].append(time)
        else:
            runs.append([time])
    return runs
