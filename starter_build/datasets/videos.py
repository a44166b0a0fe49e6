"""A real video that registries carry: the whole of Big Buck Bunny."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from backbone.io.files import atomic_file
from starter_build.datasets.packages import Package, fetch, member

MOVIEPY = Package(registry="pypi-source", name="moviepy", version="2.2.1")

_BUNNY_ARCHIVE = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"

_BUNNY = "moviepy_10_minutes/resources/bbb.mp4"


@dataclass(frozen=True, kw_only=True)
class VideoScene:
    """A stretch of a video that its users know by name."""

    name: str
    start: float
    stop: float
    """Seconds."""


BUNNY_SCENES = (
    VideoScene(name="intro", start=1.0, stop=11.0),
    VideoScene(name="bird", start=16.0, stop=20.0),
    VideoScene(name="bunny", start=37.0, stop=55.0),
    VideoScene(name="rodents", start=214.0, stop=236.0),
    VideoScene(name="rambo", start=281.5, stop=284.7),
)
"""The scenes of Big Buck Bunny that moviepy's tutorial cuts out, by the times of its script."""


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
