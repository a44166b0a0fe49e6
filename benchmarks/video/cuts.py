"""How near the ends of spans lie to the true cuts of a video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbone.errors import PolygraftError

_TICK = 1e-6  # seconds


@dataclass(frozen=True, kw_only=True)
class CutAgreement:
    """Cuts that were found against true ones."""

    precision: float
    """Share of the found ones that lie near a true one."""
    recall: float
    """Share of the true ones that lie near a found one."""
    found: int
    true: int

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def agreement(found: Sequence[float], true: Sequence[float], tolerance: float) -> CutAgreement:
    """Compare cuts, each of which may answer for one of the other side.

    Args:
        found: seconds, ascending.
        true: seconds, ascending.
        tolerance: seconds between two that are one.
    """
    hits, at = 0, 0
    for cut in found:  # both ascend, so the earliest true cut that is near enough leaves most to those that follow
        while at < len(true) and true[at] < cut - tolerance - _TICK:
            at += 1
        if at < len(true) and abs(true[at] - cut) <= tolerance + _TICK:
            hits, at = hits + 1, at + 1
    return CutAgreement(
        precision=hits / len(found) if found else 0.0,
        recall=hits / len(true) if true else 0.0,
        found=len(found),
        true=len(true),
    )


def by_chance(count: int, end: float, true: Sequence[float], tolerance: float, *, seed: int, draws: int = 200) -> float:
    """Return the mean F1 of as many cuts at random times."""
    random = np.random.default_rng(seed)
    scores = [agreement(np.sort(random.uniform(0, end, count)).tolist(), true, tolerance).f1 for _ in range(draws)]
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
