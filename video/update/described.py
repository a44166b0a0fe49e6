"""Proposals by a model that sees: a captioner, or a chat model that is asked for actions."""

from dataclasses import dataclass

from backbone.errors import PolygraftError
from backbone.vlm import Describer
from video.timeline.segments import Segment

QUESTION = (
    "What is happening in the picture? Answer with short actions of a verb and a noun, such as: cut the onion; "
    "stir the soup. Separate them by semicolons and write nothing else."
)
"""VLog asks one model for the activity and another for its actions (Appendix A.3); here one model sees and lists."""


@dataclass(frozen=True, kw_only=True)
class ModelProposer:
    """Asks a model about the picture of a segment."""

    describer: Describer
    question: str = QUESTION

    @property
    def name(self) -> str:
        """The model."""
        return f"model {self.describer.name}"

    def propose(self, segment: Segment) -> list[str]:
        """Return the lines of the answer.

        Raises:
            PolygraftError: the segment has no picture, or the model fails.
        """
        if segment.picture is None:
            raise PolygraftError(f"{self.name} needs a picture of {segment.film} at {segment.start:g} s, but has none")
        return self.describer.describe(segment.picture.convert("RGB"), self.question).splitlines()
