"""How a video is narrated: what is asked of it, how often, and how steady the answer is (torch-free).

What an update lets into a vocabulary (torch-free).
"""

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
    """What is asked: now, next, before, overall, or a question in its own words. Next is answered from what is shown
    before a moment, before from what is shown after it, overall from the whole video."""
    every: float = 1.0
    """Seconds from one moment to the next."""
    window: float = 3.0
    """Seconds of the video that are shown for a moment: around it, or before or after it."""
    cuts: bool = True
    """Let spans end where the video is cut, found by how much a look differs from the one before; no window goes beyond
    a cut. Off: a video without cuts, or an encoder that sees them where there are none."""
    fps: float = 2.0
    """Looks at the video a second."""
    top: int = 1
    """Narrations given for each span, the likeliest first."""
    min_span: float = 1.0
    """Seconds; shorter spans go to their neighbours."""
    steady: float = 0.1
    """How much closer another narration must come, in cosine summed over moments, to break off the one before."""
    scene_weight: float = 0.02
    """What a unit of log-probability of the scene is worth in cosine; 0: the scene does not count."""
    scene_keep: int = 0
    """Leave out the narrations of all but this many likeliest scenes; 0: none."""
    joins: int = 0
    """Also try the sentences that so many of the best prefixes and postfixes make together; 0: narrations that
    somebody wrote alone."""

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
    """What is let into a vocabulary."""

    duplicate: float = 0.95
    """A sentence with this cosine to another one, old or new, says nothing new."""
    gain: float | None = None
    """By so much cosine it must fit the segment better than the best there was; by default 0.06, and 0.12 if it is
    composed of the vocabulary's parts."""
    per_film: int = 20
    """At most so many sentences of one video, all its updates together."""

    def __post_init__(self) -> None:
        if not 0 < self.duplicate <= 1:
            raise UsageError(f"duplicate is {self.duplicate}, allowed is a cosine above 0 and up to 1")
        if self.gain is not None and not 0 <= self.gain < 2:
            raise UsageError(f"gain is {self.gain}, allowed is a difference of cosines from 0 to below 2")
        if self.per_film < 1:
            raise UsageError(f"per_film is {self.per_film}, allowed is 1 or more")
