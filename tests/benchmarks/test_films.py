"""`python -m benchmarks.films`: cuts, composed videos, and narrations at the right time."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import films
from benchmarks.video import long_videos
from benchmarks.video.long_videos import FPS, agreement, by_chance, compose
from tests.starter_build.tiny_emoji import write_emoji
from tests.video.tiny_narrator import tiny_narrator, write_video
from video.frames.reader import duration, read_frames
from video.vocabulary.narrations import NarrationRow, collect
from video.vocabulary.vocabulary import NarrationVocabulary

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
    assert duration(tmp_path / "film.webp") == pytest.approx(parts[-1].stop, abs=1 / FPS)
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
    assert films._right(told, parts) == pytest.approx(0.9)
    assert films._cuts(told) == [4]


def test_films_are_narrated_in_three_ways(polygraft, tmp_path, monkeypatch):
    data = write_emoji(tmp_path / "data")
    bunny = write_video(tmp_path / "bunny.gif", ["red", "lime", "blue"], seconds=2.0)
    monkeypatch.setattr(long_videos, "big_buck_bunny", lambda _: bunny)
    monkeypatch.setattr(long_videos, "shot_cuts", lambda _: [2.0, 4.0])
    monkeypatch.setattr(films, "_PARTS", 3)
    narrator = tiny_narrator()
    narrator.save_pretrained(tmp_path / "narrator")
    vocabulary = collect([NarrationRow("a skull"), NarrationRow("an eye")])
    NarrationVocabulary.build(vocabulary, encoder=narrator.text_encoder).save_pretrained(tmp_path / "vocabulary")
    opened = narrator, NarrationVocabulary.from_pretrained(tmp_path / "vocabulary")
    monkeypatch.setattr(films.NarratorSource, "load", lambda *_: opened)
    called = polygraft(
        "benchmark", "films", "--vocabulary", tmp_path / "vocabulary", "--videos", 1, "--seeds", 0, "--data", data,
        "--work", tmp_path / "work", "--device", "cpu", "--json",
    )  # fmt: skip
    assert called.code == 0
    bunny, composed = (json.loads(line)["rows"] for line in called.out)
    assert list(bunny) == list(composed) == list(films.WAYS)
    assert composed["every second alone"]["true parts"] == 3 and 0 <= bunny["as narrate does"]["F1 1.0"] <= 1


def test_options_are_checked(polygraft):
    assert polygraft("benchmark", "films", "--videos", 0).code == 2
