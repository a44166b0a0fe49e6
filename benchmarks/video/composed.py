"""Videos made of short ones, one after the other, so that it is known to the frame what happens when."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backbone.io.files import atomic_file
from starter_build.datasets.packages import data_root
from video.frames.reader import read_frames

FPS = 4
_SIDE = 256
_LONGEST = 20.0  # seconds of a short video that are looked at


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a composed video."""

    video: Path
    """The short video that is shown, over and over while it lasts."""
    text: str
    """What is right to say of it."""
    start: float
    stop: float
    """Seconds."""


def compose(
    videos: Sequence[tuple[Path, str]], target: Path, *, seed: int, shortest: float = 3.0, longest: float = 9.0
) -> list[Part]:
    """Write a video that shows each of ``videos`` for some seconds.

    Args:
        videos: short videos with what is right to say of them.
        target: an animated .webp to write.
        seed: of how long each is shown.
        shortest: seconds.
        longest: seconds.
    """
    lengths = np.random.default_rng(seed)
    parts: list[Part] = []
    shown: list[Image.Image] = []
    for video, text in videos:
        count = int(lengths.integers(round(shortest * FPS), round(longest * FPS) + 1))
        parts.append(Part(video=video, text=text, start=len(shown) / FPS, stop=(len(shown) + count) / FPS))
        images = _images(video)
        shown += [images[at % len(images)] for at in range(count)]
    with atomic_file(target) as partial:
        shown[0].save(partial, save_all=True, append_images=shown[1:], duration=round(1000 / FPS), quality=60, method=0)
    return parts


def _images(video: Path) -> list[Image.Image]:
    """Return what a short video shows, four images a second, on white squares."""
    chunks = read_frames(video, every=1 / FPS, stop=_LONGEST, longest_side=_SIDE, reader="pyav")
    return [_square(frame.image.convert("RGB")) for chunk in chunks for frame in chunk]


def _square(image: Image.Image) -> Image.Image:
    """Put an image in the middle of a white square."""
    square = Image.new("RGB", (_SIDE, _SIDE), "white")
    square.paste(image, ((_SIDE - image.width) // 2, (_SIDE - image.height) // 2))
    return square


def example(data: Path, target: Path) -> list[Part]:
    """Write the example video: six emoji known to the starter's image-text model and not to its narrator."""
    from starter_build.datasets.emoji_clips import emoji_clips, part_of
    from starter_build.datasets.splits import load_splits

    sides = load_splits()
    known = [
        (clip.video, clip.names[0])
        for clip in emoji_clips(data)
        if (side := sides.get(f"emoji/fluent/{clip.code}")) and part_of(clip.concept, side) == "test known"
    ]
    return compose(random.Random("example").sample(known, 6), target, seed=0, longest=6.0)


if __name__ == "__main__":
    example(data_root(), Path("examples/films/emoji.webp"))
