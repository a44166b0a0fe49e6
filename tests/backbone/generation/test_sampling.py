from collections import Counter
from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache, TopKLogitsWarper, TopPLogitsWarper

from backbone.errors import PolygraftError
from backbone.generation.beam_search import beam_search
from backbone.generation.config import Decoding
from backbone.generation.kv_cache import Sequences
from backbone.generation.logits_processors import constrain, narrow
from tests.backbone.tiny import tiny_backbone

METHODS = {
    "greedy": Decoding(max_tokens=12),
    "greedy with constraints": Decoding(max_tokens=12, min_tokens=4, no_repeat_ngram=2, repetition_penalty=1.3),
    "sampling": Decoding(max_tokens=12, temperature=0.9, num_return=2, seed=4),
    "nucleus": Decoding(max_tokens=12, temperature=0.9, top_k=40, top_p=0.8),
    "beam": Decoding(max_tokens=12, beams=4, num_return=3),
    "beam with constraints": Decoding(max_tokens=12, beams=3, length_penalty=0.4, min_tokens=3, no_repeat_ngram=2),
    "contrastive": Decoding(max_tokens=12, contrastive=0.6, candidates=5),
}
every_method = pytest.mark.parametrize("decoding", METHODS.values(), ids=METHODS.keys())


@pytest.fixture(scope="module")
def backbone():
    """A backbone whose end-of-text token is one that it often takes, so that texts end at all lengths."""
    made = tiny_backbone()
    made.eos_id = 30
    return made


@pytest.fixture(scope="module")
def prefix():
    return torch.randn(6, 5, 32, generator=torch.Generator().manual_seed(7))


def ids_of(results):
    return [[list(one.ids) for one in row] for row in results]


def scores_of(results):
    return torch.tensor([one.score for row in results for one in row])


def next_logits(backbone, prefix, ids):
    """The slow way: one row, no cache, the whole model."""
    embeds = torch.cat([prefix[None], backbone.embed(torch.tensor([ids], dtype=torch.int64))], dim=1)
    return backbone.model(inputs_embeds=embeds, use_cache=False).logits[0, -1]


def greedy_reference(backbone, prefix, limit):
    ids = []
    while len(ids) < limit:
        token = int(next_logits(backbone, prefix, ids).argmax())
        if token == backbone.eos_id:
            break
        ids.append(token)
    return ids


def test_greedy_equals_the_obvious_loop(backbone, prefix):
    expected = [[greedy_reference(backbone, row, 20)] for row in prefix]
    found = ids_of(backbone.generate(prefix, Decoding(max_tokens=20)))
    assert found == expected
    assert {len(row[0]) < 20 for row in found} == {True, False}


@every_method
def test_a_batch_gives_what_each_row_gives_alone(backbone, prefix, decoding):
    together = backbone.generate(prefix, decoding)
    alone = [backbone.generate(row[None], decoding)[0] for row in prefix]
    assert ids_of(together) == ids_of(alone)
    torch.testing.assert_close(scores_of(together), scores_of(alone))


@every_method
def test_cached_equals_uncached(backbone, prefix, decoding):
    cached, uncached = (backbone.generate(prefix, replace(decoding, cache=cache)) for cache in (True, False))
    assert ids_of(cached) == ids_of(uncached)
    torch.testing.assert_close(scores_of(cached), scores_of(uncached))


@every_method
@pytest.mark.parametrize("side", ["left", "right", "between"])
def test_padded_prefixes_give_what_unpadded_ones_give(backbone, prefix, decoding, side):
    lengths = [5, 3, 1]
    rows = [prefix[i, :length] for i, length in enumerate(lengths)]
    places = {"left": lambda n: range(6 - n, 6), "right": range, "between": lambda n: [0, 2, 3, 4, 5][:n]}[side]
    padded, mask = torch.full((3, 6, 32), 9.0), torch.zeros(3, 6, dtype=torch.bool)
    for i, row in enumerate(rows):
        padded[i, list(places(len(row)))] = row
        mask[i, list(places(len(row)))] = True
    found = backbone.generate(padded, decoding, prefix_mask=mask)
    assert ids_of(found) == ids_of([backbone.generate(row[None], decoding)[0] for row in rows])


@pytest.mark.parametrize("beams", [2, 5])
@pytest.mark.parametrize("penalty", [1.0, 0.0, 2.0, -1.0])
def test_beams_equal_those_of_transformers(backbone, prefix, beams, penalty):
    found = backbone.generate(prefix, Decoding(beams=beams, num_return=beams, length_penalty=penalty, max_tokens=10))
    assert ids_of(found) == transformers_beams(backbone, prefix, beams, length_penalty=penalty)


@pytest.mark.filterwarnings("ignore:Passing `")
def test_beams_with_constraints_equal_those_of_transformers(backbone, prefix):
    constraints = {"repetition_penalty": 1.4}
    decoding = Decoding(beams=3, num_return=3, max_tokens=10, min_tokens=3, no_repeat_ngram=2, **constraints)
    theirs = {"min_new_tokens": 3, "no_repeat_ngram_size": 2, **constraints}
    assert ids_of(backbone.generate(prefix, decoding)) == transformers_beams(backbone, prefix, 3, **theirs)


