"""Videos become frames at exact times, in constant memory however slowly they are taken.

The frame of a time is the one that a player shows then: the last whose timestamp is not later; before the first frame,
the first. Time 0 is where the container begins. A video is decoded on demand and nothing runs ahead.

Two libraries read videos. PyAV streams: frame by frame, or in leaps from key frame to key frame where the times are far
apart. decord fetches a handful of frames. It has three faults. It decodes ahead of whoever reads, and nothing but the
video's end stops it: a ten minute video of 720p grew by a gigabyte in three idle seconds. It counts frames from key
frames, which goes wrong unseen where they are shown out of order. And it takes one and a half to three times as long as
PyAV. So it is asked first for a handful of frames of a video that fits into memory whole and whose timestamps prove its
counting right (`video.frames.decord_check`), and it is stopped as soon as it has answered. All else is PyAV's, with the
same frames to the pixel. Animated images are read by Pillow.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import chain, islice
from math import inf
from pathlib import Path
from typing import Any, TypeAlias

import av
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from backbone.errors import PolygraftError
from video.frames.animated_images import probe_image, read_image
from video.frames.decord_check import DecordCannotError, TooMuchForDecordError, prove_countable
from video.frames.files import (
    Frame,
    Reader,
    Report,
    Request,
    Video,
    check_size,
    check_video,
    open_still,
    turn_of,
    turned_size,
)
from video.frames.seek import AskedTimes, Decoded, Leaps, Seen, Walk, look_up, mark_seen, parse_clock

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


def read_frames(
    video: Path | str,
    *,
    at: Iterable[float] | None = None,
    every: float | None = None,
    start: float = 0.0,
    stop: float | None = None,
    longest_side: int | None = None,
    chunk: int = 16,
    reader: Reader = "auto",
    report: Report | None = None,
) -> Iterator[list[Frame]]:
    """Yield a video's frames in chunks, decoded as they are taken.

    Args:
        video: A file with a video, an animated image or an image.
        at: Times in seconds; frames come in this order, those that are listed twice come twice.
        every: Instead, seconds between one frame and the next, from ``start`` on. Neither: every frame of the video.
        start: Seconds into the video.
        stop: Seconds into the video, not included; None: its end.
        longest_side: Pixels; frames with a longer one are made smaller as they are decoded. None: they are not.
        chunk: Frames of a chunk, the last may have less; fewer in all where they are large (128 MiB a chunk).
        reader: ``auto`` asks decord for frames that are known to fit one chunk, ``decord`` for all, chunk by chunk;
            both go over to PyAV where decord cannot be trusted. ``pyav`` never asks it. The frames are the same.
        report: Called with a sentence where PyAV had to take over, and where a video is cut short, damaged or over
            before the last time asked for. What can be read is.

    Raises:
        UsageError: The settings contradict each other or are out of bounds.
        PolygraftError: The file is missing, empty, no video, has sound only, or shows nothing at the times asked for.
            What is wrong with the file's contents is raised when the first chunk is taken.
    """
    request = Request(
        path=check_video(video),
        times=AskedTimes.of(at, every, start, stop),
        longest_side=longest_side,
        reader=reader,
        chunk=chunk,
        report=report or (lambda _: None),
    )
    return _chunks(request)


def probe(video: Path | str) -> Video:
    """Return the properties of a video, by its header.

    Raises:
        PolygraftError: As in `read_frames`.
    """
    path = check_video(video)
    image = open_still(path)
    if image is not None:
        return probe_image(image, path)
    with closing(_OpenVideo(Request(path=path, times=AskedTimes()))) as opened:
        first, header_end = opened.first(), opened.header_end
        average, base = opened.stream.average_rate, opened.stream.base_rate
        even = bool(average and base and abs(average / base - 1) < 0.005)
        return Video(
            path=path,
            kind="video",
            size=turned_size(opened.size_of(first), opened.turn_of(first)),
            duration=header_end,
            frames=opened.stream.frames or None,
            rate=opened.rate if even else None,
        )


def _chunks(request: Request) -> Iterator[list[Frame]]:
    with closing(_frames(request)) as frames:
        for first in frames:
            yield [first, *islice(frames, request.chunk_of(first.image.size) - 1)]


def _frames(request: Request) -> Generator[Frame]:
    image = open_still(request.path)
    if image is not None:
        yield from read_image(image, request)
        return
    done = 0
    few = request.times.count() <= request.chunk
    if request.reader == "decord" or (request.reader == "auto" and few):
        try:
            for frame in _read_with_decord(request):
                yield frame
                done += 1
            return
        except DecordCannotError as reason:
            # that a large video streams is no surprise
            if request.reader == "decord" or not isinstance(reason, TooMuchForDecordError):
                request.say_once(f"{request.name} is read with PyAV, since decord {reason}")
    yield from islice(_read_with_av(request), done, None)


# PyAV


class _OpenVideo:
    """A container, opened, and its stream of images; see `video.frames.seek.OpenedVideo`."""

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
        except FFmpegError as error:
            raise self._request.unreadable(error) from None
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
        try:
            self.container.seek(self._zero + round(Fraction(time) / self._tick), stream=self.stream, backward=True)
        except FFmpegError:
            return False
        return True

    def seconds(self, ticks: int) -> float:
        # the float next to the exact fraction
        return (ticks - self._zero) * self._tick.numerator / self._tick.denominator

    def length_of(self, shown: "VideoFrame | VideoPacket") -> float:
        return self.seconds(self._zero + shown.duration) if shown.duration else 1 / self.rate

    @property
    def header_end(self) -> float | None:
        stream = self.stream
        if stream.duration is not None:
            return self.seconds((stream.start_time or 0) + stream.duration)
        if "DURATION" in stream.metadata:  # Matroska's way
            return parse_clock(stream.metadata["DURATION"])
        return None if self.container.duration is None else self.container.duration / av.time_base

    def leaps(self) -> Leaps:
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
        if self.codec.name not in _THINNED_CODECS or self.format not in _THINNED_CONTAINERS:
            yield from self.packets()
            return
        for packet, is_seen in mark_seen(self.packets(), self.seconds, seen):
            self.codec.skip_frame = "DEFAULT" if is_seen else "NONREF"
            yield packet

    def first(self) -> VideoFrame:
        for first in self.decoded():
            frame: VideoFrame = first.frame
            return frame
        raise self._request.empty()

    @property
    def squareness(self) -> float:
        ratio = self.stream.sample_aspect_ratio
        return float(ratio) if ratio and Fraction(1, 8) < ratio < 8 else 1.0

    def size_of(self, frame: VideoFrame) -> tuple[int, int]:
        return self._request.fit(frame.width * self.squareness, frame.height)

    def image(self, frame: VideoFrame) -> Image.Image:
        width, height = self.size_of(frame)
        try:
            rgb = self._shrink.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR)
        except (FFmpegError, ValueError) as error:
            reason = f"{self._request.name} has colours in the unknown form {frame.format.name} ({error})"
            raise PolygraftError(f"{reason}: convert it to H.264 first") from None
        image = Image.fromarray(rgb.to_ndarray())
        turn = self.turn_of(frame)
        return image if turn is None else image.transpose(turn)

    def turn_of(self, frame: VideoFrame) -> Image.Transpose | None:
        # A frame whose side data was read lives until Python's garbage collector comes by, with all its pixels.
        if self._turns is None:
            self._turns = [turn_of(frame.side_data)]
        return self._turns[0]


def _read_with_av(request: Request) -> Iterator[Frame]:
    with closing(_OpenVideo(request)) as video:
        walk = Walk(video, request.times)
        if walk.empty:
            raise request.empty()
        frame: Frame | None = None
        missed: list[float] = []
        for asked, shown in walk.frames():
            if shown is None:
                missed.append(asked)
                continue
            again = frame is not None and frame.time == shown.time
            image = frame.image if frame is not None and again else video.image(shown.frame)
            frame = Frame(time=shown.time, asked=asked, image=image)
            yield frame
        if video.damaged and not (walk.ending and walk.ending.cut):
            request.report(f"{request.name} is damaged: some of it could not be decoded and was passed over")
        if missed and walk.ending:
            request.explain(min(missed), walk.ending, any_seen=frame is not None)


# decord


def _read_with_decord(request: Request) -> Iterator[Frame]:
    """Yield what `_read_with_av` would, or raise an error before the first frame on which decord fails."""
    with closing(_OpenVideo(request)) as video:
        begins, ending = prove_countable(video, request)
        size = request.fit(video.codec.width, video.codec.height)
    opened = _open_with_decord(request, size, begins)
    numbered = look_up(request.times, begins, ending)
    missed: list[float] = []
    seen = False
    while batch := list(islice(numbered, request.chunk_of(size))):
        missed += [asked for asked, number in batch if number is None]
        found = [(asked, number) for asked, number in batch if number is not None]
        images = _images(opened, sorted({number for _, number in found}))
        for asked, number in found:
            seen = True
            yield Frame(time=begins[number], asked=asked, image=images[number])
    if missed:
        request.explain(min(missed), ending, any_seen=seen)


def _open_with_decord(request: Request, size: tuple[int, int], begins: Sequence[float]) -> Any:
    try:
        import decord
    except (ImportError, OSError):
        raise DecordCannotError("is not installed") from None
    decord.logging.set_level(decord.logging.QUIET)  # it writes damaged bytes to the terminal
    scaled = {"width": size[0], "height": size[1]} if request.longest_side else {}
    try:
        # without a tolerance it silently repeats frames in place of those that it cannot decode
        opened = decord.VideoReader(str(request.path), num_threads=1, fault_tol=1e-9, **scaled)
        counted = opened.get_frame_timestamp(range(len(opened)))[:, 0].tolist()
    except Exception as error:  # native code raises whatever it likes
        raise DecordCannotError(f"cannot open it ({type(error).__name__})") from None
    offset = counted[0] - begins[0]  # its clock may begin elsewhere, and has single precision
    if len(counted) != len(begins) or any(abs(c - b - offset) > 1e-3 for c, b in zip(counted, begins, strict=True)):
        raise DecordCannotError("counts other frames in it")
    return opened


def _images(opened: Any, numbers: Sequence[int]) -> dict[int, Image.Image]:
    """Return frames by their numbers, and keep decord from decoding on."""
    try:
        pixels = opened.get_batch(numbers).asnumpy() if numbers else ()
        opened.seek(0)  # stops its threads: it would fill the memory with all further frames
    except Exception as error:  # as above
        raise DecordCannotError(f"cannot decode it ({type(error).__name__})") from None
    return {number: Image.fromarray(rgb) for number, rgb in zip(numbers, pixels, strict=True)}
