"""Features of films: which times are looked at, that nothing is looked at twice, and what interruptions leave."""

import resource
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from backbone.errors import PolygraftError, UsageError
from tests.backbone.tiny_clip import tiny_image_encoder
from tests.video import tiny_videos as tiny_films
from tests.video.tiny_narrator import write_film
from tests.video.tiny_videos import number_of
from video.data import feature_cache as film_cache_module
from video.data.clip_features import gather
from video.data.clips import Clip, Span
from video.data.feature_cache import FilmCache, grid

COLOURS = ("red", "lime", "blue", "white")


@pytest.fixture(scope="module")
def encoder():
    return tiny_image_encoder()


@pytest.fixture(scope="module")
def seen(encoder):
    """Return the feature of each colour."""
    features = encoder.encode([Image.new("RGB", (32, 24), colour) for colour in COLOURS]).pooled
    return dict(zip(COLOURS, features, strict=True))


@pytest.fixture
def film(tmp_path):
    """Four seconds, each of a colour."""
    return write_film(tmp_path / "film.gif", COLOURS)


@pytest.fixture
def cache(tmp_path, encoder):
    return FilmCache(tmp_path / "cache", encoder)


def colours_of(frames, seen):
    """Return the colour that each frame is nearest to."""
    table = torch.stack([seen[colour] for colour in COLOURS])
    assert torch.allclose((frames @ table.T).amax(dim=1), torch.ones(len(frames)), atol=1e-3)
    return [COLOURS[at] for at in (frames @ table.T).argmax(dim=1)]


# Times


@pytest.mark.parametrize(
    ("start", "stop", "fps", "times"),
    [
        (0, 2, 2, (0, 0.5, 1, 1.5)),
        (0.2, 1.2, 2, (0.5, 1)),
        (0.6, 0.9, 2, (0.75,)),
        (3, 3.5, 0.5, (3.25,)),
        (0.1 * 3, 0.4, 10, (0.3,)),
    ],
)
def test_spans_share_one_grid_and_have_a_look_at_least(start, stop, fps, times):
    assert grid(start, stop, fps) == pytest.approx(times)


@pytest.mark.parametrize(
    ("start", "stop", "colours"),
    [
        (0.0, None, ["red", "red", "lime", "lime", "blue", "blue", "white", "white"]),
        (1.2, 2.2, ["lime", "blue"]),
        (2.9, None, ["white", "white"]),
        (3.0, 99.0, ["white", "white"]),
        (3.6, 3.9, ["white"]),
        (3.8, None, ["white"]),
        (3.8, 5.0, ["white"]),
    ],
)
def test_what_is_seen_is_what_the_film_shows_then(cache, film, seen, start, stop, colours):
    found = cache.features([Span(film=film, start=start, stop=stop)])
    assert colours_of(found.take(0), seen) == colours
    assert len(found.times[0]) == len(colours) and found.unreadable == {}
    again = cache.features([Span(film=film, start=start, stop=stop)])
    assert (again.encoded, again.times) == (0, found.times)


def test_a_picture_that_stands_still_is_one_look(cache, tmp_path, seen):
    Image.new("RGB", (32, 24), "blue").save(tmp_path / "still.png")
    found = cache.features([Span(film=tmp_path / "still.png")])
    assert colours_of(found.take(0), seen) == ["blue"]


def test_many_looks_a_second_are_the_frames_of_their_times(cache, film, seen):
    found = cache.features([Span(film=film, start=0.9, stop=1.1)], fps=20)
    assert colours_of(found.take(0), seen) == ["red", "red", "lime", "lime"]


@pytest.mark.parametrize("fps", [0, -1, float("nan"), 2000])
def test_looks_a_second_that_no_film_has_are_refused(cache, film, fps):
    with pytest.raises(UsageError, match="allowed is above 0 and up to 1000"):
        cache.features([Span(film=film)], fps=fps)