def transformers_beams(backbone, prefix, beams, **options):
    found = backbone.model.generate(
        inputs_embeds=prefix,
        attention_mask=torch.ones(prefix.shape[:2], dtype=torch.int64),
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=10,
        do_sample=False,
        eos_token_id=backbone.eos_id,
        pad_token_id=backbone.eos_id,
        **options,
    )
    ends = [[*row, backbone.eos_id].index(backbone.eos_id) for row in found.tolist()]
    texts = [row[:end] for row, end in zip(found.tolist(), ends, strict=True)]
    return [texts[start : start + beams] for start in range(0, len(texts), beams)]


def test_one_beam_is_greedy(backbone, prefix):
    decoding = Decoding(max_tokens=20)
    found = beam_search(Sequences(backbone, prefix, None, cache=True), decoding)
    assert ids_of(found) == ids_of(backbone.generate(prefix, decoding))


@pytest.mark.parametrize("near_greedy", [{"contrastive": 0.0}, {"temperature": 1e-4}, {"temperature": 1.0, "top_k": 1}])
def test_the_limits_of_other_methods_are_greedy(backbone, prefix, near_greedy):
    greedy = backbone.generate(prefix, Decoding())
    assert ids_of(backbone.generate(prefix, Decoding(**near_greedy))) == ids_of(greedy)


@pytest.mark.parametrize("alpha", [0.3, 0.6, 1.0])
def test_contrastive_search_equals_equation_5_taken_literally(backbone, prefix, alpha):
    found = backbone.generate(prefix[:3], Decoding(contrastive=alpha, candidates=4, max_tokens=8))
    assert ids_of(found) == [[contrastive_reference(backbone, row, alpha, 4, 8)] for row in prefix[:3]]


def contrastive_reference(backbone, prefix, alpha, candidates, limit):
    ids: list[int] = []
    while len(ids) < limit:
        values, tokens = next_logits(backbone, prefix, ids).softmax(-1).topk(candidates)
        worth = []
        for probability, token in zip(values, tokens.tolist(), strict=True):
            embeds = torch.cat([prefix[None], backbone.embed(torch.tensor([[*ids, token]]))], dim=1)
            *context, last = backbone.hidden(embeds)[0, len(prefix) :]
            similarities = [torch.cosine_similarity(last, earlier, dim=0) for earlier in context]
            worth.append((1 - alpha) * probability - alpha * max(similarities, default=0))
        token = int(tokens[torch.stack(worth).argmax()])
        if token == backbone.eos_id:
            break
        ids.append(token)
    return ids


def test_contrastive_search_repeats_less_than_greedy(backbone, prefix):
    def repeats(decoding):
        return sum(len(one.ids) - len(set(one.ids)) for row in backbone.generate(prefix, decoding) for one in row)

    assert repeats(Decoding(contrastive=0.8, candidates=8)) < repeats(Decoding())


def test_the_score_is_the_mean_log_probability_of_the_text_and_its_end(backbone, prefix):
    for options in ({}, {"temperature": 0.7}, {"beams": 3}, {"contrastive": 0.5}, {"repetition_penalty": 1.5}):
        (found,) = backbone.generate(prefix[:1], Decoding(max_tokens=9, **options))[0]
        ids = list(found.ids) if len(found.ids) == 9 else [*found.ids, backbone.eos_id]
        steps = [next_logits(backbone, prefix[0], ids[:t]).log_softmax(-1)[ids[t]] for t in range(len(ids))]
        assert found.score == pytest.approx(float(torch.stack(steps).mean()), abs=1e-4)


def test_beams_come_best_first(backbone, prefix):
    for row in backbone.generate(prefix, Decoding(beams=5, num_return=5)):
        scores = [one.score for one in row]
        assert scores == sorted(scores, reverse=True)


@every_method
def test_length_limits_are_kept_by_every_method(backbone, prefix, decoding):
    bounds = {"min_tokens": 6, "max_tokens": 8}
    lengths = {len(one.ids) for row in backbone.generate(prefix, replace(decoding, **bounds)) for one in row}
    # the end-of-text token is one of the tokens counted, and no part of ids
    assert lengths <= {6, 7, 8}


@every_method
def test_no_ngram_comes_twice(backbone, prefix, decoding):
    for row in backbone.generate(prefix, replace(decoding, no_repeat_ngram=2, min_tokens=0, max_tokens=20)):
        for one in row:
            pairs = list(zip(one.ids, one.ids[1:], strict=False))
            assert len(pairs) == len(set(pairs))


def test_a_text_may_be_empty(backbone, prefix):
    decoding = Decoding(temperature=1.0, num_return=200, max_tokens=3)
    empty = [one for one in backbone.generate(prefix[:1], decoding)[0] if not one.ids]
    assert empty
    assert empty[0].text == ""
    assert empty[0].score < 0


