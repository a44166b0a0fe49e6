"""Clips: moments of videos with their narrations, read from a JSONL file and split by video (torch-free).

``start`` and ``stop`` are the time of the narration. The frames that are shown keep to the right side of time, as in
VLog (Lin and Shou, 2025, section 3.3): asked what comes ``next``, the narrator sees those before the moment; asked what
was ``before``, those after it; asked anything else, the moment itself.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import is_file, read_data, read_objects
from video.config import QUESTIONS
from video.vocabulary.narrations import check_text, clean

SPLITS = ("train", "validation", "test")  # what a video may be for, from the lowest side to the highest

Report = Callable[[str], None]

_SHAPE = 'each line is an object like {"film": "a.mp4", "start": 3.0, "stop": 5.5, "text": "open the door"}'
_NAMED = 3  # how many of many are named in a remark


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a video."""

    video: Path
    start: float = 0.0  # seconds
    stop: float | None = None  # seconds, not included; None: the video's end


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A moment of a video and its narration."""

    video: Path
    text: str  # as `video.vocabulary.narrations.clean` writes narrations, so that a vocabulary holds the same text
    start: float | None = None  # seconds; None: the video's beginning
    stop: float | None = None  # seconds, not included; None: the video's end
    question: str = "now"
    """One of ``now``, ``next``, ``before``, ``overall``, or a question in its own words; empty: nothing is asked."""
    scenario: str = ""
    id: str = ""  # unique among clips that were read together
    split: str = ""  # one of `SPLITS`; empty: unmarked

    @property
    def asked(self) -> str:
        """The question in words."""
        return QUESTIONS.get(self.question, self.question)

    @property
    def is_whole(self) -> bool:
        """Whether no time is given: the whole video is shown then, whatever the question."""
        return self.start is None and self.stop is None

    @property
    def blind(self) -> str:
        """Why nothing can be shown, the end of a sentence; empty where something can."""
        if self.question == "next" and not self.is_whole and not self.start:
            return "asks what comes next, but at the video's beginning, before which nothing is shown"
        if self.question == "before" and not self.is_whole and self.stop is None:
            return "asks what was before, but at the video's end, after which nothing is shown"
        return ""

    @property
    def shown(self) -> Span:
        """What the narrator sees: the moment, or as long a stretch before or after it."""
        begin = self.start or 0.0
        if self.question == "next" and not self.is_whole:
            length = begin if self.stop is None else self.stop - begin
            return Span(video=self.video, start=max(0.0, begin - length), stop=begin)
        if self.question == "before" and self.stop is not None:
            return Span(video=self.video, start=self.stop, stop=2 * self.stop - begin)
        return Span(video=self.video, start=begin, stop=self.stop)


_KEYS = tuple("film" if field.name == "video" else field.name for field in fields(Clip))


def with_causal(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips, each timed one that asks ``now`` followed by the same moment asked ``next`` and ``before``.

    Moments at an end of their video, where nothing is on the side to be shown, have one of the two.
    """
    found = []
    for clip in clips:
        found.append(clip)
        if clip.question == "now" and not clip.is_whole:
            asked = [replace(clip, question=name, id=f"{clip.id}~{name}") for name in ("next", "before")]
            found += [other for other in asked if not other.blind]
    return found


# Reading


def read_clips(file: Path, *, report: Report | None = None) -> list[Clip]:
    """Read clips from lines of JSON with ``video`` (relative to the file's folder) and ``text``.

    Optional are ``start``, ``stop`` (seconds), ``question`` (``now`` by default), ``scenario``, ``id`` and ``split``.
    A clip without an id gets one made of its contents.

    Args:
        file: UTF-8, with or without a byte order mark.
        report: Called with a sentence about lines that repeat another, that hold no narration, or that have
            keys which are not read.

    Raises:
        PolygraftError: The file cannot be read, holds no clip, or a line (which is named) is no clip: not UTF-8, not
            JSON, of other types, with times that are no times, with an id that another line has, or with a video that
            is not there.
    """
    report = report or (lambda _: None)
    clips, places, ignored, empty, repeats = list[Clip](), dict[str, str](), set[str](), 0, 0
    for place, record in read_objects(read_data(file), str(file), _SHAPE):
        ignored |= record.keys() - set(_KEYS)
        clip = _clip(record, place, file.parent)
        if not clip.text:
            empty += 1
        elif clip.id not in places:
            places[clip.id] = place
            clips.append(clip)
        elif record.get("id") is None:
            repeats += 1
        else:
            raise PolygraftError(f"{place} has the id {clip.id!r}, which {places[clip.id]} has: give each its own")
    if ignored:
        report(f"{file}: ignored {some_of(sorted(ignored))}; what is read is {', '.join(_KEYS)}")
    if empty:
        report(f"{file}: {count_of(empty, 'line')} left out, of nothing but tags and punctuation")
    if repeats:
        report(f"{file}: {count_of(repeats, 'line')} left out, which repeat another")
    if not clips:
        raise PolygraftError(f"{file} holds no clip: {_SHAPE}")
    _check_videos(clips, places)
    return clips


