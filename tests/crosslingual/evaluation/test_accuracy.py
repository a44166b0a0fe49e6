import numpy as np
import pytest

from crosslingual.arrays import ratio_interval
from crosslingual.evaluation.evaluate import Outcome, figures_of


def outcomes(count, right="a", said="a", group=("de", "")):
    return [Outcome(group, (right,), (said,), (right == said,), 0.5)] * count


def test_accuracy_stands_beside_majority_and_guessing():
    [figures] = figures_of([*outcomes(6), *outcomes(3, right="b")], seed=0, labelling=False)
    assert figures["accuracy"] == pytest.approx(6 / 9)
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]
    assert figures["majority"] == pytest.approx(6 / 9)
    assert figures["random"] == 0.5
    assert "macro_f1" not in figures


def test_each_language_and_kind_has_figures_of_its_own():
    groups = [("de", "verse"), ("de", "number"), ("fr", "verse")]
    mixed = [one for group in groups for one in outcomes(2, group=group)]
    assert [(f["language"], f["kind"], f["items"]) for f in figures_of(mixed, seed=0, labelling=False)] == [
        (*group, 2) for group in groups
    ]


def test_the_f1_of_tags_is_that_of_their_definition():
    # X: precision 2/3, recall 1, F1 0.8; Y: precision 1, recall 1/2, F1 2/3
    sentence = Outcome(("en", ""), ("X", "X", "Y", "Y"), ("X", "X", "X", "Y"), (True, True, False, True), 0.1)
    [figures] = figures_of([sentence], seed=0, labelling=True)
    assert figures["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert figures["weighted_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert figures["items"] == 4 and figures["accuracy"] == 0.75


def test_the_interval_is_that_of_the_binomial_and_wider_over_sentences():
    right = np.array([1, 0] * 200)
    low, high = ratio_interval(right, np.ones(400), seed=0)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.01)
    # sentences of ten words that are all right or all wrong say no more than one word each
    low, high = ratio_interval(right[:40] * 10, np.full(40, 10), seed=0)
    assert high - low > 0.25
