"""Videos of a few pixels whose frames show their own number, so that the right frame is known when it is seen."""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

_BITS = 16
_STRIPE = 4
WIDTH, HEIGHT = _BITS * _STRIPE, 32
TICKS = 30000
"""A second, in the ticks in which times of frames are given."""


def numbered(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Return a grey image (height, width) whose stripes are the bits of ``number``: no codec can blur them away."""
    bits = [(number >> place) & 1 for place in range(_BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 200 + 28, size[0] // _BITS)
    return np.tile(row, (size[1], 1))


def number_of(image: Image.Image) -> int:
    """Read the number off a frame."""
    grey = np.asarray(image.convert("L"))
    stripe = grey.shape[1] // _BITS
    columns = grey[grey.shape[0] // 2, stripe // 2 :: stripe]
    return sum(int(light > 127) << place for place, light in enumerate(columns[:_BITS]))


def four_corners(size: tuple[int, int] = (64, 32)) -> np.ndarray:
    """Return red, green, blue and white quarters, from the upper left one row by row, as (height, width, 3)."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    half = size[1] // 2, size[0] // 2
    image[: half[0], : half[1]] = (255, 0, 0)
    image[: half[0], half[1] :] = (0, 255, 0)
    image[half[0] :, : half[1]] = (0, 0, 255)
    image[half[0] :, half[1] :] = (255, 255, 255)
    return image


def even(frames: int, rate: Fraction | int = 30) -> list[int]:
    """Return the times in ticks of frames that follow each other evenly."""
    return [round(number * TICKS / Fraction(rate)) for number in range(frames)]


def uneven(frames: int, seed: int = 0) -> list[int]:
    """Return times in ticks with gaps of every length, from 1/60 s to half a second."""
    gaps = np.random.default_rng(seed).choice([500, 1001, 1001, 2000, 15000], frames)
    return [0, *np.cumsum(gaps)[:-1].tolist()]


def write_video(
    file: Path | io.BytesIO,
    times: Sequence[int],
    *,
    codec: str = "libx264",
    images: Iterable[np.ndarray] | None = None,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    form: str | None = None,
    sound: float = 0.0,
    stream: dict[str, Any] | None = None,
) -> None:
    """Write a video.

    Args:
        file: where to.
        times: when each frame begins, in ticks.
        codec: of the images; none is written if it is empty.
        images: one for each frame, grey (height, width) or RGB (height, width, 3); None: each shows its number.
        pixels: how the video stores them.
        options: of the codec.
        container: options of the container.
        form: the container's name, where the file's does not tell.
        sound: seconds of silence beside the images.
        stream: what is set on the stream; ``turn`` is how it is to be shown, as degrees and whether it is mirrored.
    """
    with av.open(file, "w", format=form, options=container or {}) as output:
        audio = output.add_stream("aac", rate=8000) if sound else None
        if codec:
            shown = images if images is not None else map(numbered, range(len(times)))
            _write_images(output, times, codec, shown, pixels, options or {}, stream or {})
        if audio is not None:
            silence = np.zeros((1, 1024), np.float32)
            for number in range(int(sound * 8000) // 1024):
                frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 8000, number * 1024
                output.mux(audio.encode(frame))
            output.mux(audio.encode(None))


def _write_images(
    output: Any,
    times: Sequence[int],
    codec: str,
    images: Iterable[np.ndarray],
    pixels: str,
    options: dict[str, str],
    settings: dict[str, Any],
) -> None:
    span = Fraction(times[-1] - times[0], TICKS) if len(times) > 1 else Fraction(0)
    rate = ((len(times) - 1) / span).limit_denominator(1001) if span else Fraction(30)
    video = output.add_stream(codec, rate=rate, options=options)
    video.pix_fmt = pixels
    video.codec_context.time_base = Fraction(1, TICKS)
    degrees, mirrored = settings.pop("turn", (0, False))
    if degrees or mirrored:
        video.set_display_rotation(degrees, hflip=mirrored)
    for name, value in settings.items():
        setattr(video.codec_context, name, value)
    for time, image in zip(times, images, strict=True):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24" if image.ndim == 3 else "gray")
        if time == times[0]:
            video.width, video.height = frame.width, frame.height
        frame.pts, frame.time_base = time, Fraction(1, TICKS)
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


def animate(file: Path, colours: Sequence[str], durations: Sequence[int], **options: Any) -> None:
    """Write an animated image, a colour each frame, in the format that the file's name tells."""
    first, *rest = (Image.new("RGB", (16, 8), colour) for colour in colours)
    first.save(file, save_all=True, append_images=rest, duration=list(durations), loop=0, **options)
