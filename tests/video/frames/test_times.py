"""Asked times against a slow reference, and when leaping pays and a video is over."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video.frames.times import AskedTimes, Ending, Leaps, look_up, parse_clock

seconds = st.floats(0, 50).map(lambda number: round(number, 4))
begins = st.lists(seconds, min_size=1, max_size=20, unique=True).map(sorted)


@st.composite
def asked(draw):
    if draw(st.booleans()):
        return AskedTimes(at=tuple(draw(st.lists(seconds, max_size=10))))
    start = draw(seconds)
    stop = draw(st.none() | seconds.map(lambda length: start + length + 0.01))
    return AskedTimes(every=draw(st.floats(0.05, 9)), start=start, stop=stop)


@given(begins, asked())
def test_looking_up_equals_going_through_all_frames(begins, times):
    ending = Ending(until=begins[-1] + 0.5, last=0.5)
    expected = []
    for time in times:
        if not ending.reaches(time, times):
            expected.append((time, None))
            if times.ascending:
                break
            continue
        shown = [number for number, begin in enumerate(begins) if begin <= time + 1e-6]
        expected.append((time, shown[-1] if shown else 0))
    assert list(look_up(times, begins, ending)) == expected


@given(begins, asked())
def test_no_frame_that_is_seen_is_held_for_unseen(begins, times):
    ending = Ending(until=begins[-1] + 0.5, last=0.5)
    for time, number in look_up(times, begins, ending):
        if number is not None and time >= begins[0]:
            end = begins[number + 1] if number + 1 < len(begins) else math.inf
            assert times.within(begins[number], end)


def test_what_nobody_looks_at_is_known():
    every = AskedTimes(every=0.5, start=1.0, stop=2.2)
    assert not every.within(0.0, 0.9)
    assert not every.within(1.1, 1.4)
    assert every.within(1.4, 1.6)
    assert not every.within(2.1, 9.0)
    assert not AskedTimes(at=(3.0, 1.0)).within(1.1, 2.9)
    assert AskedTimes(start=1.0).within(0.0, 0.1), "every frame is looked at"


@given(st.floats(0.01, 10), st.floats(0, 100), st.floats(0.02, 100))
def test_times_are_counted_before_they_are_taken(every, start, length):
    times = AskedTimes(every=every, start=start, stop=start + length)
    taken = list(times)
    assert len(taken) == times.count()
    assert taken[0] == start
    assert all(time < start + length for time in taken)


def test_nothing_accumulates():
    last = list(AskedTimes(every=0.1, stop=10_000.0))[-1]
    assert last == 99_999 * 0.1


def test_a_leap_pays_only_over_enough_frames():
    leaps = Leaps([0.0, 2.0, 4.0], rate=25.0)
    assert not leaps.pays(1.5, 2.5), "12 frames to the key frame at 2 s"
    assert leaps.pays(1.0, 2.5)
    assert not leaps.pays(2.1, 3.9), "no key frame between"
    assert not leaps.pays(4.1, 99.0)


def test_without_an_index_leaps_are_long_and_learn():
    leaps = Leaps([], rate=25.0)
    assert not leaps.pays(0.0, 9.0)
    assert leaps.pays(0.0, 11.0)
    leaps.learn(0.0, 0.0)
    assert not leaps.pays(0.0, 19.0)
    leaps.learn(0.0, 15.0)
    assert leaps.pays(0.0, 21.0)


@pytest.mark.parametrize(
    ("time", "length", "said", "longest", "until", "cut"),
    [
        (9.5, 0.5, 10.0, 0.5, 10.0, False),
        (9.5, 0.5, None, 0.5, 10.0, False),
        (9.5, 0.5, 3.0, 0.5, 10.0, False),
        (9.5, 0.5, 10.9, 0.5, 10.9, False),
        (9.5, 0.5, 20.0, 0.5, 10.0, True),
        (9.5, 0.5, 20.0, 6.0, 20.0, False),
    ],
)
def test_a_video_is_over_or_cut_short(time, length, said, longest, until, cut):
    ending = Ending.of(time, length, said, longest)
    assert (ending.until, ending.cut) == (until, cut)


def test_clock_times():
    assert parse_clock("00:09:56.458000000") == pytest.approx(596.458)
    assert parse_clock("soon") is None
