"""How the weights of the choice are learned: a planted rule is found again, and no post helps to choose for itself."""

from pathlib import Path

import numpy as np

from backbone.feature_cache import FeatureCache
from benchmarks.captioning.choice import (
    Choices,
    _lending,
    choices,
    learned_choice,
)
from multimodal.reranking.rerank import NAMES
from starter_build.datasets.post_sets import Authors, _encoded
from starter_build.datasets.voice_posts import voice_of
from tests.benchmarks.test_personal import tiny_posts
from tests.multimodal.tiny_captioner import tiny_captioner


def planted(count=200, seed=0, rule="similarity"):
    """Return choices among five captions of which that with the greatest ``rule`` is right."""
    random = np.random.default_rng(seed)
    evidence = random.random((count, 5, len(NAMES)))
    best = evidence[..., NAMES.index(rule)].argmax(axis=1)
    return Choices(
        evidence=evidence,
        gains=np.eye(5)[best] * 10,
        real=np.ones((count, 5), dtype=bool),
        concepts=np.array([f"thing {at % 20}" for at in range(count)], dtype=object),
    )


def test_nothing_of_a_posts_own_concept_is_to_be_chosen(tmp_path: Path):
    posts = tiny_posts(tmp_path)  # of the images n and n + 8 a user wrote the same
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    found = {}
    for name, concept in {"each": lambda at: at, "pairs": lambda at: at % 8}.items():
        concepts = {post.id: str(concept(int(post.id.rpartition("/")[2]))) for post in posts}
        found[name] = choices(Authors(data=_encoded("authors", posts, concepts, cache)), None)
    assert found["each"].gains.max() > 2 * found["pairs"].gains.max()


def test_posts_are_drawn_and_pasts_shortened(tmp_path: Path):
    posts = tiny_posts(tmp_path)
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    bench = Authors(data=_encoded("authors", posts, {post.id: post.id for post in posts}, cache))
    whole, few = choices(bench, None), choices(bench, 1, posts=5)
    assert (len(whole.real), len(few.real)) == (24, 5)


def test_a_voice_can_be_lent_nothing_by_its_own_users(tmp_path: Path):
    posts = tiny_posts(tmp_path)
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    bench = Authors(data=_encoded("authors", posts, {post.id: post.id for post in posts}, cache))
    data, told = bench.data.splits["train"], bench.data.past
    assert len({voice_of(user) for user in told}) > 1
    for alone in (False, True):
        lending = list(_lending(bench, data, alone=alone))
        assert sorted(row for _, rows in lending for row in rows) == list(range(len(data.posts)))
        for community, rows in lending:
            voices = {voice_of(data.posts[row].user) for row in rows}
            assert voices.isdisjoint(map(voice_of, community.users)) == alone


def test_the_ways_to_choose_are_compared_for_each_length_of_the_past(tmp_path: Path):
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    posts = tiny_posts(tmp_path)
    bench = Authors(data=_encoded("authors", posts, {post.id: post.id.rpartition("/")[2] for post in posts}, cache))
    tables, weights = learned_choice(bench)
    assert list(tables) == [(past, alone) for past in (None, 30, 3) for alone in (False, True)]
    assert set(weights) == set(NAMES) - {"drawn", "made"}
    for rows in tables.values():
        assert list(rows) == ["nearest own", "votes", "learned"]
        assert all(0 <= value <= 10 for row in rows.values() for value in row.values())
