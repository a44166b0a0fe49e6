"""Subtitles that players open."""

import io
from types import SimpleNamespace

import av
import pytest

from video.timeline.narrate import clock, to_srt, to_vtt

SPANS = [
    SimpleNamespace(start=0.0, stop=1.25, text="a red wall"),
    SimpleNamespace(start=1.25, stop=3661.0, text="a < b --> c\n\nd & e"),
]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3661.5, "01:01:01.500"), (360000, "100:00:00.000")],
)
def test_a_clock(seconds, told):
    assert clock(seconds) == told


def test_subrip():
    assert to_srt(SPANS) == (
        "1\n00:00:00,000 --> 00:00:01,250\na red wall\n\n2\n00:00:01,250 --> 01:01:01,000\na < b --> c d & e\n"
    )


def test_webvtt():
    assert to_vtt(SPANS) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\na red wall\n\n"
        "00:00:01.250 --> 01:01:01.000\na &lt; b --&gt; c d &amp; e\n"
    )


@pytest.mark.parametrize(("write", "form"), [(to_srt, "srt"), (to_vtt, "webvtt")])
def test_ffmpeg_opens_them(write, form):
    with av.open(io.BytesIO(write(SPANS).encode()), format=form) as video:
        packets = [packet for packet in video.demux() if packet.size]
    assert [(float(p.pts * p.time_base), float(p.duration * p.time_base)) for p in packets] == [
        (0, 1.25),
        (1.25, 3659.75),
    ]
