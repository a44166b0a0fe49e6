"""Videos in which decord is sure to give the frames it is asked for.

It knows frames by their numbers and finds one by counting from a key frame on. That goes wrong silently where
frames are shown before the key frame that they need, where some are not to be shown, and where the first one is not at
0, as in fragmented MP4.
"""

from collections.abc import Iterable
from itertools import pairwise
from math import inf
from typing import Any

from video.frames.files import Request
from video.frames.seek import Ending

# It decodes ahead of whoever reads, which only the video's end stops: all of it must fit.
_MAX_DECODED = 256 << 20
_MAX_FILE = 64 << 20
_CODECS = frozenset({"h264", "hevc", "mpeg4", "vp9"})
_CONTAINERS = frozenset({"mov", "matroska"})
_PIXELS = frozenset({"yuv420p", "yuvj420p"})


class DecordCannotError(Exception):
    """Its message is the end of a sentence."""


class TooMuchForDecordError(DecordCannotError):
    """The video is larger than what decord is good for."""


def prove_countable(video: Any, request: Request) -> tuple[list[float], Ending]:
    """Return when each frame begins and when the last one is over, if decord counts the frames of a video alike.

    Args:
        video: Just opened, see `video.frames.reader`; it is read to its end.
        request: What is asked of it.

    Raises:
        DecordCannotError: This is not sure.
    """
    codec = video.codec
    _check_amount(video.stream.frames, request, codec)
    if video.format not in _CONTAINERS or codec.name not in _CODECS or codec.pix_fmt not in _PIXELS:
        raise DecordCannotError(f"is not sure to read {codec.name} with {codec.pix_fmt} in {video.format} alike")
    if video.squareness != 1 or video.turn_of(video.first()) is not None:
        raise DecordCannotError("shows videos as they are stored, neither upright nor in true proportions")
    video.restart()
    packets = list(video.packets())
    stamps = count_safely(packets)
    if stamps is None or stamps[0] != 0:
        raise DecordCannotError("counts frames from key frames, which is not safe in it")
    _check_amount(len(stamps), request, codec)
    begins = [video.seconds(stamp) for stamp in stamps]
    longest = max((after - before for before, after in pairwise(begins)), default=0.0)
    last = max(packets, key=lambda packet: packet.pts)
    ending = Ending.of(begins[-1], video.length_of(last), video.header_end, longest)
    if ending.cut or video.damaged or video.stream.frames not in (0, len(begins)):
        raise DecordCannotError("reads no video that is cut short or damaged")
    return begins, ending


def _check_amount(frames: int, request: Request, codec: Any) -> None:
    width, height = request.fit(codec.width, codec.height)
    if frames * width * height * 3 > _MAX_DECODED or request.path.stat().st_size > _MAX_FILE:
        raise TooMuchForDecordError("might decode all of it into memory at once")


def count_safely(packets: Iterable[Any]) -> list[int] | None:
    """Return the timestamps of all frames in order, if each key frame parts those before it from those after it.

    Only then can frames be counted from any key frame on. None: some frames are shown before the key frame that they
    need, are not to be shown, or have no time of their own.
    """
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
