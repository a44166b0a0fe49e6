"""Segments of a video without a good narration in the vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A stretch of a video."""

    video: str
    start: float
    stop: float
    """Seconds."""
    query: Tensor
    """(d,), what it shows, as the narrator says."""
    scene: str = ""
    """What the video is about; a new scene where no scenario has this label. Empty: unknown."""
    image: Image.Image | None = None
    """A frame of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """A moment of a video with its own query vector."""

    start: float
    stop: float
    """Seconds."""
    query: Tensor
    """(d,)"""
    image: Image.Image | None = None


def novel_segments(
    video: str, windows: Sequence[Window], novel: Sequence[bool] | Tensor, *, bridge: int = 0, scene: str = ""
) -> list[Segment]:
    """Join consecutive windows that are new into segments.

    Args:
        video: its name.
        windows: in the order of time.
        novel: which of them are new.
        bridge: so many windows that are not new do not end a segment, so that a doubtful moment does not cut it.
        scene: what the video is about.

    Returns:
        Segments in the order of time. The query of one is the mean direction of its new windows, its image that of
        the new window in the middle.
    """
    runs: list[list[int]] = []
    for index, is_novel in enumerate(novel):
        if not is_novel:
            continue
        if runs and index - runs[-1][-1] <= 1 + bridge:
            runs[-1].append(index)
        else:
            runs.append([index])
    return [_segment(video, [windows[index] for index in run], scene) for run in runs]


def _segment(video: str, windows: Sequence[Window], scene: str) -> Segment:
    directions = [F.normalize(window.query.float(), dim=0) for window in windows]
    total = directions[0].clone()
    for direction in directions[1:]:
        total += direction
    return Segment(
        video=video,
        start=windows[0].start,
        stop=windows[-1].stop,
        query=F.normalize(total, dim=0),
        scene=scene,
        image=windows[len(windows) // 2].image,
    )
