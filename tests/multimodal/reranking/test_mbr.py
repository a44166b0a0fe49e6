import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from multimodal.metrics.bleu_cider import CiderD
from multimodal.reranking.rerank import consensus, expected_utility

KNOWN = ["a dog runs", "a cat", "the dog sleeps in the sun", "a bus", ""]
UTILITY = CiderD([[text] for text in KNOWN])
CAPTIONS = st.lists(st.lists(st.sampled_from(["a", "dog", "cat", "sun", "犬"]), max_size=7).map(" ".join), max_size=6)


def one_by_one(utility: CiderD, texts: list[str]) -> np.ndarray:
    """Every pair by `_similarity`, the function behind the scores of pycocoevalcap."""
    vectors = [utility._vector(CiderD([[text]])._references[0][0]) for text in texts]
    pairs = itertools.product(vectors, vectors)
    return 10 * np.array([utility._similarity(*pair) for pair in pairs]).reshape(len(texts), len(texts))


@given(CAPTIONS)
def test_all_pairs_at_once_are_the_pairs_one_by_one(texts):
    assert UTILITY.pairwise(texts) == pytest.approx(one_by_one(UTILITY, texts))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_texts_have_values_from_nothing_to_ten(texts):
    values = CiderD([[text] for text in texts]).pairwise(texts)
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 10 + 1e-9)).all()
    assert 0 <= consensus(texts, UTILITY) < len(texts)


def test_pairs_are_the_values_of_each_with_the_other_as_reference():
    texts = ["a dog runs", "the dog runs in the sun", "a cat"]
    truths = CiderD([[text] for text in texts])
    for row, text in zip(truths.pairwise(texts), texts, strict=True):
        assert row == pytest.approx(truths.each([text] * len(texts)))


def test_repeated_words_are_clipped_by_hand():
    # With x the weight of `dog`: min(3x, x) x / (3x x) = 1/3 one way, min(x, 3x) 3x / (x 3x) = 1 the other. The lengths
    # differ by two bigrams.
    value = CiderD([["dog"], ["cat"]]).pairwise(["dog dog dog", "dog"])
    assert value[0, 1] == pytest.approx(10 / 4 / 3 * np.exp(-4 / 72))
    assert value[1, 0] == pytest.approx(10 / 4 * np.exp(-4 / 72))


def test_what_most_agree_with_is_chosen():
    assert consensus(["a bus", "the dog", "the dog sleeps", "dog sleeps"], UTILITY) == 2
    assert consensus(["a bus", "a cat", "a bus"], UTILITY) == 0


def test_a_rare_word_in_common_is_worth_more_than_a_frequent_one():
    assert consensus(["a cat", "a bird", "the sun", "sun sun"], UTILITY) == 2


def test_the_first_of_equals_is_chosen():
    assert consensus(["bus", "cat", "dog"], UTILITY) == 0
    assert consensus(["bus", "dog runs", "dog sleeps"], CiderD([["dog runs"], ["dog sleeps"], ["bus"]])) == 1
    assert consensus(["dog", "dog", "dog"], UTILITY) == 0
    assert consensus(["", ""], UTILITY) == 0


@pytest.mark.parametrize("texts", [["a dog"], [""]])
def test_a_single_candidate_is_chosen(texts):
    assert consensus(texts, UTILITY) == 0
    assert expected_utility(texts, UTILITY).tolist() == [0]


def test_an_expected_utility_by_hand():
    # single words in common are a quarter of ten; the empty text is like nothing
    assert expected_utility(["dog", "dog", ""], UTILITY).tolist() == [1.25, 1.25, 0]
    assert expected_utility(["dog", "dog", ""], UTILITY, weights=[1, 3, 1]).tolist() == [1.875, 1.25, 0]
    assert expected_utility(["dog", "dog", ""], UTILITY, weights=[1, 0, 0]).tolist() == [0, 2.5, 0]


def test_weights_decide_between_camps_on_any_scale():
    camps = ["dog runs", "dog runs", "a bus", "a bus"]
    for scale in (1e-300, 1.0, 1e300):
        assert consensus(camps, UTILITY, weights=[scale, scale, 3 * scale, 3 * scale]) == 2


@given(CAPTIONS.filter(bool), st.randoms())
def test_the_order_of_the_candidates_changes_the_choice_among_equals_only(texts, random):
    turned = random.sample(range(len(texts)), len(texts))
    straight, shuffled = expected_utility(texts, UTILITY), expected_utility([texts[at] for at in turned], UTILITY)
    assert straight[turned] == pytest.approx(shuffled)


@pytest.mark.parametrize(
    ("texts", "weights", "told"),
    [
        ([], None, "no candidate"),
        (["a", "b"], [1.0], "2 candidates but 1 weights"),
        (["a", "b"], [1.0, -1.0], "0 or more"),
        (["a", "b"], [0.0, 0.0], "not all of them 0"),
        (["a", "b"], [float("nan"), 1.0], "finite"),
    ],
)
def test_what_cannot_be_weighed_is_said(texts, weights, told):
    with pytest.raises(PolygraftError, match=told):
        consensus(texts, UTILITY, weights=weights)
