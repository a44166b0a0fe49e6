"""`python -m benchmarks.films`: cuts, composed videos, and narrations at the right time."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import films as benchmark_videos
from benchmarks.video.composed import FPS, compose
from benchmarks.video.cuts import agreement, by_chance
from tests.video.tiny_narrator import write_video
from video.frames.reader import probe, read_frames

TIMES = st.lists(st.integers(0, 200).map(lambda tick: tick / 10), max_size=12, unique=True).map(sorted)


def most_pairs(found, true, tolerance):
    """Return how many can be paired, by trying."""
    if not found:
        return 0
    rest = [
        most_pairs(found[1:], true[:at] + true[at + 1 :], tolerance)
        for at in range(len(true))
        if abs(true[at] - found[0]) <= tolerance
    ]
    return max([most_pairs(found[1:], true, tolerance), *(1 + count for count in rest)])


@given(TIMES.map(lambda times: times[:6]), TIMES.map(lambda times: times[:6]))
def test_as_many_cuts_are_paired_as_can_be(found, true):
    near = agreement(found, true, 1.05)
    most = most_pairs(found, true, 1.05)  # between ticks: rounding decides nothing
    assert near.precision * len(found) == pytest.approx(most)
    assert near.recall * len(true) == pytest.approx(most)
    assert 0 <= near.f1 <= 1


def test_equal_cuts_agree_and_random_ones_less():
    true = [float(at) for at in range(10, 100, 10)]
    assert agreement(true, true, 0.1).f1 == 1
    assert 0.05 < by_chance(9, 100.0, true, 1.0, seed=0) < 0.5


def test_a_composed_video_shows_what_its_parts_say(tmp_path):
    videos = [(write_video(tmp_path / f"{c}.gif", [c, "white"], seconds=0.5), c) for c in ("red", "lime", "blue")]
    parts = compose(videos, tmp_path / "film.webp", seed=3, shortest=1.0, longest=3.0)
    assert [part.text for part in parts] == ["red", "lime", "blue"]
    assert [parts[0].start, parts[1].start, parts[2].start] == [0, parts[0].stop, parts[1].stop]
    assert all(1 <= part.stop - part.start <= 3 for part in parts)
    video = probe(tmp_path / "film.webp")
    assert video.duration == pytest.approx(parts[-1].stop, abs=1 / FPS)
    looks = [parts[0].stop - 1 / FPS, parts[0].stop, parts[1].stop]
    seen = [
        frame.image.resize((1, 1)).getpixel((0, 0))
        for chunk in read_frames(tmp_path / "film.webp", at=looks)
        for frame in chunk
    ]
    assert [max(range(3), key=lambda at: pixel[at]) for pixel in seen] == [0, 1, 2]


def test_time_told_right_counts_seconds():
    told = [SimpleNamespace(start=0, stop=4, text="a"), SimpleNamespace(start=4, stop=10, text="b")]
    parts = [SimpleNamespace(start=0, stop=5, text="a"), SimpleNamespace(start=5, stop=10, text="b")]
    assert benchmark_videos._right(told, parts) == pytest.approx(0.9)
    assert benchmark_videos._cuts(told) == [4]


def test_options_are_checked(polygraft):
    assert polygraft("benchmark", "films", "--films", 0).code == 2
