"""What an update lets into a vocabulary (torch-free)."""

from dataclasses import dataclass

from backbone.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """What is let into a vocabulary."""

    duplicate: float = 0.95
    """A sentence with this cosine to another one, old or new, says nothing new."""
    per_film: int = 20
    """At most so many sentences of one film, all its updates together."""

    def __post_init__(self) -> None:
        if not 0 < self.duplicate <= 1:
            raise UsageError(f"duplicate is {self.duplicate}, allowed is a cosine above 0 and up to 1")
        if self.per_film < 1:
            raise UsageError(f"per_film is {self.per_film}, allowed is 1 or more")
