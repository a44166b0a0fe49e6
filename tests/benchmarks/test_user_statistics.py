"""Ratios, p-values and counterfactual captions over users: known answers, planted effects, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.captioning.figures import counterfactual, paired_p_value, ratio_interval, similarity
from multimodal.metrics.personalization import bootstrap

# Counterfactual captions


def test_a_similarity_by_hand():
    assert similarity("dog_face", "dog face") == 2 * 7 / 16
    assert similarity("Dog", "dog") == 2 * 2 / 6
    assert similarity("dog", ":dog:") == similarity(":dog:", "dog") == 2 * 3 / 8
    assert similarity(" a \n dog", "a dog") == similarity("", " ") == 1
    assert similarity("", "dog") == similarity("abc", "def") == 0


@given(st.text(), st.text())
def test_a_similarity_is_symmetrical_and_full_for_the_same(first, second):
    assert similarity(first, first) == 1
    assert 0 <= similarity(first, second) == similarity(second, first) <= 1


TRUTHS = {"1": {"ann": "DOG FACE", "bob": "dog_face", "eve": "dog_face"}, "2": {"ann": "SUN", "bob": ":sunny:"}}


def test_captions_in_the_voice_of_their_users_are_nearer_to_them():
    captions = {"1": {"ann": "CAT", "bob": "cat_face", "eve": "dog"}, "2": {"ann": "SUN FACE", "bob": "sunny"}}
    found = counterfactual(captions, TRUTHS)
    assert found == {"ann": [1, 1, 1], "bob": [1, 1], "eve": [1]}  # bob and eve wrote the same: no pair


def test_captions_of_the_other_user_are_nearer_to_the_other():
    captions = {"1": {"ann": "dog_face", "bob": "DOG FACE", "eve": "xyz"}, "2": {"ann": ":sunny:", "bob": "SUN"}}
    assert counterfactual(captions, TRUTHS) == {"ann": [0, 0, 0], "bob": [0, 0], "eve": [0.5]}


WRITERS = st.fixed_dictionaries({user: st.text(max_size=8) for user in "abc"})


def differ(truths: dict[str, str]) -> bool:
    return len({" ".join(text.split()) for text in truths.values()}) > 1


@given(WRITERS.filter(differ), st.text(max_size=8))
def test_one_caption_for_all_is_at_chance_whatever_it_says(truths, caption):
    found = counterfactual({"1": dict.fromkeys(truths, caption)}, {"1": truths})
    assert bootstrap(found).mean == 0.5


@given(WRITERS)
def test_true_captions_are_never_nearer_to_another(truths):
    if differ(truths):
        assert bootstrap(counterfactual({"1": truths}, {"1": truths})) == (1, 1, 1)


# Ratios and p-values over users


def values(users: int, images: int, mean: float, *, seed: int = 0) -> dict[str, list[float]]:
    """Normal values around the mean of each user, which differs from user to user as one value from the next."""
    generator = np.random.default_rng(seed)
    means = generator.normal(mean, 1, size=users)
    return {str(user): generator.normal(means[user], 1, size=images).tolist() for user in range(users)}


def test_twice_as_much_everywhere_is_a_ratio_of_two():
    baseline = {"a": [1.0, 3.0], "b": [2.0], "c": []}
    doubled = {user: [2 * value for value in of_user] for user, of_user in baseline.items()}
    assert ratio_interval(doubled, baseline) == (2, 2, 2)


def test_the_ratio_is_of_the_means_and_not_the_mean_of_ratios():
    found = ratio_interval({"a": [4.0], "b": [2.0, 0.0]}, {"a": [1.0], "b": [2.0, 1.0]})
    assert found == (6 / 4, 2 / 3, 4)  # either user alone is drawn in half the samples


def test_a_ratio_covers_the_planted_one_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        level = generator.gamma(4, size=60)
        baseline = {str(user): generator.gamma(level[user], size=5).tolist() for user in range(60)}
        ours = {str(user): (1.5 * generator.gamma(level[user], size=5)).tolist() for user in range(60)}
        _, low, high = ratio_interval(ours, baseline, samples=400)
        covered += low <= 1.5 <= high
    assert 180 <= covered <= 199


def test_a_ratio_with_draws_of_no_baseline_stays_a_number_or_infinite():
    found = ratio_interval({"a": [1.0], "b": [1.0], "c": [0.0]}, {"a": [1.0], "b": [0.0], "c": [0.0]})
    assert found.mean == 2 and found.low >= 1 and found.high == np.inf


def test_a_planted_difference_is_found():
    assert paired_p_value(values(60, 5, 1.0)) == 1 / 2001
    assert paired_p_value(values(60, 5, -1.0)) > 0.99


def test_without_a_difference_p_is_nearly_uniform():
    found = [paired_p_value(values(60, 5, 0.0, seed=seed), samples=400) for seed in range(300)]
    shares = [np.mean(np.array(found) <= level) for level in (0.05, 0.25, 0.5, 0.75)]
    assert shares == pytest.approx([0.05, 0.25, 0.5, 0.75], abs=0.08)
    assert shares[0] < 0.1


def test_many_images_of_few_users_are_no_more_evidence_than_the_users():
    three = {str(user): [value] * 1000 for user, value in enumerate([1.0, 1.0, -1.0])}
    assert paired_p_value(three) > 0.2


def test_no_difference_at_all_is_no_evidence():
    assert paired_p_value({"a": [0.0], "b": [0.0, 0.0], "c": []}) == 1


def test_the_seed_decides_and_the_order_of_the_users_does_not():
    differences = values(20, 3, 0.2)
    turned = dict(reversed(differences.items()))
    assert paired_p_value(differences, seed=1) == paired_p_value(turned, seed=1)
    assert len({paired_p_value(differences, seed=seed) for seed in range(5)}) > 1
