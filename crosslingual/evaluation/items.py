"""Rows of task files: JSON objects whose fields are asked for by name, with one sentence for what is wrong."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from backbone.errors import PolygraftError
from backbone.io.jsonl import read_objects
from crosslingual.tokenization.training_text import check_unicode

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a task file."""

    place: str
    """File and line, for messages."""
    values: Mapping[str, Any]
    default_language: str
    """Where the row has no ``language``; empty: it must have one."""

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


def read_rows(path: Path, shape: str, language: str, make: Callable[[Row], T]) -> list[T]:
    """Return what ``make`` makes of each row of a JSONL file.

    Args:
        path: the file; ``-`` is standard input.
        shape: what a line looks like, for messages.
        language: of rows that name none.
        make: row to item or sentence.

    Raises:
        PolygraftError: the file cannot be read or has no row, or a row is not as it should be.
    """
    source = "standard input" if str(path) == "-" else str(path)
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise PolygraftError(f"{source} cannot be read ({error.strerror}): give a JSONL file") from error
    hint = f"a line looks like {shape}"
    made = [make(Row(place=place, values=values, default_language=language))
            for place, values in read_objects(data, source, hint)]  # fmt: skip
    if not made:
        raise PolygraftError(f"{source} has no row: {hint}")
    return made


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
