"""Moments, the best path through their candidates, and spans that do not flicker."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video.timeline.narrate import CandidateRun, merge_short, runs_of, steady_path
from video.timeline.query import find_cuts, lay_moments

ALWAYS = lambda at: True  # noqa: E731


def sampled(end, fps=2.0):
    return [number / fps for number in range(int(end * fps))]


def shown(found, times):
    return [(one.start, one.stop, [times[at] for at in one.frames]) for one in found]


def test_a_moment_is_shown_what_lies_around_it():
    times = sampled(4)
    found = lay_moments(times, 4.0, question="now", every=1.0, window=2.0)
    assert shown(found, times)[0] == (0.0, 1.0, [0.0, 0.5, 1.0])
    assert shown(found, times)[2] == (2.0, 3.0, [1.5, 2.0, 2.5, 3.0])
    assert shown(found, times)[3] == (3.0, 4.0, [2.5, 3.0, 3.5])


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("next", (1.0, 2.0, [0.0, 0.5]), (3.0, 4.0, [1.0, 1.5, 2.0, 2.5])),
        ("before", (0.0, 1.0, [1.0, 1.5, 2.0, 2.5]), (2.0, 3.0, [3.0, 3.5])),
    ],
)
def test_causal_questions_are_shown_the_right_side_of_time(question, first, last):
    times = sampled(4)
    found = shown(lay_moments(times, 4.0, question=question, every=1.0, window=2.0), times)
    assert (found[0], found[-1]) == (first, last)
    for start, stop, seen in found:
        assert all(time < start for time in seen) if question == "next" else all(time >= stop for time in seen)


def test_overall_is_one_moment():
    assert lay_moments(sampled(9), 9.2, question="overall", every=1.0, window=2.0)[0].frames == range(18)


def test_a_video_that_is_shorter_than_a_moment_is_one():
    found = lay_moments([0.0], 0.04, question="What?", every=1.0, window=3.0)
    assert [(one.start, one.stop, one.frames) for one in found] == [(0.0, 0.04, range(1))]


def test_a_moment_between_looks_is_shown_the_nearest():
    times = sampled(4, fps=0.5)
    found = lay_moments(times, 4.0, question="now", every=0.25, window=0.25)
    assert [times[at] for at in found[3].frames] == [0.0]
    assert [times[at] for at in found[5].frames] == [2.0]


def value(path, scores, costs):
    changes = sum(cost for (a, b), cost in zip(itertools.pairwise(path), costs[1:], strict=True) if a != b)
    return sum(scores[at][one] for at, one in enumerate(path)) - changes


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 10_000))
def test_no_path_is_better(length, width, seed):
    random = np.random.default_rng(seed)
    scores, costs = random.random((length, width), dtype=np.float32), random.random(length).tolist()
    path = steady_path([scores[:2], scores[2:]], costs)
    best = max(value(other, scores, costs) for other in itertools.product(range(width), repeat=length))
    assert value(path, scores, costs) == pytest.approx(best)


def test_a_flicker_does_not_break_off():
    scores = np.array([[0.5, 0.4], [0.4, 0.45], [0.5, 0.4], [0.1, 0.6], [0.1, 0.6]], np.float32)
    assert steady_path([scores], [0.0] * 5) == [0, 1, 0, 1, 1]
    assert steady_path([scores], [0.1] * 5) == [0, 0, 0, 1, 1]
    assert steady_path([scores], [0.1, 0.0, 0.0, 0.05, 0.05]) == [0, 1, 0, 1, 1]
    assert steady_path([], []) == []


def test_a_gap_ends_a_run():
    assert runs_of([0, 0, 0, 1], lambda at: at != 2) == [
        CandidateRun(moments=range(0, 2), candidate=0),
        CandidateRun(moments=range(2, 3), candidate=0),
        CandidateRun(moments=range(3, 4), candidate=1),
    ]


def shortened(path, scores, least, follows=ALWAYS):
    rows = np.asarray(scores, np.float32)
    kept = merge_short(
        runs_of(path, follows),
        length=len,
        least=least,
        score=lambda some, candidate: rows[some.start : some.stop, candidate],
        follows=follows,
    )
    return [(run.moments.start, run.moments.stop, run.candidate) for run in kept]


def test_short_runs_are_parted_between_their_neighbours():
    scores = [[1, 0, 0]] * 3 + [[0.9, 1, 0.1], [0.1, 1, 0.9]] + [[0, 0, 1]] * 3
    assert shortened([0, 0, 0, 1, 1, 2, 2, 2], scores, 3) == [(0, 4, 0), (4, 8, 2)]


def test_a_short_run_between_equals_joins_them():
    scores = [[1, 0]] * 2 + [[0, 1]] + [[1, 0]] * 2
    assert shortened([0, 0, 1, 0, 0], scores, 2) == [(0, 5, 0)]


def test_at_the_ends_there_is_one_neighbour_and_alone_there_is_none():
    scores = [[1, 0]] + [[0, 1]] * 4
    assert shortened([0, 1, 1, 1, 1], scores, 2) == [(0, 5, 1)]
    assert shortened([0], [[1, 0]], 2) == [(0, 1, 0)]
    assert shortened([0, 1, 1], scores, 2, lambda at: at != 1) == [(0, 1, 0), (1, 3, 1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 1000))
def test_nothing_is_lost_and_nothing_short_is_left(path, least, seed):
    scores = np.random.default_rng(seed).random((len(path), 3))
    found = shortened(path, scores, least)
    assert [found[0][0], found[-1][1]] == [0, len(path)]
    assert all(one[1] == other[0] and one[2] != other[2] for one, other in itertools.pairwise(found))
    assert len(found) == 1 or all(stop - start >= least for start, stop, _ in found)


def test_a_cut_is_where_a_look_differs_as_different_shots_do():
    times, changes = sampled(5), np.array([0, 0.05, 0, 0.2, 0, 0.45, 0, 0, 0.9, 0], np.float32)
    assert find_cuts(times, changes, 0.8) == [2.5, 4.0]
    assert find_cuts(times, changes, 0.3) == [1.5, 2.5, 4.0]
    assert find_cuts(times, changes / 10, 0.03) == []  # nothing happens: what differs is noise


def test_moments_do_not_reach_beyond_a_cut():
    times = sampled(7)
    found = lay_moments(times, 7.0, question="now", every=1.0, window=3.0, cuts=[2.5, 5.0])
    assert [(one.start, one.stop, one.opens) for one in found] == [
        (0.0, 1.25, True), (1.25, 2.5, False),
        (2.5, 3.75, True), (3.75, 5.0, False),
        (5.0, 6.0, True), (6.0, 7.0, False),
    ]  # fmt: skip
    assert [[times[at] for at in one.frames][:: len(one.frames) - 1] for one in found[2:4]] == [[2.5, 4.5], [3.0, 4.5]]
    causal = lay_moments(times, 7.0, question="next", every=1.0, window=3.0, cuts=[2.5, 5.0])
    assert [one.start for one in causal] == [1, 2, 3, 4, 5, 6]
