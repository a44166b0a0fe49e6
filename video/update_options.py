"""What an update lets into a vocabulary (torch-free)."""

from dataclasses import dataclass

from backbone.errors import UsageError

GAIN, COMPOSED_GAIN = 0.06, 0.12
"""What a proposal must gain unless told otherwise. Of thousands of composed sentences the best fits well by chance."""


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """What is let into a vocabulary."""

    duplicate: float = 0.95
    """A sentence with this cosine to another one, old or new, says nothing new."""
    gain: float | None = None
    """By so much cosine it must fit the segment better than the best there was; by default 0.06, and 0.12 if it is
    composed of the vocabulary's parts."""
    per_film: int = 20
    """At most so many sentences of one film, all its updates together."""

    def __post_init__(self) -> None:
        if not 0 < self.duplicate <= 1:
            raise UsageError(f"duplicate is {self.duplicate}, allowed is a cosine above 0 and up to 1")
        if self.gain is not None and not 0 <= self.gain < 2:
            raise UsageError(f"gain is {self.gain}, allowed is a difference of cosines from 0 to below 2")
        if self.per_film < 1:
            raise UsageError(f"per_film is {self.per_film}, allowed is 1 or more")
