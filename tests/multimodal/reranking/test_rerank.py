"""The MBR winner of sampled and past captions: known answers, a slow reference, and no vote for oneself."""

import itertools
from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal.metrics.bleu_cider import CiderD
from multimodal.profile.profile import NOBODY, Context, PastCaption
from multimodal.reranking.rerank import choose, compared_form, mean_similarity, rerank, similarities, utility_of

KNOWN = ("#cat #pet", "#dog #pet", "#car #road", "#sun #sky", "a house")
UTILITY = CiderD([[text] for text in ["a dog runs", "a cat", "the dog sleeps in the sun", "a bus", ""]])
CAPTIONS = st.lists(st.lists(st.sampled_from(["a", "dog", "cat", "sun", "犬"]), max_size=7).map(" ".join), max_size=6)


def shown(*posts: tuple[str, float]) -> Context:
    return Context(voters=tuple(PastCaption(text, cosine, worth=cosine) for text, cosine in posts), known=True)


def borrowing(*posts: tuple[str, float, float]) -> Context:
    """Return a user of no own past captions, with borrowed ones: text, similarity, worth."""
    return Context(voters=tuple(PastCaption(*post) for post in posts), known=True)


# Similarity of all pairs


def one_by_one(utility: CiderD, texts: list[str]) -> np.ndarray:
    """Every pair by `_similarity`, the function behind the scores of pycocoevalcap."""
    vectors = [utility._vector(CiderD([[text]])._references[0][0]) for text in texts]
    pairs = itertools.product(vectors, vectors)
    return 10 * np.array([utility._similarity(*pair) for pair in pairs]).reshape(len(texts), len(texts))


@given(CAPTIONS)
def test_all_pairs_at_once_are_the_pairs_one_by_one(texts):
    assert UTILITY.pairwise(texts) == pytest.approx(one_by_one(UTILITY, texts))
    assert similarities(texts, UTILITY) == pytest.approx(one_by_one(UTILITY, texts))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_texts_have_values_from_nothing_to_ten(texts):
    values = CiderD([[text] for text in texts]).pairwise(texts)
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 10 + 1e-9)).all()


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


def test_a_mean_similarity_by_hand():
    # single words in common are a quarter of ten; the empty text is like nothing
    similar = similarities(["dog", "dog", ""], UTILITY)
    for weights, expected in {(1, 1, 1): [1.25, 1.25, 0], (1, 3, 1): [1.875, 1.25, 0], (1, 0, 0): [0, 2.5, 0]}.items():
        assert mean_similarity(similar, np.array(weights, dtype=float)).tolist() == expected


# The choice


def plain_choice(drawn, past, known):
    """Return the choice by one pair at a time: agreement with samples, and twice that with past captions."""
    utility, texts = utility_of(tuple(known)), [compared_form(text) for text in (*drawn, *(text for text, *_ in past))]
    best = max((worth for *_, worth in past), default=0.0)
    weights = [(1.0, 0.0)] * len(drawn) + [(0.0, exp(5 * (worth - best))) for *_, worth in past]
    scores = []
    for at, text in enumerate(texts):
        score = 0.0
        for kind, factor in ((0, 1.0), (1, 2.0)):
            others = [(other, weights[number][kind]) for number, other in enumerate(texts) if number != at]
            total = sum(weight for _, weight in others)
            gained = sum(weight * utility.pairwise([text, other])[0, 1] for other, weight in others if weight)
            score += factor * gained / total if total else 0.0
        scores.append(score)
    return scores


WORDS = st.lists(st.sampled_from(["#cat", "#dog", "#pet", "a", "house"]), max_size=4).map(" ".join)
WORTH = st.floats(min_value=-1, max_value=1).map(lambda value: round(value, 3))


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(st.tuples(WORDS, st.just(0.5), WORTH), max_size=4))
def test_the_choice_is_that_of_plain_loops(drawn, past):
    scores = plain_choice(drawn, past, KNOWN)
    chosen = choose(drawn, borrowing(*past), KNOWN)
    assert scores[chosen] == pytest.approx(max(scores), abs=1e-8)


def test_the_caption_that_others_resemble_is_chosen():
    drawn = ["#sun #sky", "#cat #pet", "#cat #dog"]
    assert choose(drawn, NOBODY, KNOWN) == 1
    assert choose(["a bus", "the dog", "the dog sleeps", "dog sleeps"], NOBODY) == 2


def test_a_rare_word_in_common_is_worth_more_than_a_frequent_one():
    assert choose(["a cat", "a bird", "the sun", "sun sun"], NOBODY, ["a dog", "a cat", "a bus", "the sun"]) == 2


def test_the_first_of_equals_is_chosen():
    for drawn in (["bus", "cat", "dog"], ["dog", "dog", "dog"], ["", ""], ["a dog"], [""]):
        assert choose(drawn, NOBODY, KNOWN) == 0


def test_past_captions_vote_and_can_be_chosen():
    assert choose(["#sun #sky", "#car #road"], shown(("#car #road #town", 0.9)), KNOWN) == 1
    past = shown(("#cat #pet", 0.9), ("#cat #pet #dog", 0.9))
    assert choose(["#sun", "a house"], past, KNOWN) >= 2
    assert rerank(["#sun", "a house"], past, KNOWN) in {one.text for one in past.voters}
    assert rerank(["#sun #sky", "#cat #pet", "#cat #dog"], NOBODY, KNOWN) == "#cat #pet"


def test_a_past_caption_that_nothing_agrees_with_is_not_repeated():
    drawn = ["#cat #dog", "#cat #pet", "#cat #pet #dog"]
    assert choose(drawn, shown(("#car #road #town", 0.9)), KNOWN) < 3


def test_texts_without_images_say_nothing_of_the_image():
    drawn = ["#sun #sky", "#cat #pet", "#cat #dog"]
    assert choose(drawn, shown(*((text, 0.0) for text in ("#car #road", "#car #road #town"))), KNOWN) == 1


@pytest.mark.parametrize("first", [True, False])
def test_the_more_similar_image_and_the_more_trusted_author_have_more_votes(first):
    # samples that agree with nothing but one past caption each
    texts = ("#cat #pet", "#car #road")
    near, far = texts if first else texts[::-1]
    past = shown((near, 0.9), (near, 0.9), (far, 0.4), (far, 0.4))
    assert rerank(["#cat", "#car"], past, KNOWN) == near
    trusted = replace(past, voters=tuple(PastCaption(one.text, 0.8, one.worth) for one in past.voters))
    assert rerank(["#cat", "#car"], trusted, KNOWN) == near


def test_shortcodes_and_case_are_compared_word_by_word():
    assert choose([":sun_sky:", ":BIG_CAT:", ":cat_big:"], NOBODY, ["big cat", "sun", "sky"]) in (1, 2)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.lists(st.text(max_size=20), max_size=3))
def test_any_text_is_chosen_from(drawn: list[str], past: list[str]):
    assert 0 <= choose(drawn, shown(*((text, 0.5) for text in past))) < len(drawn) + len(past)
