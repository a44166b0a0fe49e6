"""Decoding with PyAV: an opened video, and the walk through it from one time to the next by decoding or seeking."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from math import inf
from typing import Any, NamedTuple, TypeAlias

import av
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from backbone.errors import PolygraftError
from video.frames.files import Request, check_size, turn_of
from video.frames.times import ROUNDING, AskedTimes, Ending, Leaps, parse_clock

VideoPacket: TypeAlias = "Packet[VideoStream]"

# FFmpeg reads playlists and scripts too, which name other files and addresses: a video from a stranger may not.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,asf,ogg,mxf,nut,rm,dv,wtv,gxf,"
    "h264,hevc,vvc,av1,obu,ivf,mjpeg,yuv4mpegpipe,mp3,wav,flac,aac,aiff,amr,caf,ac3"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
_MAX_THREADS = 8  # each holds a frame
_BIG_FRAME = 3840 * 2160  # pixels; larger frames are decoded by few threads, so that they do not fill the memory
# Where packets are sure to hold the times of their frames, frames that are not asked for need not be decoded.
_THINNED_CODECS = frozenset({"h264", "hevc", "mpeg4", "mpeg2video"})
_THINNED_CONTAINERS = frozenset({"mov", "matroska", "flv"})

Seen = Callable[[float, float], bool]  # whether a frame that is shown from one time until another may be asked for

_REORDERED = 16  # packets: codecs move a frame by so many places at most


class Decoded(NamedTuple):
    """A frame as the decoder gave it."""

    time: float
    length: float  # seconds for which it is shown, by its packet
    frame: Any


class OpenedVideo:
    """A container opened with PyAV, and its stream of images; where it stands, decoding goes on."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._shrink = VideoReformatter()
        self.container: Any = None
        self._turns: list[Image.Transpose | None] | None = None
        self.damaged = 0
        self.restart()

    def restart(self) -> None:
        """Stand at the beginning, by opening the container anew: the one way that works for every container."""
        self.close()
        try:
            self.container = av.open(str(self._request.path.absolute()), options=_OPTIONS)
        except PermissionError:
            raise PolygraftError(f"{self._request.name} may not be read by this user") from None
        except FFmpegError:
            kinds = "MP4, Matroska, WebM, AVI, MPEG and the like, or an animated image"
            reason = f"holds no video in a known format ({kinds}), or its beginning or index is missing"
            raise PolygraftError(f"{self._request.name} {reason}: fetch it again") from None
        try:
            self._open_stream()
        except BaseException:
            self.close()
            raise

    def _open_stream(self) -> None:
        self.stream = self._find_stream()
        for other in self.container.streams:
            other.discard = Discard.default if other is self.stream else Discard.all
        codec = self.codec = self.stream.codec_context
        check_size(self._request.name, codec.width, codec.height)
        codec.thread_type = "AUTO"
        codec.thread_count = min(os.cpu_count() or 1, 2 if codec.width * codec.height > _BIG_FRAME else _MAX_THREADS)
        self.format = self.container.format.name.split(",")[0]
        self.rate = float(self.stream.average_rate or self.stream.guessed_rate or 25)
        # in an AVI the times of frames are their numbers in its index, which is lost with its end
        self.seekable = self.format != "avi" or len(self.stream.index_entries) >= self.stream.frames > 0
        self._counted = 0  # frames without a time
        self._tick = self.stream.time_base or Fraction(1, av.time_base)
        begin = Fraction(max(self.container.start_time or 0, 0), av.time_base)
        self._zero = round(begin / self._tick)  # whole ticks, so that the first frame is at 0 and not just beside it

    def close(self) -> None:
        """Close the container."""
        if self.container is not None:
            self.container.close()

    def _find_stream(self) -> VideoStream:
        name, streams = self._request.name, self.container.streams
        # the cover of an album is a stream of one image
        found: list[VideoStream] = [s for s in streams.video if not s.disposition & Disposition.attached_pic]
        if not found:
            what = "sound only" if streams.audio else "no images"
            raise PolygraftError(f"{name} holds {what}, so it has no frames: give a video with images")
        if found[0].codec_context is None or not found[0].codec_context.width:
            raise PolygraftError(f"{name} has images in an unknown coding: convert it to H.264 first")
        return found[0]

    def seek(self, time: float) -> bool:
        """Stand at a key frame near ``time``; False if the container cannot find one."""
        try:
            self.container.seek(self._zero + round(Fraction(time) / self._tick), stream=self.stream, backward=True)
        except FFmpegError:
            return False
        return True

    def seconds(self, ticks: int) -> float:
        """Return the time of a timestamp."""
        # the float next to the exact fraction
        return (ticks - self._zero) * self._tick.numerator / self._tick.denominator

    def length_of(self, shown: "VideoFrame | VideoPacket") -> float:
        """Return how long a frame, or that of a packet, is shown."""
        return self.seconds(self._zero + shown.duration) if shown.duration else 1 / self.rate

    @property
    def header_end(self) -> float | None:
        """When the images are over by the file's header, if that has it."""
        stream = self.stream
        if stream.duration is not None:
            return self.seconds((stream.start_time or 0) + stream.duration)
        if "DURATION" in stream.metadata:  # Matroska's way
            return parse_clock(stream.metadata["DURATION"])
        return None if self.container.duration is None else self.container.duration / av.time_base

    def leaps(self) -> Leaps:
        """Return when leaping pays, by the container's index."""
        if self.format == "matroska":  # which reads its index when it is first needed
            self.seek(0)
        return Leaps(
            [self.seconds(entry.timestamp) for entry in self.stream.index_entries if entry.is_keyframe], self.rate
        )

    def packets(self) -> Iterator[VideoPacket]:
        """Yield the stream's packets in the order of the file, without those of which a part is missing."""
        try:
            for packet in self.container.demux(self.stream):
                # the decoder would fail on half a packet, and keep the frames to itself that it had not given out yet
                self.damaged += packet.is_corrupt
                if packet.size and not packet.is_corrupt:
                    yield packet
        except FFmpegError:
            self.damaged += 1

    def decoded(self, seen: Seen = lambda begin, end: True) -> Iterator[Decoded]:
        """Yield frames in order of time from where the container stands, passing over what is damaged."""
        latest, places = -inf, deque[int | None]()
        # at last None, which brings what is still inside the decoder
        for packet in chain(self._thinned(seen), [None]):
            if packet is not None:
                places.append(packet.dts)
            try:
                frames: list[VideoFrame] = self.codec.decode(packet)
            except FFmpegError:
                self.damaged += 1
                continue
            for frame in frames:
                time = self._time(frame, places.popleft() if places else None)
                if time >= latest:  # a stream that jumps back in time has been glued together; its first part counts
                    latest = time
                    yield Decoded(time, self.length_of(frame), frame)

    def _time(self, frame: VideoFrame, place: int | None) -> float:
        """Return when a frame begins, ``place`` being its turn among the stream's frames."""
        if self.format == "avi" and place is not None:  # whose frames follow each other, whatever their timestamps
            return self.seconds(place)
        if frame.pts is not None:
            return self.seconds(frame.pts)
        self.seekable = False  # a bare stream: its frames can be counted, and only from the beginning
        self._counted += 1
        return (self._counted - 1) / self.rate

    def _thinned(self, seen: Seen) -> Iterator[VideoPacket]:
        """Yield packets, and let the decoder skip frames that are neither asked for nor referred to."""
        # a fourth of the time of decoding: .48 s for .67 of 20 seconds in 720p, .095 for .119 of examples/films
        if self.codec.name not in _THINNED_CODECS or self.format not in _THINNED_CONTAINERS:
            yield from self.packets()
            return
        for packet, is_seen in _mark_seen(self.packets(), self.seconds, seen):
            self.codec.skip_frame = "DEFAULT" if is_seen else "NONREF"
            yield packet

    @property
    def squareness(self) -> float:
        """How much wider than high a pixel is."""
        ratio = self.stream.sample_aspect_ratio
        return float(ratio) if ratio and Fraction(1, 8) < ratio < 8 else 1.0

    def image(self, frame: VideoFrame) -> Image.Image:
        """Return a frame as an RGB image, upright, in square pixels, in the size asked for."""
        width, height = self._request.fit(frame.width * self.squareness, frame.height)
        try:
            rgb = self._shrink.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR)
        except (FFmpegError, ValueError) as error:
            reason = f"{self._request.name} has colours in the unknown form {frame.format.name} ({error})"
            raise PolygraftError(f"{reason}: convert it to H.264 first") from None
        image = Image.fromarray(rgb.to_ndarray())
        turn = self.turn_of(frame)
        return image if turn is None else image.transpose(turn)

    def turn_of(self, frame: VideoFrame) -> Image.Transpose | None:
        """Return how the video's frames are to be turned, by the first that is asked about."""
        # A frame whose side data was read lives until Python's garbage collector comes by, with all its pixels.
        if self._turns is None:
            self._turns = [turn_of(frame.side_data)]
        return self._turns[0]


