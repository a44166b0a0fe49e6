"""Items of tasks, the rows of task files that they are read from, and the few-shot examples before an item."""

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from backbone.errors import PolygraftError
from backbone.io.files import read_data, read_objects
from crosslingual.tokenization.byte_bpe import check_unicode

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """A line of a task file."""

    place: str  # file and line, for messages
    values: Mapping[str, Any]
    default_language: str  # where the row has no ``language``; empty: it must have one

    @property
    def language(self) -> str:
        """Code of the row's language."""
        if "language" not in self.values and self.default_language:
            return self.default_language
        if "language" not in self.values:
            raise PolygraftError(f'{self.place} has no "language": give --language for files without it')
        return self.text("language")

    def text(self, name: str) -> str:
        """Return a field of text that is not blank."""
        value = self._value(name)
        if not isinstance(value, str) or not value.strip():
            raise PolygraftError(f"{self.place} has {_shown(value)} as {name!r}: give text that is not blank")
        check_unicode(value, self.place)
        return value

    def texts(self, name: str, *, least: int = 1) -> tuple[str, ...]:
        """Return a field that is a list of texts."""
        value = self._value(name)
        good = isinstance(value, list) and all(isinstance(text, str) and text.strip() for text in value)
        if not good or len(value) < least:
            raise PolygraftError(f"{self.place} has {_shown(value)} as {name!r}: give a list of {least} texts or more")
        check_unicode("".join(value), self.place)
        return tuple(value)

    def label(self, name: str, names: Sequence[str], *, first: int = 0) -> int:
        """Return the number of a label, which the row gives by its name or counted from ``first``."""
        value = self._value(name)
        known: dict[Any, int] = {name: number for number, name in enumerate(names) if name}
        for number in range(len(names)):
            known[number + first] = known[str(number + first)] = number
        if not isinstance(value, int | str) or isinstance(value, bool) or value not in known:
            allowed = f"{first} to {first + len(names) - 1}" + (f" or {', '.join(names)}" if any(names) else "")
            raise PolygraftError(f"{self.place} has the {name} {_shown(value)}, allowed is {allowed}")
        return known[value]

    def _value(self, name: str) -> Any:
        if name not in self.values:
            raise PolygraftError(f"{self.place} has no {name!r}: it has {', '.join(self.values) or 'no field at all'}")
        return self.values[name]


def read_rows(path: Path, shape: str, language: str, make: Callable[[ItemRow], T]) -> list[T]:
    """Return what ``make`` makes of each row of a JSONL file; ``-`` is standard input.

    ``shape`` shows what a line looks like, for messages; ``language`` is that of rows that name none.

    Raises:
        PolygraftError: The file cannot be read or has no row, or a row is not as it should be.
    """
    source = "standard input" if str(path) == "-" else str(path)
    data = sys.stdin.buffer.read() if str(path) == "-" else read_data(path)
    hint = f"a line looks like {shape}"
    made = [make(ItemRow(place=place, values=values, default_language=language))
            for place, values in read_objects(data, source, hint)]  # fmt: skip
    if not made:
        raise PolygraftError(f"{source} has no row: {hint}")
    return made


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, kw_only=True)
class Item:
    """A question with candidates, one of which is right."""

    candidates: tuple[str, ...]  # what is scored: whole texts, as mGPT has it, or what follows ``prompt``
    answer: int  # which candidate is right
    label: str  # what the right answer is called; the majority baseline always says the most frequent one
    language: str  # its code, such as ``de``
    kind: str = ""  # what a row calls its kind; figures are given for each
    prompt: str = ""  # stands before each candidate and is not scored

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
    tags: tuple[str, ...]  # one for each word
    language: str  # its code

    @property
    def identity(self) -> Hashable:
        """What two copies of a sentence share, whatever their tags."""
        return self.words


E = TypeVar("E", Item, Sentence)


class Shots(Generic[E]):
    """A pool of solved examples, ``count`` of which stand before each item.

    Those of an item's own language are drawn from, and all where there is none of it: then, as in mGPT's labelling,
    the examples are in another language than the item. The pool may hold the items themselves. What is drawn for an
    item depends on ``seed`` and on the item's number alone.
    """

    def __init__(self, examples: Sequence[E], count: int, seed: int) -> None:
        self.count = count
        self._seed = seed
        self._all: Sequence[E] = examples
        self._of_language: dict[str, list[E]] = defaultdict(list)
        for example in examples:
            self._of_language[example.language].append(example)
        self._copies = Counter(example.identity for example in examples)

    def draw(self, number: int, item: E) -> list[E]:
        """Return the examples for an item.

        Raises:
            PolygraftError: The pool is too small.
        """
        pool = self._of_language.get(item.language) or self._all
        wanted = min(self.count + self._copies[item.identity], len(pool))
        drawn = random.Random(f"{self._seed}:{number}").sample(pool, wanted)
        others = [example for example in drawn if example.identity != item.identity][: self.count]
        if len(others) < self.count:
            raise PolygraftError(
                f"{self.count} shots asked for, but item {number + 1} finds only {len(others)} examples other than "
                "itself: give more examples or ask for fewer shots"
            )
        return others