def test_stretches_of_a_real_film_are_the_frames_of_their_times(tmp_path, monkeypatch):
    encoder = tiny_image_encoder()
    film = tmp_path / "film.mp4"
    tiny_films.write_film(film, tiny_films.even(40 * 30))
    prepare, numbers, _ = encoder.prepare, [], encoder.width  # which looks at a blank picture
    monkeypatch.setattr(encoder, "prepare", lambda image: numbers.append(number_of(image)) or prepare(image))
    spans = [Span(film=film, start=at, stop=at + 1.1) for at in (30.0, 2.2, 2.6, 20.3, 39.5, 55.0)]
    found = FilmCache(tmp_path / "cache", encoder).features(spans)
    times = [(30.0, 30.5, 31.0), (2.5, 3.0), (3.0, 3.5), (20.5, 21.0), (39.5,), ()]
    assert list(found.times) == times
    looks = sorted({time for own in times for time in own})
    assert numbers == [round(30 * time) for time in looks]


# What is known


def test_spans_that_overlap_share_their_looks(cache, film):
    spans = [Span(film=film, start=0, stop=2), Span(film=film, start=1, stop=3), Span(film=film, start=0.5, stop=1.5)]
    found = cache.features(spans)
    assert [len(times) for times in found.times] == [4, 4, 2]
    assert found.encoded == 6
    assert found.rows[0][2:].tolist() == found.rows[1][:2].tolist()
    assert cache.features([Span(film=film)]).encoded == 2
    assert isinstance(found.table, np.memmap) and found.table.dtype == np.float16


def test_a_copy_is_known_and_a_changed_film_is_not(cache, film, tmp_path):
    copy = tmp_path / "copy.webp"
    shutil.copy(film, copy)
    found = cache.features([Span(film=film), Span(film=copy)])
    assert found.encoded == 8 and found.films[0] == found.films[1]
    write_film(film, COLOURS[:2])
    changed = cache.features([Span(film=film)])
    assert changed.encoded == 4 and changed.films[0] != found.films[0]


def test_another_encoder_has_a_cache_of_its_own(tmp_path, film, encoder):
    one = FilmCache(tmp_path / "cache", encoder).features([Span(film=film)])
    two = FilmCache(tmp_path / "cache", tiny_image_encoder(seed=1)).features([Span(film=film)])
    assert (one.encoded, two.encoded) == (8, 8)


class StoppedError(Exception):
    """What stops a call in the middle."""


@pytest.mark.parametrize("stop", [None, 99.0])
def test_an_interrupted_call_goes_on_where_it_was(tmp_path, film, seen, monkeypatch, stop):
    encoder = tiny_image_encoder()
    cache, encode, calls = FilmCache(tmp_path / "cache", encoder), encoder.encode_pixels, []

    def stop_at_the_third(pixels, *, grid=False):
        calls.append(len(pixels))
        if len(calls) == 3:
            raise StoppedError
        return encode(pixels, grid=grid)

    monkeypatch.setattr(encoder, "encode_pixels", stop_at_the_third)
    span = Span(film=film, start=0.5, stop=stop)
    with pytest.raises(StoppedError):
        cache.features([span], batch_size=2)
    found = cache.features([span], batch_size=2)
    assert found.encoded == 3
    assert colours_of(found.take(0), seen) == ["red", "lime", "lime", "blue", "blue", "white", "white"]
    assert cache.features([span]).encoded == 0


def test_an_end_that_is_known_is_not_looked_for_again(cache, film, monkeypatch):
    spans = [Span(film=film), Span(film=film, start=2, stop=7), Span(film=film, start=50, stop=51)]
    found = cache.features(spans)
    assert [len(times) for times in found.times] == [8, 4, 0]

    def refuse(*_, **__):
        raise AssertionError("opened again")

    monkeypatch.setattr(film_cache_module, "read_frames", refuse)
    assert cache.features(spans).times == found.times


@pytest.mark.parametrize("stop", [None, 2.0])
def test_frames_of_many_films_are_encoded_together_and_few_are_held(tmp_path, monkeypatch, stop):
    encoder = tiny_image_encoder()
    films = [write_film(tmp_path / f"{n}.gif", (COLOURS[n % 4], COLOURS[(n + 1) % 4])) for n in range(4)]
    encode, sizes = encoder.encode_pixels, []
    monkeypatch.setattr(encoder, "encode_pixels", lambda p, **k: sizes.append(len(p)) or encode(p, **k))
    FilmCache(tmp_path / "cache", encoder).features([Span(film=f, stop=stop) for f in films], batch_size=8)
    assert sizes[-2:] == [8, 8] and sum(sizes[:-2]) <= 1  # one picture more, to learn the width


