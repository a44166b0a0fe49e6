"""What is asked of a video, its frames, orientation, and the checks that come before anything is opened."""

import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import FileKind
from backbone.io.images import FORMATS, MAX_PIXELS
from backbone.io.settings import check_range
from video.frames.times import AskedTimes, Ending

Report = Callable[[str], None]

Reader = Literal["auto", "decord", "pyav"]

_CHUNK_BYTES = 128 << 20  # Pillow keeps four bytes of a pixel

_SUFFIXES = frozenset(
    {
        ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".flv", ".wmv",
        ".asf", ".ogv", ".3gp", ".3g2", ".mxf", ".vob", ".gif", ".webp", ".apng",
    }
)  # fmt: skip

_VIDEOS = FileKind(name="video", suffixes=_SUFFIXES, pattern="films/*.mp4", examples=".mp4 or .mkv")

# streams of JPEG images without a container look like one JPEG image
_VIDEO_SUFFIXES = frozenset({".mjpeg", ".mjpg"})


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame sampled from a video."""

    time: float  # when the frame begins, in seconds: exactly its timestamp, counted from the video's beginning
    asked: float  # the time it was asked for; `time` where all frames were
    image: Image.Image = field(repr=False)
    """RGB, upright, in square pixels. Samples of one and the same frame share it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `video.read_frames` was asked, checked."""

    path: Path
    times: AskedTimes
    longest_side: int | None = None
    reader: Reader = "auto"
    chunk: int = 16
    report: Report = lambda _: None

    def __post_init__(self) -> None:
        check_range(self, "longest_side chunk", 1)
        if self.reader not in ("auto", "decord", "pyav"):
            raise UsageError(f"reader is {self.reader!r}, allowed are 'auto', 'decord' and 'pyav'")

    @property
    def name(self) -> str:
        """What messages call the video."""
        return f"video {self.path}"

    def fit(self, width: float, height: float) -> tuple[int, int]:
        """Return the size in which a frame of this size is given."""
        most = max(width, height)
        scale = min(1.0, self.longest_side / most) if self.longest_side else 1.0
        return max(1, round(width * scale)), max(1, round(height * scale))

    def chunk_of(self, size: tuple[int, int]) -> int:
        """Return how many frames of this size come at once: fewer where they would fill the memory."""
        return max(1, min(self.chunk, _CHUNK_BYTES // (4 * size[0] * size[1])))

    def explain(self, missed: float, ending: Ending, *, any_seen: bool) -> None:
        """Report why nothing is shown at ``missed``, unless reading to the end was all that was asked.

        Raises:
            PolygraftError: Nothing at all was seen.
        """
        end = f"{self.name} ends at {ending.until:.2f} s"
        if ending.cut:
            readable = f"of {ending.header_end:.2f} s only the first {ending.until:.2f} s can be read"
            end = f"{self.name} is cut short: {readable}"
        if not any_seen:
            raise PolygraftError(f"{end}; there is no frame at {missed:.2f} s: ask for earlier times")
        if self.times.at is not None:
            self.report(f"{end}; what was asked at {missed:.2f} s and later is left out")
        elif ending.cut or (self.times.stop or 0) > ending.until + ending.last:
            self.report(end)


def list_videos(paths: Sequence[str | Path]) -> list[Path]:
    """Return the videos that ``paths`` name, animated images among them, see `backbone.io.files.FileKind.find`."""
    return _VIDEOS.find(paths)


def check_video(video: Path | str) -> Path:
    """Return the path of a video.

    Raises:
        PolygraftError: There is no such file, it is empty, or no regular file.
    """
    path = Path(video)
    try:
        size = path.stat().st_size
    except OSError as error:
        if path.is_symlink():
            raise PolygraftError(f"video {video} is a broken link to {path.readlink()}") from None
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        reason = "does not exist: give the path of a video file" if missing else f"cannot be read: {error.strerror}"
        raise PolygraftError(f"video {video} {reason}") from None
    except ValueError as error:  # a null byte in the name
        raise PolygraftError(f"video {video!r} cannot be read: {error}") from None
    if path.is_dir():
        raise PolygraftError(f"{video} is a folder, not a video: give the video files in it")
    if not path.is_file():
        raise PolygraftError(f"{video} is no regular file: save the video to disk first")
    if not size:
        raise PolygraftError(f"video {video} is empty (0 bytes): fetch it again")
    return path


def open_still(path: Path) -> Image.Image | None:
    """Open the file if it is an image in a format that Pillow reads, animated or not; None if it is none."""
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        return None
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        return None
    except Image.DecompressionBombError as error:
        raise PolygraftError(f"video {path} is too large to decode ({error}): make it smaller first") from None
    except PermissionError:
        raise PolygraftError(f"video {path} may not be read by this user") from None
    except OSError as error:
        raise undecodable(f"video {path}", error) from None


def reason_of(error: Exception) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def undecodable(name: str, error: Exception) -> PolygraftError:
    """Return the error of a damaged image."""
    return PolygraftError(f"{name} cannot be decoded ({reason_of(error)}): the file is damaged, fetch it again")


def check_size(name: str, width: int, height: int) -> None:
    """Refuse frames that would fill the memory.

    Raises:
        PolygraftError: There are more than `backbone.io.images.MAX_PIXELS` pixels in a frame.
    """
    if width * height > MAX_PIXELS:
        raise PolygraftError(
            f"{name} has frames of {width} x {height} pixels, allowed are {MAX_PIXELS} in all: make it smaller first"
        )


# What a display matrix does to an image, by the signs of its a, b, c and d, and what Pillow calls that.
_TURNS = {
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def turn_of(side_data: Iterable[Any]) -> Image.Transpose | None:
    """Return how a frame with this side data of PyAV is to be turned; None: it is upright."""
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":  # nine 32-bit numbers, the first two rows of it with 16 binary places
            a, b, _, c, d = (round(number / 65536) for number in np.frombuffer(data, dtype=np.int32)[:5].tolist())
            return _TURNS.get((a, b, c, d))
    return None
