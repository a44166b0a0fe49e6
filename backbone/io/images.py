"""Image files: finding them, and opening any of them as plain RGB without trusting the file."""

import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from backbone.errors import PolygraftError
from backbone.io.files import FileKind, read_data

MAX_PIXELS = 100_000_000  # images with more pixels are refused: far above any camera, far below what fills the memory

# Formats an image may have. Others that Pillow knows are left out: EPS and WMF run programs, some have no signature.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "QOI", "PCX")
SUFFIXES = frozenset(
    {
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
        ".avif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".qoi", ".pcx",
    }
)  # fmt: skip
"""File name endings by which images are found in folders."""

_IMAGES = FileKind(name="image", suffixes=SUFFIXES, pattern="photos/*.jpg", examples=".png or .jpg")


def open_image(
    source: Path | str | bytes | Image.Image, *, max_pixels: int = MAX_PIXELS, name: str = ""
) -> Image.Image:
    """Return an image as RGB in memory, upright, on white where it is transparent.

    The first frame of an animation is taken; 16-bit grey is scaled to 8 bits; EXIF orientation is applied.

    Args:
        source: A file, the bytes of one, or an image of Pillow (which is left as it is).
        max_pixels: The size limit, checked in the file's header before anything is decoded.
        name: The name of the image in messages, where that is not its path.

    Raises:
        PolygraftError: There is no such file, it holds no image, is damaged, or is larger than ``max_pixels``.
    """
    name = name or _describe(source)
    if isinstance(source, Image.Image):
        _check_size(source, name, max_pixels)
        return _decode(source, name)
    if not isinstance(source, bytes):
        _check_file(Path(source))
    elif not source:
        raise PolygraftError(f"{name} is empty (0 bytes)")
    with _quiet_pillow(), _open_header(source, name) as image:
        _check_size(image, name, max_pixels)
        return _decode(image, name)


def read_image_file(path: Path | str) -> bytes:
    """Return the bytes of an image file, undecoded.

    Raises:
        PolygraftError: There is no such file, or it cannot be read.
    """
    _check_file(Path(path))
    return read_data(Path(path))


def list_images(paths: Sequence[str | Path]) -> list[Path]:
    """Return the image files that ``paths`` name, see `backbone.io.files.FileKind.find`."""
    return _IMAGES.find(paths)


# Opening


def _describe(source: Path | str | bytes | Image.Image) -> str:
    if isinstance(source, bytes):
        return f"the image of {len(source)} bytes"
    if isinstance(source, Image.Image):
        return f"the image of {source.width} x {source.height} pixels"
    return f"image {source}"


def _check_file(path: Path) -> None:
    """Refuse what cannot be an image file, a pipe that would block among it."""
    if path.is_dir():
        raise PolygraftError(f"{path} is a folder, not an image")
    if path.is_symlink() and not path.exists():
        raise PolygraftError(f"image {path} is a broken link to {path.readlink()}")
    if not path.exists():
        raise PolygraftError(f"image {path} does not exist")
    if not path.is_file():
        raise PolygraftError(f"{path} is no regular file, so it holds no image")
    if not path.stat().st_size:
        raise PolygraftError(f"image {path} is empty (0 bytes)")


def _open_header(source: Path | str | bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except UnidentifiedImageError:
        known = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF and the like"
        raise PolygraftError(f"{name} holds no image in a known format ({known})") from None
    except Image.DecompressionBombError as error:
        raise PolygraftError(f"{name} is too large to decode: {error}") from None
    except PermissionError:
        raise PolygraftError(f"{name} may not be read by this user") from None
    except Exception as error:  # Pillow's format readers raise whatever they trip over
        raise _damaged(name, error) from None


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise PolygraftError(
            f"{name} has {image.width} x {image.height} pixels, allowed are {max_pixels}: make it smaller first"
        )


def _decode(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
        with suppress(Exception):  # a broken EXIF block is no reason to lose the image
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image)
    except MemoryError:  # no fault of the file
        raise
    except Exception as error:  # as above: struct, zlib, index and value errors all occur on damaged files
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> PolygraftError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return PolygraftError(f"{name} cannot be decoded ({reason}): the file is damaged or cut short")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return a new RGB image: deep grey scaled to 8 bits, transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        image = _scale_deep(image)
    if not image.has_transparency_data:
        return image.convert("RGB") if image.mode != "RGB" else image.copy()
    rgba = image.convert("RGBA")
    canvas = Image.new("RGB", rgba.size, "white")
    canvas.paste(rgba, mask=rgba.getchannel("A"))
    return canvas


def _scale_deep(image: Image.Image) -> Image.Image:
    # 16 bits have a known white (65535), floats by custom too (1). Numbers beyond that are stretched from the smallest
    # to the largest, so that nothing is clipped.
    grey: NDArray[np.float32] = np.nan_to_num(np.asarray(image, dtype=np.float32))
    white = 1.0 if image.mode == "F" else 65535.0
    low, high = float(grey.min()), float(grey.max())
    if low < 0 or high > white:
        grey, white = grey - low, max(high - low, 1e-9)
    return Image.fromarray((grey * (255.0 / white)).round().astype(np.uint8))


# Pillow warns of odd metadata and big images. Warning filters belong to the whole process, and images are decoded
# in threads, so the filter is set by the first that enters and taken back by the last that leaves.
_lock = threading.Lock()
_inside = 0
_outer: "warnings.catch_warnings[None] | None" = None


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    global _inside, _outer
    with _lock:
        _inside += 1
        if _inside == 1:
            _outer = warnings.catch_warnings()
            _outer.__enter__()
            warnings.filterwarnings("ignore", module="PIL")
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _outer is not None:
                _outer.__exit__(None, None, None)