def _clip(record: dict[str, Any], place: str, folder: Path) -> Clip:
    video, text = _text(record, "film", place), clean(_text(record, "text", place))
    if not video or record.get("text") is None:
        raise PolygraftError(f"{place} has no {'text' if video else 'film'}: {_SHAPE}")
    start, stop = _seconds(record, "start", place), _seconds(record, "stop", place)
    if stop is not None and stop <= (start or 0.0):
        raise PolygraftError(f"{place} stops at {stop:g} s, but starts at {start or 0.0:g} s: give a later stop")
    split = _text(record, "split", place)
    if split and split not in SPLITS:
        raise PolygraftError(
            f"{place} has {split[:40]!r} for 'split': leave it out, or give one of {', '.join(SPLITS)}"
        )
    clip = Clip(
        video=folder / video,
        text=text,
        start=start,
        stop=stop,
        question=_text(record, "question", place, missing="now").strip(),
        scenario=clean(_text(record, "scenario", place)),
        id=_text(record, "id", place),
        split=split,
    )
    if clip.blind:
        raise PolygraftError(f"{place} {clip.blind}: give another moment, or no times for the whole video")
    return clip if clip.id else replace(clip, id=_made_id(clip, video))


def _text(record: dict[str, Any], key: str, place: str, *, missing: str = "") -> str:
    value = record.get(key)
    if value is None:
        return missing
    if type(value) is int and key in ("id", "scenario"):
        value = str(value)
    if not isinstance(value, str):
        raise PolygraftError(f"{place} has {str(value)[:40]!r} for {key!r}, which must be a text: {_SHAPE}")
    return check_text(value, f"{place} at {key!r}")


def _seconds(record: dict[str, Any], key: str, place: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    # beyond 1e9 nothing is a video, and whole numbers may be too large to be a float
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise PolygraftError(f"{place} has {str(value)[:40]!r} for {key!r}, which must be seconds, 0 or more: {_SHAPE}")
    return float(value)


def _made_id(clip: Clip, video: str) -> str:
    """Return an id made of the clip's contents: the same on another machine and in another order."""
    name = Path(video).name if Path(video).is_absolute() else video
    identity = "\0".join(map(str, (clip.start, clip.stop, clip.question, clip.text, clip.scenario, clip.split)))
    return f"{name}#{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _check_videos(clips: Sequence[Clip], places: dict[str, str]) -> None:
    there = {video: is_file(video) for video in {clip.video for clip in clips}}
    missing = [clip for clip in clips if not there[clip.video]]
    if missing:
        more = sum(not found for found in there.values()) - 1
        others = f" (and {count_of(more, 'other video')} missing)" if more else ""
        raise PolygraftError(
            f"{places[missing[0].id]} names the video {missing[0].video}, which is not there{others}: paths are taken "
            "from the folder of the file"
        )


# Splits


def check_share(val_share: float) -> None:
    """Refuse a share of videos to hold out that is none.

    Raises:
        UsageError: It is not in 0..1.
    """
    if not 0 <= val_share < 1:
        raise UsageError(f"val_share is {val_share}, allowed is 0 up to, not including, 1")


def mark_splits(
    clips: Sequence[Clip], *, val_share: float = 0.1, seed: int = 0, report: Report | None = None
) -> list[Clip]:
    """Assign each clip to a split; all clips of a video are in one, since its moments resemble one another.

    Marks that were given are kept, and clips without one are for training. Marks may put a video on several sides: its
    clips on the highest (tests, then validation) stay, and the others are left out. Where no clip is marked
    ``validation``, videos for it are drawn from those for training, by a hash of the seed and the video's name and
    texts, so that a draw depends neither on the folder nor on the order of the clips.

    Args:
        clips: All clips.
        val_share: Share of the training videos that is drawn for validation, one at least; 0: none.
        seed: Another seed, another draw.
        report: Called with a sentence about what is left out.

    Returns:
        The clips with their marks, in the order given.

    Raises:
        UsageError: See `check_share`.
        PolygraftError: There are too few videos to draw from.
    """
    check_share(val_share)
    videos: dict[str, list[Clip]] = {}
    for clip in clips:
        videos.setdefault(_name(clip), []).append(clip)
    sides = {name: max((clip.split or "train" for clip in group), key=SPLITS.index) for name, group in videos.items()}
    kept = [clip for clip in clips if (clip.split or "train") == sides[_name(clip)]]
    if report and len(kept) < len(clips):
        report(
            f"{count_of(len(clips) - len(kept), 'clip')} left out: their videos are held out for validation or tests"
        )
    if val_share and "train" in sides.values() and "validation" not in sides.values():
        learned = [name for name, side in sides.items() if side == "train"]
        wanted = max(1, round(val_share * len(learned)))
        if wanted >= len(learned):
            raise PolygraftError(
                f"of {count_of(len(learned), 'video')} none can be held out: give more videos, or --val-share 0"
            )
        drawn = sorted(learned, key=lambda name: _rank(videos[name], seed))[:wanted]
        sides |= dict.fromkeys(drawn, "validation")
    return [replace(clip, split=sides[_name(clip)]) for clip in kept]


def _name(clip: Clip) -> str:
    return os.path.normpath(clip.video)


def _rank(group: Sequence[Clip], seed: int) -> bytes:
    names = sorted({f"{clip.video.name}\0{clip.text}" for clip in group})
    # surrogates stand for bytes of file names that are not UTF-8
    return hashlib.sha256("\0".join([str(seed), *names]).encode("utf-8", "surrogatepass")).digest()


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural but for 1."""
    return f"{number} {noun}{'s' * (number != 1)}"


def some_of(items: Sequence[str]) -> str:
    """Name the first few of many."""
    return ", ".join(items[:_NAMED]) + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")
