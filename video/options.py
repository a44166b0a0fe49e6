"""Options of narration and of vocabulary updates; imports no torch."""

import math
from dataclasses import dataclass

from backbone.errors import UsageError
from video.config import QUESTIONS
from video.data.clips import check_fps

_POSITIVE = ("every", "window")

_NOT_NEGATIVE = ("min_span", "steady", "scene_weight", "joins")


@dataclass(frozen=True, kw_only=True)
class NarrateOptions:
    """What is asked of a video's moments, and how their answers become one list."""

    question: str = "now"
    """The question: now, next, before, overall, or free text. next is answered from the frames before a moment, before
    from the frames after it, overall from the whole video."""
    every: float = 1.0
    """Seconds from one moment to the next."""
    window: float = 3.0
    """Seconds of video from which a moment is narrated: around it, or before or after it."""
    cuts: bool = True
    """End spans at cuts, which are detected by the change from one frame to the next; no window crosses a cut. Off: for
    videos without cuts, or encoders that detect false ones."""
    fps: float = 2.0
    """Frames sampled per second."""
    top: int = 1
    """Narrations per span, the most likely first."""
    min_span: float = 1.0
    """Shortest span in seconds; shorter ones are merged into their neighbours."""
    steady: float = 0.1
    """Cost of changing the narration between moments, in cosine similarity summed over moments."""
    scene_weight: float = 0.02
    """Weight of the scene's log-probability, added to the cosine similarity; 0: no scene prior."""
    scene_keep: int = 0
    """Retrieve only narrations of this many most likely scenes; 0: of all."""
    joins: int = 0
    """Also consider sentences composed of this many best prefixes and postfixes; 0: only narrations of the
    vocabulary."""

    def __post_init__(self) -> None:
        check_fps(self.fps)
        for name in _POSITIVE + _NOT_NEGATIVE:
            value, least = getattr(self, name), "above 0" if name in _POSITIVE else "0 or more"
            if not math.isfinite(value) or value < 0 or (name in _POSITIVE and not value):
                raise UsageError(f"{name} is {value}, allowed is {least}")
        if self.top < 1:
            raise UsageError(f"top is {self.top}, allowed is 1 or more")
        if not self.question.strip():
            raise UsageError("the question is empty: give now, next, before, overall or one in its own words")

    @property
    def asked(self) -> str:
        """The question in words."""
        return QUESTIONS.get(self.question, self.question)


GAIN, COMPOSED_GAIN = 0.06, 0.12
"""Default gain that a proposal needs. Of thousands of composed sentences the best fits well by chance."""


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """Which proposals are accepted into a vocabulary."""

    duplicate: float = 0.95
    """Cosine similarity to an existing or accepted sentence from which a proposal is a duplicate."""
    gain: float | None = None
    """Least gain in cosine similarity to the segment over the best existing narration; default 0.06, and 0.12 for
    sentences composed of the vocabulary's parts."""
    per_film: int = 20
    """Sentences accepted per video at most, over all its updates."""

    def __post_init__(self) -> None:
        if not 0 < self.duplicate <= 1:
            raise UsageError(f"duplicate is {self.duplicate}, allowed is a cosine above 0 and up to 1")
        if self.gain is not None and not 0 <= self.gain < 2:
            raise UsageError(f"gain is {self.gain}, allowed is a difference of cosines from 0 to below 2")
        if self.per_film < 1:
            raise UsageError(f"per_film is {self.per_film}, allowed is 1 or more")