def test_films_that_cannot_be_read_are_told_and_the_rest_is_done(cache, film, tmp_path):
    (tmp_path / "text.mp4").write_text("I am no film")
    (tmp_path / "empty.mp4").touch()
    bad = [tmp_path / "text.mp4", tmp_path / "empty.mp4", tmp_path / "gone.mp4"]
    for span in ({}, {"stop": 2.0}):
        found = cache.features([*(Span(film=path, **span) for path in bad), Span(film=film, **span)])
        assert list(found.unreadable) == bad
        assert [
            told in found.unreadable[path] for told, path in zip(("no film", "is empty", "not exist"), bad, strict=True)
        ]
        assert [len(times) > 0 for times in found.times] == [False, False, False, True]
        assert found.films[:3] == ("", "", "")


def test_what_begins_after_the_end_shows_nothing_and_is_no_fault_of_the_film(cache, film):
    found = cache.features([Span(film=film, start=40, stop=41), Span(film=film, start=77)])
    assert (found.times, found.unreadable) == (((), ()), {})


def test_a_full_disk_is_no_fault_of_the_films_and_leaves_a_valid_cache(cache, film, seen):
    _ = cache.features([Span(film=film, stop=1.0)]), cache.encoder.width
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (24 * 2 * 4 + 7, hard))  # four rows and a bit
    try:
        with pytest.raises(PolygraftError, match=r"cannot be written .*; what it held before is kept"):
            cache.features([Span(film=film)], batch_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found = cache.features([Span(film=film)])
    assert found.encoded == 4
    assert colours_of(found.take(0), seen)[::2] == list(COLOURS)


def test_a_folder_of_something_else_is_refused(tmp_path, encoder):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PolygraftError, match="cannot be written"):
        FilmCache(tmp_path / "file", encoder)


# Clips


def clip(film, **changes):
    told = {"start": 1.0, "stop": 2.0, "text": "cut"} | changes
    return Clip(film=film, id="-".join(map(str, [film.name, *told.values()])), **told)


def test_clips_are_shown_their_side_of_time(cache, film, seen):
    clips = [clip(film), clip(film, question="next"), clip(film, question="before"), clip(film, start=None, stop=None)]
    data = gather(clips, cache)
    assert [colours_of(data.frames(at), seen)[::2] for at in range(4)] == [["lime"], ["red"], ["blue"], list(COLOURS)]
    assert data.films == 1 and data.texts == ("cut",) * 4


def test_clips_without_frames_are_told_and_left_out(cache, film, tmp_path):
    (tmp_path / "text.mp4").write_text("I am no film")
    clips = [clip(film), clip(tmp_path / "text.mp4"), clip(film, start=8.0, stop=9.0), clip(film, start=9.0, stop=9.5)]
    told = []
    data = gather(clips, cache, report=told.append)
    assert data.clips == (clips[0],)
    assert sum("text.mp4" in line for line in told) == 1
    assert any(line.startswith("2 clips left out, beyond the end of their films: film.gif-8.0") for line in told)
    with pytest.raises(PolygraftError, match="none of the 2 clips shows anything"):
        gather(clips[1:3], cache)


def test_a_digest_names_films_times_questions_and_texts(cache, film, tmp_path):
    copy = tmp_path / "copy.gif"
    shutil.copy(film, copy)
    first = gather([clip(film)], cache).digest
    assert gather([clip(copy)], cache).digest == first
    changes = ({"start": 1.5}, {"text": "wash"}, {"question": "overall"})
    assert len({first, *(gather([clip(film, **change)], cache).digest for change in changes)}) == 4
    assert gather([clip(film)], cache, fps=4).digest != first


def test_copies_of_films_that_are_held_out_leave_the_training(cache, film, tmp_path):
    copy, other = tmp_path / "copy.gif", write_film(tmp_path / "other.gif", ("white", "red"))
    shutil.copy(film, copy)
    data = gather([clip(copy), clip(other), clip(copy, text="wash")], cache)
    assert [own.film for own in data.without(gather([clip(film)], cache)).clips] == [other]