def test_no_rows_give_no_texts_and_no_positions_an_error(backbone, prefix):
    assert backbone.generate(prefix[:0], Decoding()) == []
    with pytest.raises(PolygraftError, match="without any position"):
        backbone.generate(prefix[:, :0], Decoding())
    with pytest.raises(PolygraftError, match="without any position"):
        backbone.generate(prefix, Decoding(), prefix_mask=torch.zeros(6, 5, dtype=torch.bool))


# Sampling


def test_sampled_tokens_follow_the_model(backbone, prefix):
    decoding = Decoding(temperature=0.5, num_return=4000, max_tokens=1)
    found = backbone.generate(prefix[:1], decoding)[0]
    counts = Counter(one.ids[0] if one.ids else backbone.eos_id for one in found)
    expected = (next_logits(backbone, prefix[0], []) / 0.5).softmax(-1)
    observed = torch.tensor([counts[token] / len(found) for token in range(backbone.vocabulary_size)])
    # half the summed difference of two distributions; about 0.03 for a sample of this size
    assert float((observed - expected).abs().sum() / 2) < 0.08


def test_seeds_and_samples_differ_but_repeat(backbone, prefix):
    decoding = Decoding(temperature=1.5, num_return=3, seed=1)
    first, again = (ids_of(backbone.generate(prefix, decoding)) for _ in range(2))
    other = ids_of(backbone.generate(prefix, replace(decoding, seed=2)))
    assert first == again
    drawn = [tuple(ids) for row in [*first, *other] for ids in row]
    assert len(set(drawn)) == len(drawn)


def test_sampling_ignores_the_global_generator(backbone, prefix):
    decoding = Decoding(temperature=1.0)
    torch.manual_seed(1)
    first = ids_of(backbone.generate(prefix, decoding))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert ids_of(backbone.generate(prefix, decoding)) == first
    assert torch.equal(torch.get_rng_state(), state)


# What may come next


@pytest.mark.parametrize("vocabulary", [60, 2000])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.5), (0, 0.999), (7, 1.0), (20, 0.8), (5000, 0.3), (0, 0.01)])
def test_narrowing_equals_that_of_transformers(vocabulary, top_k, top_p):
    scores = 3 * torch.randn(4, vocabulary, generator=torch.Generator().manual_seed(1))
    expected = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    expected = TopPLogitsWarper(top_p)(None, expected) if top_p < 1 else expected
    assert torch.equal(narrow(scores, top_k, top_p), expected)


def test_narrowing_sorts_everything_where_the_likely_tokens_are_not_enough():
    scores = torch.zeros(1, 2000)
    assert narrow(scores, 0, 0.9).isfinite().sum() == pytest.approx(1800, abs=1)


def test_constraints_on_a_written_example():
    scores = torch.tensor([[-1.0, -2.0, -3.0, -4.0]])
    history = torch.tensor([[2, 1, 2]])
    found = constrain(scores, history, 3, Decoding(repetition_penalty=2.0, no_repeat_ngram=2, min_tokens=4))
    # 1 and 2 are in the text, "2 1" may not come again, and the text may not end yet
    assert found.tolist() == [[-1.0, float("-inf"), -6.0, float("-inf")]]
    assert scores.tolist() == [[-1.0, -2.0, -3.0, -4.0]]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_banned_ngrams_equal_those_found_by_looking(size):
    history = torch.randint(0, 4, (8, 15), generator=torch.Generator().manual_seed(size))
    found = constrain(torch.zeros(8, 5), history, 4, Decoding(no_repeat_ngram=size)).isinf()
    for row, bans in zip(history.tolist(), found.tolist(), strict=True):
        grams = {tuple(row[i : i + size]) for i in range(len(row) - size + 1)}
        tail = tuple(row[len(row) - size + 1 :])
        assert bans == [(*tail, token) in grams for token in range(5)]


# The branching of contrastive search


@pytest.mark.parametrize("cache", [True, False])
def test_branches_see_the_sequence_and_not_one_another(backbone, prefix, cache):
    sequences = Sequences(backbone, prefix, None, cache=cache)
    sequences.add(torch.arange(6))
    tried = sequences.branch(torch.tensor([[7, 8, 9]] * 6))
    for column, token in enumerate([7, 8, 9]):
        ids = torch.stack([torch.arange(6), torch.full((6,), token)], dim=1)
        alone = backbone.hidden(torch.cat([prefix, backbone.embed(ids)], dim=1))[:, -1]
        torch.testing.assert_close(tried[:, column], alone)


def test_the_cache_holds_what_the_model_would_put_there(backbone, prefix):
    sequences = Sequences(backbone, prefix, None, cache=True)
    hidden = sequences.branch(torch.tensor([[7, 8, 9]] * 6))
    sequences.commit(torch.full((6,), 1), hidden[:, 1])
    whole = DynamicCache()
    backbone.hidden(torch.cat([prefix, backbone.embed(torch.full((6, 1), 8))], dim=1), cache=whole)
    for kept, expected in zip(sequences._cache.layers, whole.layers, strict=True):
        torch.testing.assert_close(kept.keys, expected.keys)
        torch.testing.assert_close(kept.values, expected.values)