class Walk:
    """A place in a video, between the frame that is shown and the one after it.

    Attributes:
        ending: When the video is over, once something was asked for that lies beyond; None before.
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

    def frames(self) -> Iterator[tuple[float, Decoded | None]]:
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
        return Ending.of(self._shown.time, self._shown.length, self._video.header_end, self._longest)

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
        # has it. Then it is tried further back.
        while self._video.seekable and time > back and self._video.seek(time - back):
            self._begin()
            if self._next is not None and self._next.time <= time + ROUNDING:
                self._leaps.learn(place, self._next.time)
                return
            back = 2 * back or 1.0
        self._video.restart()
        self._begin()


def _mark_seen(packets: Iterable[Any], seconds: Callable[[int], float], seen: Seen) -> Iterator[tuple[Any, bool]]:
    """Yield packets of PyAV, in the order in which they are decoded, each with whether its frame may be asked for."""
    ahead: deque[Any] = deque()
    for packet in chain(packets, [None] * _REORDERED):
        if packet is not None:
            ahead.append(packet)
        if len(ahead) > _REORDERED or (packet is None and ahead):
            due = ahead.popleft()
            yield due, due.pts is None or seen(seconds(due.pts), _shown_until(due.pts, ahead, seconds))


def _shown_until(pts: int, ahead: Iterable[Any], seconds: Callable[[int], float]) -> float:
    # The next frame may have been decoded before this one. Then this is too late, which is the safe side.
    later = [packet.pts for packet in ahead if packet.pts is not None and packet.pts > pts]
    return seconds(min(later)) if later else inf
