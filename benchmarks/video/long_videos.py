"""Long videos whose cuts are known: Big Buck Bunny, and videos made of short ones, one after the other."""

import random
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from backbone.errors import PolygraftError
from backbone.io.files import atomic_file
from starter_build.datasets.packages import Package, data_root, fetch, member
from video.frames.reader import read_frames

_TICK = 1e-6  # seconds


class CutAgreement(NamedTuple):
    """Cuts that were found against true ones."""

    precision: float  # share of the found ones that lie near a true one
    recall: float  # share of the true ones that lie near a found one

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def agreement(found: Sequence[float], true: Sequence[float], tolerance: float) -> CutAgreement:
    """Compare cuts, each of which may answer for one of the other side.

    Args:
        found: The cuts that were found, in seconds, ascending.
        true: The true cuts, in seconds, ascending.
        tolerance: The seconds between two that are one.
    """
    hits, at = 0, 0
    for cut in found:  # both ascend, so the earliest true cut that is near enough leaves most to those that follow
        while at < len(true) and true[at] < cut - tolerance - _TICK:
            at += 1
        if at < len(true) and abs(true[at] - cut) <= tolerance + _TICK:
            hits, at = hits + 1, at + 1
    return CutAgreement(hits / len(found) if found else 0.0, hits / len(true) if true else 0.0)


def by_chance(count: int, end: float, true: Sequence[float], tolerance: float, *, seed: int, draws: int = 200) -> float:
    """Return the mean F1 of as many cuts at random times."""
    generator = np.random.default_rng(seed)
    scores = [agreement(np.sort(generator.uniform(0, end, count)).tolist(), true, tolerance).f1 for _ in range(draws)]
    return float(np.mean(scores))


def shot_cuts(video: Path) -> list[float]:
    """Return when the shots of a video begin but the first, in seconds, by PySceneDetect's usual detector.

    It looks at the colours of every frame, so it knows the cuts to the frame, and nothing of what is shown.

    Raises:
        PolygraftError: PySceneDetect is not installed.
    """
    try:
        from scenedetect import ContentDetector, detect
    except ImportError as error:
        raise PolygraftError(f'{error}: cuts are measured with PySceneDetect, `pip install ".[bench]"`') from error
    scenes = detect(str(video), ContentDetector())
    return [float(start.seconds) for start, _ in scenes[1:]]


FPS = 4
_SIDE = 256
_LONGEST = 20.0  # seconds of a short video that are looked at


class Part(NamedTuple):
    """A stretch of a composed video."""

    video: Path  # the short video that is shown, over and over while it lasts
    text: str  # what is right to say of it
    start: float
    stop: float  # seconds


def compose(
    videos: Sequence[tuple[Path, str]], target: Path, *, seed: int, shortest: float = 3.0, longest: float = 9.0
) -> list[Part]:
    """Write a video that shows each of ``videos`` for some seconds.

    Args:
        videos: The short videos, with what is right to say of them.
        target: The animated .webp to write.
        seed: The seed of how long each is shown.
        shortest: The shortest time, in seconds.
        longest: The longest time, in seconds.
    """
    lengths = np.random.default_rng(seed)
    parts: list[Part] = []
    shown: list[Image.Image] = []
    for video, text in videos:
        count = int(lengths.integers(round(shortest * FPS), round(longest * FPS) + 1))
        parts.append(Part(video, text, start=len(shown) / FPS, stop=(len(shown) + count) / FPS))
        images = _images(video)
        shown += [images[at % len(images)] for at in range(count)]
    with atomic_file(target) as partial:
        shown[0].save(partial, save_all=True, append_images=shown[1:], duration=round(1000 / FPS), quality=60, method=0)
    return parts


def _images(video: Path) -> list[Image.Image]:
    """Return what a short video shows, four images a second, each in the middle of a white square."""
    chunks = read_frames(video, every=1 / FPS, stop=_LONGEST, longest_side=_SIDE, reader="pyav")
    squares = []
    for image in (frame.image.convert("RGB") for chunk in chunks for frame in chunk):
        squares.append(Image.new("RGB", (_SIDE, _SIDE), "white"))
        squares[-1].paste(image, ((_SIDE - image.width) // 2, (_SIDE - image.height) // 2))
    return squares


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


MOVIEPY = Package(registry="pypi-source", name="moviepy", version="2.2.1")

_BUNNY_ARCHIVE = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"

_BUNNY = "moviepy_10_minutes/resources/bbb.mp4"

BUNNY_SCENES = ((1.0, 11.0), (16.0, 20.0), (37.0, 55.0), (214.0, 236.0), (281.5, 284.7))
"""Seconds of the scenes (intro, bird, bunny, rodents, rambo) that moviepy's tutorial cuts out of Big Buck Bunny."""


def big_buck_bunny(root: Path) -> Path:
    """Return Big Buck Bunny, 9 min 56 s of 1280 x 720 at 24 frames a second (CC-BY 3.0, Blender Foundation; 58 MB)."""
    folder = fetch(MOVIEPY, root)
    video = folder / "bbb.mp4"
    if not video.is_file():
        with (
            atomic_file(video) as partial,
            zipfile.ZipFile(member(folder, _BUNNY_ARCHIVE)) as archive,
            archive.open(_BUNNY) as source,
            partial.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
    return video


if __name__ == "__main__":
    example(data_root(), Path("examples/films/emoji.webp"))
