"""Narrations: what people wrote about moments of videos, read, cleaned and counted."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from backbone.errors import PolygraftError
from backbone.io.files import read_lines, read_objects

MAX_CHARACTERS = 2000  # longest narration that is read: one sentence, never a file that lost its line ends
_SHAPE = 'each line is an object like {"text": "open the door", "video": "P01", "scenario": "cooking"}'
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, kw_only=True)
class Narration:
    """A distinct narration after cleaning, and where it occurs."""

    text: str
    count: int = 1  # occurrences; repeats within one video are one
    videos: tuple[str, ...] = ()  # its videos, in alphabetical order
    scenarios: tuple[str, ...] = ()  # the labels of its scenes, in alphabetical order


@dataclass(frozen=True, kw_only=True)
class Narrations:
    """What a file of narrations holds. It does not depend on the order of the lines."""

    narrations: tuple[Narration, ...]  # in alphabetical order
    scenes: dict[str, tuple[str, ...]]
    """Distinct scenario labels with their videos, in alphabetical order. VLog keeps one scene a video (Section 3.2)."""
    repeats: int = 0  # lines left out since their video has the same elsewhere
    empty: int = 0  # lines of nothing but tags and punctuation


@dataclass(frozen=True, slots=True)
class NarrationRow:
    """One line of a file of narrations, as it was written."""

    text: str
    video: str = ""
    scenario: str = ""


Progress = Callable[[Iterable[NarrationRow]], Iterable[NarrationRow]]


def read_narrations(data: bytes, source: str, *, progress: Progress = iter) -> Narrations:
    """Read lines of text, or of JSON objects with ``text`` and optionally ``video`` and ``scenario``.

    Lines are JSON where the name ends in ``.jsonl``, ``.ndjson`` or ``.json``, and where the first one begins with
    a brace. Other keys are passed over. A line that names no video is no repeat of any other.

    Args:
        data: The whole file, UTF-8 with or without a byte order mark.
        source: What the file is called in messages.
        progress: Passes on every row, for a progress bar.

    Raises:
        PolygraftError: A line is malformed, of other characters than text, or too long; or no narration is left.
    """
    body = data.removeprefix(b"\xef\xbb\xbf")
    is_json = source.lower().endswith(_JSON_SUFFIXES) or body[:200].lstrip().startswith(b"{")
    found = collect(progress(_json_rows(data, source) if is_json else _text_rows(data, source)))
    if not found.narrations:
        raise PolygraftError(f"{source} holds no narration: give lines of text, or of JSON; {_SHAPE}")
    return found


def collect(rows: Iterable[NarrationRow]) -> Narrations:
    """Clean rows and count them by their text."""
    counts = Counter[str]()
    videos, scenarios, scenes = (defaultdict[str, set[str]](set) for _ in range(3))
    repeats = empty = 0
    for row in rows:
        label = clean(row.scenario)
        if label:
            scenes[label] |= {row.video} - {""}
        text = clean(row.text)
        if not text:
            empty += 1
            continue
        if label:
            scenarios[text].add(label)
        if row.video in videos[text]:
            repeats += 1
            continue
        counts[text] += 1
        videos[text] |= {row.video} - {""}
    return Narrations(
        narrations=tuple(
            Narration(
                text=text,
                count=counts[text],
                videos=tuple(sorted(videos[text])),
                scenarios=tuple(sorted(scenarios[text])),
            )
            for text in sorted(counts)
        ),
        scenes={label: tuple(sorted(scenes[label])) for label in sorted(scenes)},
        repeats=repeats,
        empty=empty,
    )


# Cleaning

_UNSEEN = re.compile("[\u200b\ufeff]")  # zero-width space, and the byte order mark of a file that was appended
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNSURE = re.compile(r"[\[(<{]\s*(?:#?\s*unsure|uncertain|\?+)\s*[\])>}]")
# Ego4D writes "#C C" for the camera wearer, "#O" before other people, "#unsure" and "#summary", with slips of the hand
_TAG = re.compile(r"(?<!\S)#+(?:\s*(?:c\s+c|cc?|o|unsure|summary)|[a-z]+)[.,;:!?]*(?!\S)")
_ENDS = " .,;:!?…"


def clean(text: str) -> str:
    """Return a narration in its one form: lower case, single spaces, without annotators' tags or a stop at the end.

    Cleaning again changes nothing.
    """
    while True:
        cleaned = _clean_once(text)
        if cleaned == text:
            return cleaned
        text = cleaned  # what a tag leaves behind may be another tag


def _clean_once(text: str) -> str:
    text = unicodedata.normalize("NFC", _CONTROL.sub(" ", _UNSEEN.sub("", text)).lower())
    text = _TAG.sub(" ", _UNSURE.sub(" ", text))
    return " ".join(text.split()).rstrip(_ENDS)


# Reading


def _text_rows(data: bytes, source: str) -> Iterator[NarrationRow]:
    for place, line in read_lines(data, source):
        yield NarrationRow(check_text(line.rstrip("\r"), place))


def _json_rows(data: bytes, source: str) -> Iterator[NarrationRow]:
    for place, record in read_objects(data, source, _SHAPE):
        if not isinstance(record.get("text"), str):
            raise PolygraftError(f"{place} has no text under 'text': {_SHAPE}")
        yield NarrationRow(
            check_text(record["text"], place), _label(record, "video", place), _label(record, "scenario", place)
        )


def _label(record: dict[str, Any], key: str, place: str) -> str:
    """Return a name; a whole number is one too, null and a missing key are none."""
    value = record.get(key)
    if value is None:
        return ""
    if isinstance(value, str) or type(value) is int:
        return check_text(str(value), place)
    raise PolygraftError(f"{place} has {type(value).__name__} under {key!r} where a name is expected: {_SHAPE}")


_SURROGATE = re.compile("[\ud800-\udfff]")


def check_text(text: str, place: str) -> str:
    """Return the text of a file as it is.

    Raises:
        PolygraftError: It is too long for a narration or holds what is no character; ``place`` is named.
    """
    if len(text) > MAX_CHARACTERS:
        raise PolygraftError(
            f"{place} has {len(text):,} characters, allowed is {MAX_CHARACTERS:,}: put one narration on a line"
        )
    if "\0" in text:
        raise PolygraftError(f"{place} holds NUL characters: give a text file in UTF-8")
    if _SURROGATE.search(text):
        raise PolygraftError(f"{place} holds half a surrogate pair, which is no character: write the text in UTF-8")
    return text
