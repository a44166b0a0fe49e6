from collections import defaultdict
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma

from crosslingual.alignment import align_words

NONE = -1


def prior(i, j, n, m, tension, null):
    """p(source place i | target place j), places from 0 on; equation 1 and 2 of Dyer et al."""

    def weight(k):
        return exp(-tension * abs((k + 1) / n - (j + 1) / m))

    return (1 - null) * weight(i) / sum(weight(k) for k in range(n))


def textbook(source, target, iterations, alpha, tension, null=0.08):
    """EM as one reads it, without a fitted tension: {(source, target): count}."""
    table = defaultdict(lambda: 1.0)
    for iteration in range(iterations):
        counts = defaultdict(float)
        for x, y in zip(source, target, strict=True):
            for j, word in enumerate(y):
                scores = {(NONE, None): null * table[NONE, word]}
                for i, other in enumerate(x):
                    scores[other, i] = prior(i, j, len(x), len(y), tension, null) * table[other, word]
                for (other, _), score in scores.items():
                    counts[other, word] += score / sum(scores.values())
        if iteration == iterations - 1:
            return counts
        totals = defaultdict(float)
        for (other, _), count in counts.items():
            totals[other] += count + alpha
        table = defaultdict(
            lambda: 1.0,
            {
                (other, word): exp(digamma(count + alpha) - digamma(totals[other])) if alpha else count / totals[other]
                for (other, word), count in counts.items()
            },
        )
    return None


CORPUS = st.lists(
    st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.lists(st.integers(0, 4), min_size=1, max_size=5)),
    min_size=1,
    max_size=6,
)


@given(CORPUS, st.sampled_from([0.0, 0.01]), st.sampled_from([0.0, 4.0]), st.integers(1, 4))
def test_counts_are_those_of_the_textbook(corpus, alpha, tension, iterations):
    source, target = zip(*corpus, strict=True)
    found = align_words(source, target, iterations=iterations, alpha=alpha, tension=tension, fit_tension=False)
    counts = textbook(source, target, iterations, alpha, tension)
    pairs = list(zip(found.source.tolist(), found.target.tolist(), strict=True))
    assert set(pairs) == {pair for pair in counts if pair[0] != NONE} and len(set(pairs)) == len(pairs)
    assert found.counts == pytest.approx([counts[pair] for pair in pairs], abs=1e-9)


def planted(sentences, words, seed=0, noise=1.0):
    """Sentences and their translation word for word, words moved a little."""
    generator = np.random.default_rng(seed)
    lexicon = generator.permutation(words)
    source = [generator.integers(0, words, generator.integers(3, 12)) for _ in range(sentences)]
    order = [np.argsort(np.arange(len(x)) + generator.normal(0, noise, len(x))) for x in source]
    return source, [lexicon[x][place] for x, place in zip(source, order, strict=True)], lexicon


def test_a_planted_lexicon_is_found():
    source, target, lexicon = planted(600, 200)
    found = align_words(source, target)
    best = {}
    for x, y, count in zip(found.source.tolist(), found.target.tolist(), found.counts.tolist(), strict=True):
        best[x] = max(best.get(x, (0.0, -1)), (count, y))
    assert [best[x][1] for x in range(200)] == lexicon.tolist()
    truth = lexicon[found.source] == found.target
    assert found.counts[truth].sum() > 0.9 * sum(map(len, target))


def test_the_tension_follows_the_order_of_the_words():
    straight, shuffled = (align_words(*planted(400, 300, noise=noise)[:2]) for noise in (0.3, 30.0))
    assert straight.tension > 8 and shuffled.tension < 2
    assert align_words(*planted(20, 30)[:2], tension=5.0, fit_tension=False).tension == 5.0


def test_a_word_that_translates_none_goes_to_none():
    # 99 stands in every target sentence, and no source word goes with it
    source, target, _ = planted(300, 60)
    with_filler = [np.insert(y, len(y) // 2, 99) for y in target]

    def mass(null):
        found = align_words(source, with_filler, null=null)
        return found.counts[found.target == 99].sum() / 300

    assert mass(0.08) < 0.4 < 0.9 < mass(1e-9)


def test_sentences_without_words_or_with_too_many_are_skipped():
    source, target, _ = planted(50, 20)
    found = align_words([[], *source, [1] * 300], [[1], *target, [2]])
    plain = align_words(source, target)
    assert np.array_equal(found.counts, plain.counts)


def test_no_sentence_gives_no_pair():
    found = align_words([], [])
    assert len(found.counts) == 0
