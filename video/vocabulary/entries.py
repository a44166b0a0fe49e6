"""The lines of ``narrations.jsonl``: one for each row of the vectors, in the same order, read when asked for."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from backbone.errors import PolygraftError
from backbone.io.settings import config_from_dict

Kind = Literal["prefix", "pair", "postfix", "scene"]
KINDS: tuple[Kind, ...] = ("prefix", "pair", "postfix", "scene")  # in the order of the rows
_SCAN = 1 << 24  # bytes searched at once for line ends


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many rows there are of each kind; they stand in this order."""

    prefixes: int = 0
    pairs: int = 0  # narrations that are a prefix and a postfix
    postfixes: int = 0
    scenes: int = 0

    def __post_init__(self) -> None:
        if min(self.prefixes, self.pairs, self.postfixes, self.scenes) < 0:
            raise ValueError("a count is less than 0")

    @property
    def narrations(self) -> int:
        """Rows that are narrations: prefixes, then pairs."""
        return self.prefixes + self.pairs

    @property
    def rows(self) -> int:
        """All rows."""
        return self.narrations + self.postfixes + self.scenes

    def kind(self, row: int) -> Kind:
        """Return what ``row`` is."""
        for kind, count in zip(KINDS, (self.prefixes, self.pairs, self.postfixes, self.scenes), strict=True):
            if row < count:
                return kind
            row -= count
        raise IndexError(row)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a narration came from that an update added."""

    proposer: str
    film: str
    start: float  # seconds, of the segment for which it was proposed
    stop: float
    when: str  # UTC, ISO 8601
    score: float  # its cosine with the query vector of the segment
    beaten: float  # that of the best narration before


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of a vocabulary."""

    text: str
    kind: Kind
    prefix: str = ""  # of a pair; the text after it and a space is the postfix
    count: int = 1  # occurrences of a narration; how many narrations a postfix ends
    videos: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    origin: Origin | None = None

    @property
    def postfix(self) -> str:
        """Of a pair; empty for every other kind."""
        return self.text[len(self.prefix) + 1 :] if self.prefix else ""

    def line(self) -> str:
        """Return the entry as a line of JSON, without what is empty."""
        record: dict[str, Any] = {"text": self.text, "kind": self.kind, "prefix": self.prefix}
        if self.kind != "scene":
            record["count"] = self.count
        record |= {"videos": self.videos, "scenarios": self.scenarios, "origin": self.origin and asdict(self.origin)}
        record = {name: value for name, value in record.items() if value}
        return json.dumps(record, ensure_ascii=False) + "\n"


class Entries(Protocol):
    """Entries by row."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Entry: ...

    def __iter__(self) -> Iterator[Entry]: ...


class EntryFile:
    """Entries on the disk: the file is mapped, its line ends are found, and a line is parsed when it is asked for.

    A hundred megabytes take about a tenth of a second.

    Args:
        path: The file.
        counts: What its lines should be.

    Raises:
        PolygraftError: It cannot be read, was cut off, or has another number of lines. A damaged line is reported
            when it is asked for.
    """

    def __init__(self, path: Path, counts: Counts) -> None:
        self.path = path
        self.counts = counts
        try:
            self.size = path.stat().st_size
            self._bytes = np.memmap(path, dtype=np.uint8, mode="r") if self.size else np.zeros(0, dtype=np.uint8)
        except OSError as error:
            raise PolygraftError(f"{path} cannot be read: {error.strerror}") from error
        if self.size and self._bytes[-1] != ord("\n"):
            raise PolygraftError(f"{path} is truncated, its last line has no end: copy or build it again")
        if len(self._ends) != counts.rows:
            raise PolygraftError(
                f"{path} has {len(self._ends):,} lines, but its config.json counts {counts.rows:,}: build it again"
            )

    @cached_property
    def _ends(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        parts = [np.flatnonzero(self._bytes[at : at + _SCAN] == ord("\n")) + at for at in range(0, self.size, _SCAN)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int, /) -> Entry:
        start = int(self._ends[row - 1]) + 1 if row else 0
        line = self._bytes[start : int(self._ends[row])].tobytes()
        return _parse(line, f"{self.path}, line {row + 1}", self.counts.kind(row))

    def __iter__(self) -> Iterator[Entry]:
        return (self[row] for row in range(len(self)))


_TYPES = {"kind": str, "text": str, "prefix": str, "count": int, "videos": list, "scenarios": list, "origin": dict}


def _parse(line: bytes, place: str, kind: Kind) -> Entry:
    """Check a line by hand: `config_from_dict` would take a minute for a large vocabulary."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PolygraftError(f"{place} is damaged: {error}") from None
    if not isinstance(record, dict):
        raise PolygraftError(f"{place} is damaged: it holds {type(record).__name__} where a JSON object is expected")
    if unknown := sorted(record.keys() - _TYPES.keys()):
        raise PolygraftError(f"{place} has {unknown[0]!r}, which is not known here: known are {', '.join(_TYPES)}")
    wrong = [name for name, value in record.items() if type(value) is not _TYPES[name]]
    if wrong := wrong or [name for name in ("text", "kind") if not record.get(name)]:
        raise PolygraftError(f"{place} is damaged: {wrong[0]} is missing or of another type")
    for name in ("videos", "scenarios"):
        record[name] = tuple(record.get(name, ()))
        if not all(isinstance(value, str) for value in record[name]):
            raise PolygraftError(f"{place} is damaged: {name} are not all texts")
    if "origin" in record:
        record["origin"] = config_from_dict(Origin, record["origin"])
    entry = Entry(**record)
    is_whole = entry.text.startswith(entry.prefix + " ") if kind == "pair" else True
    if entry.kind != kind or bool(entry.prefix) != (kind == "pair") or not is_whole:
        raise PolygraftError(
            f"{place} is no {kind}, which its place among the lines requires: build the vocabulary again"
        )
    return entry
