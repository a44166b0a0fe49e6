import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from multimodal.metrics.personalization import (
    bootstrap,
    copy_rate,
    diversity,
    identification,
)

# Identification


def test_the_likeliest_user_is_right_and_a_tie_is_wrong():
    scores = np.array([[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0], [-2.0, -2.0, -3.0], [-np.inf, -np.inf, -np.inf]])
    found = identification(scores, [0, 1, 0, 0])
    assert found == [True, False, False, False]


def test_scores_that_know_nothing_are_at_chance():
    generator = np.random.default_rng(0)
    found = identification(generator.normal(size=(4000, 10)), generator.integers(10, size=4000).tolist())
    assert np.mean(found) == pytest.approx(1 / 10, abs=0.015)


def test_the_right_captions_can_be_drawn_by_user():
    found = identification(np.eye(4) - 1, [0, 1, 2, 0])
    assert bootstrap({"a": found[:2], "b": found[2:]}).mean == 3 / 4


@pytest.mark.parametrize(
    ("scores", "truth", "told"),
    [
        (np.zeros((0, 3)), [], "want"),
        (np.zeros((2, 0)), [0, 0], "want"),
        (np.zeros(2), [0, 0], "want"),
        (np.zeros((2, 3)), [0], "1 true users"),
        (np.zeros((1, 3)), [3], "not in 0..2"),
        (np.zeros((1, 3)), [-1], "not in 0..2"),
        (np.full((1, 3), np.nan), [0], "not a number"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, truth, told):
    with pytest.raises(PolygraftError, match=told):
        identification(scores, truth)


# Copies


def test_copies_by_hand():
    rates = copy_rate(["my red dog", "a cat"], [["my red bus", "dog"], []], ["a cat", "my red dog runs"])
    own = {"own_1": 3 / 5, "own_2": 1 / 3, "own_3": 0, "own_4": 0, "own_whole": 0}
    assert rates == own | {f"training_{order}": float(order < 4) for order in (1, 2, 3, 4)} | {
        "training_whole": 1 / 2  # "my red dog" is only part of one
    }


def test_each_caption_is_held_against_its_own_history():
    assert copy_rate(["a dog", "a dog"], [["a dog"], ["a cat"]], [])["own_whole"] == 1 / 2
    assert copy_rate(["a dog"], [["a Dog"]], [])["own_1"] == 1 / 2


def test_nothing_is_copied_into_nothing():
    assert set(copy_rate([], [], ["a"]).values()) == set(copy_rate(["", " "], [[""], []], [""]).values()) == {0}
    with pytest.raises(PolygraftError, match="1 captions but 2 histories"):
        copy_rate(["a"], [[], []], [])


@given(st.lists(st.text(max_size=20), max_size=4))
def test_shares_are_shares_and_what_is_in_the_history_is_copied(texts):
    rates = copy_rate(texts, [texts] * len(texts), [])
    assert {value for name, value in rates.items() if name.startswith("own")} <= {0, 1}
    assert rates["own_1"] == rates["own_whole"] == float(any(text.split() for text in texts))


def test_diversity_is_of_words_and_of_pairs():
    assert diversity(["a dog", "a dog"]) == {"distinct_1": 1 / 2, "distinct_2": 1 / 2}
    assert diversity(["a dog", "a cat"]) == {"distinct_1": 3 / 4, "distinct_2": 1}
