import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosslingual.vocabulary_transfer.knn import nearest, softmax, sparsemax


def points(count, width, seed):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def slowly(target, source, count, target_starts, source_starts, allowed):
    """All cosines in float64, sorted by them, by the flag, by the number."""
    x, y = target.astype(np.float64), source.astype(np.float64)
    lengths = [np.where(norm > 0, norm, 1) for norm in (np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))]
    cosines = (y @ x.T).T / (lengths[0][:, None] * lengths[1])
    ids = np.array(
        [
            sorted(
                np.flatnonzero(allowed),
                # rounded, since sums of the same numbers in another order differ in the last place
                key=lambda number: (-round(row[number], 12), source_starts[number] != starts, number),
            )[:count]
            for row, starts in zip(cosines, target_starts, strict=True)
        ]
    )
    return ids, np.take_along_axis(cosines, ids, axis=1)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def rough(request, monkeypatch):
    """Let rough cosines be of either kind, whatever the processor multiplies quickly."""
    monkeypatch.setattr("crosslingual.vocabulary_transfer.knn._quickest", lambda: request.param)


@pytest.mark.usefixtures("rough")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 40), st.integers(1, 90), st.integers(1, 12), st.integers(0, 4), st.integers(0, 10_000),
)  # fmt: skip
def test_neighbours_are_those_of_the_slow_reference_ties_included(n, m, count, repeats, seed):
    generator = np.random.default_rng(seed)
    target, source = points(n, 5, seed), points(m, 5, seed + 1)
    source[generator.integers(0, m, repeats * 5)] = source[generator.integers(0, m)]
    target[generator.integers(0, n, repeats)] = source[0]
    source[generator.integers(0, m, repeats)] = 0
    flags = generator.random(n) < 0.5, generator.random(m) < 0.5
    allowed = generator.random(m) < 0.9
    allowed[0] = True
    found = nearest(target, source, count, target_starts=flags[0], source_starts=flags[1], allowed=allowed)
    ids, similarities = slowly(target, source, min(count, allowed.sum()), *flags, allowed)
    assert found.ids.tolist() == ids.tolist()
    assert np.abs(found.similarities - similarities).max() < 1e-12


@pytest.mark.usefixtures("rough")
def test_near_ties_come_out_as_in_float64():
    # 200 directions that differ by less than float32 can tell
    base = points(1, 8, 0)
    source = np.repeat(base, 200, axis=0)
    source[:, 1] += np.linspace(0, 1e-4, 200, dtype=np.float32)
    yes = np.ones(200, dtype=bool)
    found = nearest(base, source, 5, target_starts=yes[:1], source_starts=yes, allowed=yes)
    assert found.ids.tolist() == slowly(base, source, 5, yes[:1], yes, yes)[0].tolist()


@pytest.mark.usefixtures("rough")
def test_neighbours_that_rounding_leaves_out_are_found():
    # 300 sources a little farther in bfloat16's eyes than they are, and as many a little nearer
    generator = np.random.default_rng(0)
    target = generator.normal(size=(1, 64)).astype(np.float32)
    source = target + 0.02 * generator.normal(size=(600, 64)).astype(np.float32)
    yes = np.ones(600, dtype=bool)
    found = nearest(target, source, 10, target_starts=yes[:1], source_starts=yes, allowed=yes)
    assert found.ids.tolist() == slowly(target, source, 10, yes[:1], yes, yes)[0].tolist()


@pytest.mark.usefixtures("rough")
def test_the_number_of_threads_changes_nothing():
    target, source, yes = points(600, 20, 1), points(700, 20, 2), np.ones(700, dtype=bool)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(nearest(target, source, 7, target_starts=yes[:600], source_starts=yes, allowed=yes))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0].ids, found[1].ids)
    assert np.array_equal(found[0].similarities, found[1].similarities)


def test_softmax_is_safe_at_any_temperature():
    similarities = np.array([[0.9, 0.8, -1.0], [0.5, 0.5, 0.5]])
    assert softmax(similarities, 1e-6)[0].tolist() == [1, 0, 0]
    assert softmax(similarities, 1e-300)[1] == pytest.approx([1 / 3] * 3)
    plain = np.exp(similarities / 0.1)
    assert softmax(similarities, 0.1) == pytest.approx(plain / plain.sum(axis=1, keepdims=True), rel=1e-12)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=12))
def test_sparsemax_is_the_nearest_point_of_the_simplex(scores):
    weights = sparsemax(np.array([scores]))[0]
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1)
    # the conditions of optimality: what has weight lies equally far above, what has none not above
    gaps = np.array(scores) - weights
    level = gaps[weights > 0].max()
    assert gaps[weights > 0] == pytest.approx(level, abs=1e-9) and (gaps[weights == 0] <= level + 1e-9).all()
