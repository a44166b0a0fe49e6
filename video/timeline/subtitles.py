"""Spans with texts as subtitles: SubRip (.srt) and WebVTT (.vtt), which players and browsers open (torch-free)."""

from collections.abc import Iterable
from typing import Protocol


class SubtitleSpan(Protocol):
    """A span of a video with a text."""

    @property
    def start(self) -> float:
        """Seconds."""

    @property
    def stop(self) -> float:
        """Seconds."""

    @property
    def text(self) -> str:
        """What is shown, a line."""


def clock(seconds: float, separator: str = ".") -> str:
    """Return a time as hours:minutes:seconds with milliseconds, 00:01:02.500."""
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{separator}{rest % 1000:03}"


def to_srt(spans: Iterable[SubtitleSpan]) -> str:
    """Return spans in SubRip's format."""
    blocks = (
        f"{number}\n{clock(span.start, ',')} --> {clock(span.stop, ',')}\n{_one_line(span.text)}\n"
        for number, span in enumerate(spans, 1)
    )
    return "\n".join(blocks)


def to_vtt(spans: Iterable[SubtitleSpan]) -> str:
    """Return spans in WebVTT's format (W3C), in which < and & begin marks and an arrow would be taken for times."""
    cues = (
        f"{clock(span.start)} --> {clock(span.stop)}\n"
        + _one_line(span.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "\n"
        for span in spans
    )
    return "\n".join(["WEBVTT\n", *cues])


def _one_line(text: str) -> str:
    """Return a text without line ends, since an empty line ends a subtitle."""
    return " ".join(text.split())
