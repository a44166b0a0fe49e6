"""Options of a task evaluation; imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from backbone.errors import UsageError

Prompts = Literal["published", "corrected"]
Score = Literal["sum", "mean", "byte"]
Name = Literal["xnli", "paws-x", "xcopa", "xwino", "mlama", "choice", "probe", "pos", "ner"]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """How items become texts, and which candidate counts as chosen."""

    prompts: Prompts = "corrected"
    """published: word for word as mGPT's evaluation has them, and like there no token stands before a text; corrected:
    without errors of translation and spacing, and each text starts from the end-of-text token."""
    score: Score = "sum"
    """Choose the candidate with the highest log-probability: of all its tokens (as mGPT), mean of a token, or per
    UTF-8 byte."""
    shots: int = 0
    """Solved examples before each item, sampled anew for each."""
    seed: int = 0
    """Seed of the drawing of examples and of the intervals."""

    def __post_init__(self) -> None:
        if self.shots < 0:
            raise UsageError(f"shots is {self.shots}, allowed is at least 0")

    @property
    def published(self) -> bool:
        """Whether everything is as in mGPT's evaluation."""
        return self.prompts == "published"
