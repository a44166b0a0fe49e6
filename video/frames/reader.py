"""Videos become frames at exact times, in constant memory however slowly they are taken.

The frame of a time is the one that a player shows then: the last whose timestamp is not later; before the first frame,
the first. Time 0 is where the container begins. A video is decoded on demand and nothing runs ahead.

PyAV streams: frame by frame, or in leaps from key frame to key frame where the times are far apart. decord fetches a
handful of frames. It decodes ahead until the video's end (a ten minute video of 720p grew by a gigabyte in three idle
seconds), and it counts frames from key frames, which goes wrong unseen where they are shown out of order. So it is
asked only where the video fits into memory whole and its timestamps prove the counting right, and stopped as soon as it
has answered. All else is PyAV's, with the same frames to the pixel. Animated images are read by Pillow.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice, pairwise
from math import inf
from pathlib import Path
from typing import Any

from PIL import Image

from backbone.errors import PolygraftError
from video.frames.animated_images import image_duration, read_image
from video.frames.files import Frame, Reader, Report, Request, check_video, open_still
from video.frames.seek import OpenedVideo, Walk
from video.frames.times import AskedTimes, Ending, look_up

_MAX_DECODED = 256 << 20  # bytes of all frames of a video that decord may read
_MAX_FILE = 64 << 20  # bytes of its file
_DECORD_CODECS = frozenset({"h264", "hevc", "mpeg4", "vp9"})
_DECORD_CONTAINERS = frozenset({"mov", "matroska"})
_DECORD_PIXELS = frozenset({"yuv420p", "yuvj420p"})


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
        reader: ``auto`` asks decord for times that are known to fit one chunk, ``decord`` for any, chunk by chunk;
            both go over to PyAV where decord cannot be trusted. ``pyav`` never asks it. The frames are the same.
        report: Called with a sentence where a video is cut short, damaged or over before the last time asked for, and
            where PyAV had to take over from ``decord``. What can be read is.

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


def duration(video: Path | str) -> float | None:
    """Return the seconds from time 0 to the end of a video's images by its header; None where the header lacks it.

    An animation is read to its end. An image that stands still has 0.

    Raises:
        PolygraftError: The file is missing, empty, no video, or has sound only.
    """
    path = check_video(video)
    image = open_still(path)
    if image is not None:
        return image_duration(image, path)
    with closing(OpenedVideo(Request(path=path, times=AskedTimes()))) as opened:
        return opened.header_end


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
    if not request.times.all_frames and (request.reader == "decord" or (request.reader == "auto" and few)):
        try:
            for frame in _read_with_decord(request):
                yield frame
                done += 1
            return
        except _DecordCannotError as reason:
            if request.reader == "decord":
                request.report(f"{request.name} is read with PyAV, since decord {reason}")
    yield from islice(_read_with_av(request), done, None)


def _read_with_av(request: Request) -> Iterator[Frame]:
    with closing(OpenedVideo(request)) as video:
        walk = Walk(video, request.times)
        if walk.empty:
            raise PolygraftError(
                f"{request.name} has no frame that can be decoded: it is empty or damaged, fetch it again"
            )
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


class _DecordCannotError(Exception):
    """Its message is the end of a sentence."""


def _read_with_decord(request: Request) -> Iterator[Frame]:
    """Yield what `_read_with_av` would, or raise an error before the first frame on which decord fails."""
    with closing(OpenedVideo(request)) as video:
        if request.path.stat().st_size > _MAX_FILE:
            raise _DecordCannotError("might hold all of it in memory at once")
        size = request.fit(video.codec.width, video.codec.height)
        begins, ending = _prove_countable(video, size[0] * size[1])
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
        raise _DecordCannotError("is not installed") from None
    decord.logging.set_level(decord.logging.QUIET)  # it writes damaged bytes to the terminal
    scaled = {"width": size[0], "height": size[1]} if request.longest_side else {}
    try:
        # without a tolerance it silently repeats frames in place of those that it cannot decode
        opened = decord.VideoReader(str(request.path), num_threads=1, fault_tol=1e-9, **scaled)
        counted = opened.get_frame_timestamp(range(len(opened)))[:, 0].tolist()
    except Exception as error:  # native code raises whatever it likes
        raise _DecordCannotError(f"cannot open it ({type(error).__name__})") from None
    offset = counted[0] - begins[0]  # its clock may begin elsewhere, and has single precision
    if len(counted) != len(begins) or any(abs(c - b - offset) > 1e-3 for c, b in zip(counted, begins, strict=True)):
        raise _DecordCannotError("counts other frames in it")
    return opened


def _images(opened: Any, numbers: Sequence[int]) -> dict[int, Image.Image]:
    """Return frames by their numbers, and keep decord from decoding on."""
    try:
        pixels = opened.get_batch(numbers).asnumpy() if numbers else ()
        opened.seek(0)  # stops its threads: it would fill the memory with all further frames
    except Exception as error:  # as above
        raise _DecordCannotError(f"cannot decode it ({type(error).__name__})") from None
    return {number: Image.fromarray(rgb) for number, rgb in zip(numbers, pixels, strict=True)}


def _prove_countable(video: OpenedVideo, pixels: int) -> tuple[list[float], Ending]:
    """Return when each frame begins and when the last one is over, if decord counts and shows them as PyAV does."""
    codec, first = video.codec, next(video.decoded(), None)
    known = video.format in _DECORD_CONTAINERS and codec.name in _DECORD_CODECS and codec.pix_fmt in _DECORD_PIXELS
    # decord shows images as they are stored, neither upright nor in true proportions
    if not known or first is None or video.squareness != 1 or video.turn_of(first.frame) is not None:
        raise _DecordCannotError(f"is not sure to show {codec.name} with {codec.pix_fmt} in {video.format} alike")
    video.restart()
    packets = list(video.packets())
    stamps = _count_safely(packets)
    if stamps is None or stamps[0] != 0:
        raise _DecordCannotError("counts frames from key frames, which is not safe in it")
    if len(stamps) * pixels * 3 > _MAX_DECODED:
        raise _DecordCannotError("might decode all of it into memory at once")
    begins = [video.seconds(stamp) for stamp in stamps]
    longest = max((after - before for before, after in pairwise(begins)), default=0.0)
    last = max(packets, key=lambda packet: packet.pts or 0)  # none is without a time, as was checked
    ending = Ending.of(begins[-1], video.length_of(last), video.header_end, longest)
    if ending.cut or video.damaged or video.stream.frames not in (0, len(begins)):
        raise _DecordCannotError("reads no video that is cut short or damaged")
    return begins, ending


def _count_safely(packets: Iterable[Any]) -> list[int] | None:
    # Frames can be counted from any key frame on if it parts those before it from those after it. Else some are shown
    # before the key frame that they need, are not to be shown, or have no time of their own.
    stamps: list[int] = []
    latest_key = highest = -inf
    for packet in packets:
        pts = packet.pts
        if pts is None or packet.is_discard or pts < latest_key or (not stamps and not packet.is_keyframe):
            return None
        if packet.is_keyframe:
            if pts <= highest:
                return None
            latest_key = pts
        highest = max(highest, pts)
        stamps.append(pts)
    stamps.sort()
    return stamps if stamps and all(before < after for before, after in pairwise(stamps)) else None
