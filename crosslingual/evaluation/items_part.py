"""What a task asks: items with candidates to choose from, and sentences whose words are tagged."""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Item:
    """A question with candidates, one of which is right."""

    candidates: tuple[str, ...]
    """What is scored: whole texts, as mGPT has it, or what follows ``prompt``."""
    answer: int
    """Which candidate is right."""
    label: str
    """What the right answer is called; the majority baseline always says the most frequent one."""
    language: str
    """Its code, such as ``de``."""
    kind: str = ""
    """What a row calls its kind; figures are given for each."""
    prompt: str = ""
    """Stands before each candidate and is not scored."""

    @property
    def identity(self) -> Hashable:
        """What two copies of an item share, whatever their labels."""
        return self.prompt, self.candidates

    @property
    def solved(self) -> str:
        """The text with the right candidate, as an example for other items."""
        return self.prompt + self.candidates[self.answer]


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence of which each word has a tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    """One for each word."""
    language: str
    """Its code."""

    @property
    def identity(self) -> Hashable:
        """What two copies of a sentence share, whatever their tags."""
        return self.words
