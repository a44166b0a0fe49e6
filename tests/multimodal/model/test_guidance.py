"""The steered language model: known answers, slow references, the same result in a batch, alone and without cache."""

from dataclasses import replace

import pytest
import torch

from backbone.generation.beam_search import beam_search
from backbone.generation.config import Decoding
from backbone.generation.kv_cache import Sequences
from multimodal.captioner import Captioner
from multimodal.model.steering import Guided, Steered, steer
from multimodal.profile.profile import NOBODY
from tests.multimodal.tiny_users import CONTEXTS, VARIANTS, ending_backbone, random_rows, user_captioner

METHODS = {
    "greedy": Decoding(max_tokens=8),
    "beam": Decoding(max_tokens=8, beams=3, num_return=2),
    "contrastive": Decoding(max_tokens=8, contrastive=0.6),
}
IMAGES = random_rows(len(CONTEXTS))
every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_method = pytest.mark.parametrize("decoding", METHODS.values(), ids=METHODS.keys())
every_strength = pytest.mark.parametrize("personal", [1.0, 1.7])


@pytest.fixture(scope="module")
def captioners():
    backbone = ending_backbone()
    return {name: user_captioner(backbone, **changes) for name, changes in VARIANTS.items()}


def same(found, expected):
    """Compare ids exactly and scores closely."""
    assert [[one.ids for one in row] for row in found] == [[one.ids for one in row] for row in expected]
    scores = [torch.tensor([one.score for row in rows for one in row]) for rows in (found, expected)]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-5)


# The slow reference: one image, no padding, no search, copies token by token


def slow(captioner: Captioner, image, context, ids=()):
    """Return the log-probabilities of the token after ``ids``, (V,)."""
    prefix, backbone = captioner.prefix(image[None], [context]), captioner.backbone
    embeds = torch.cat([prefix.embeds[0], backbone.embed(torch.tensor(ids, dtype=torch.int64))])[None]
    hidden = backbone.hidden(embeds)[0, -1]
    own = backbone.head(hidden).softmax(dim=0)
    if prefix.memory is None:
        return own.log()
    last = backbone.embed(torch.tensor([ids[-1] if len(ids) else backbone.eos_id]))[0]
    return copied_by_hand(captioner.mapper.copying, own, torch.cat([hidden, last]), prefix.memory.take([0]))


def copied_by_hand(head, own, step, memory):
    """Mix in the copies of one step, token by token."""
    width = len(step) // 2
    kept = memory.mask[0].nonzero()[:, 0].tolist()
    if not kept:
        return own.log()
    query = head.to_queries(step[:width])
    same = [torch.cosine_similarity(step[width:], memory.before[0, at], dim=0) for at in kept]
    scores = [
        query @ memory.keys[0, at] / 8 + head.match * alike + head.likeness * memory.similarity[0, at]
        for at, alike in zip(kept, same, strict=True)
    ]
    weights = torch.cat(scores).softmax(dim=0)
    gate = head.gate(torch.cat([step[:width], weights @ memory.keys[0, kept], weights[None] @ torch.stack(same)]))
    mixed = (1 - gate.sigmoid()) * own
    for weight, at in zip(weights, kept, strict=True):
        mixed[memory.ids[0, at]] += gate.sigmoid()[0] * weight
    return mixed.log()


def guided(captioner, image, context, ids, strength):
    user, nobody = (slow(captioner, image, who, ids) for who in (context, NOBODY))
    return (nobody + strength * (user - nobody)).log_softmax(dim=0)


@every_variant
@every_strength
@torch.no_grad()
def test_greedy_equals_the_obvious_loop(captioners, variant, personal):
    captioner = captioners[variant]
    found = captioner.generate(IMAGES, METHODS["greedy"], users=CONTEXTS, personal=personal)
    for image, context, (one,) in zip(IMAGES, CONTEXTS, found, strict=True):
        ids, total = [], 0.0
        while len(ids) < 8 and (not ids or ids[-1] != captioner.backbone.eos_id):
            best = guided(captioner, image, context, ids, personal).max(dim=0)
            ids, total = [*ids, int(best.indices)], total + float(best.values)
        assert list(one.ids) == [token for token in ids if token != captioner.backbone.eos_id]
        assert one.score == pytest.approx(total / len(ids), abs=1e-5)


@every_variant
@torch.no_grad()
def test_a_score_equals_summed_log_probabilities(captioners, variant):
    captioner, texts = captioners[variant], ["A red cat", "blue!", "the dogs run", ""]
    expected = []
    for image, context, text in zip(IMAGES, CONTEXTS, texts, strict=True):
        ids = captioner.backbone.encode([text], max_tokens=16).ids[0].tolist()
        steps = [slow(captioner, image, context, ids[:at])[token] for at, token in enumerate(ids)]
        expected.append(float(sum(steps)))
    assert captioner.score(IMAGES, texts, CONTEXTS) == pytest.approx(expected, abs=1e-3, rel=1e-5)
    assert captioner.score(IMAGES, texts, CONTEXTS, batch_size=3) == pytest.approx(expected, abs=1e-3, rel=1e-5)


# One result, whatever the way to it


@every_variant
@every_method
@every_strength
def test_a_batch_gives_what_each_image_gives_alone(captioners, variant, decoding, personal):
    captioner = captioners[variant]
    options = {"decoding": decoding, "personal": personal}
    together = captioner.generate(IMAGES, users=CONTEXTS, **options)
    alone = [captioner.generate(IMAGES[i : i + 1], users=[CONTEXTS[i]], **options)[0] for i in range(4)]
    same(together, alone)
    assert len({row[0].ids for row in together}) > 1


@every_variant
@every_method
@every_strength
def test_cached_equals_uncached(captioners, variant, decoding, personal):
    cached, uncached = (
        captioners[variant].generate(IMAGES, replace(decoding, cache=cache), users=CONTEXTS, personal=personal)
        for cache in (True, False)
    )
    same(cached, uncached)


def conditions(captioner):
    """Return what `Captioner.generate` searches: the steered model and the prefix."""
    prefix = captioner.prefix(IMAGES, CONTEXTS)
    mask = torch.ones_like(prefix.embeds[..., 0], dtype=torch.bool)
    return steer(captioner.backbone, prefix, captioner.mapper.copying), prefix.embeds, mask


@every_variant
@torch.no_grad()
def test_one_beam_is_greedy(captioners, variant):
    model, embeds, mask = conditions(captioners[variant])
    found = beam_search(Sequences(model, embeds, mask, cache=True), METHODS["greedy"])
    expected = captioners[variant].generate(IMAGES, METHODS["greedy"], users=CONTEXTS)
    assert [row[0].ids for row in found] == [list(row[0].ids) for row in expected]


# Strength


@every_variant
@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_strength_0_is_nobody_and_strength_1_is_as_learned(captioners, variant, method):
    def say(users=CONTEXTS, **options):
        return captioners[variant].generate(IMAGES, METHODS[method], users=users, **options)

    nobody, plain = say([NOBODY] * 4), say()
    for found in (say(personal=0.0), say(None), say(personal=1e-7)):
        same(found, nobody)
    same(say(personal=1 + 1e-7), plain)
    assert [row[0].score for row in plain] != pytest.approx([row[0].score for row in nobody], abs=1e-5)


def test_guidance_draws_the_two_conditions_apart():
    captioner = user_captioner()
    plain = Steered(backbone=captioner.backbone, rows=3)
    hidden = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    model = Guided(user=plain, nobody=plain, strength=1.5)
    user, nobody = (captioner.backbone.head(half).log_softmax(dim=-1) for half in hidden.split(32, dim=1))
    torch.testing.assert_close(model.head(hidden), 1.5 * user - 0.5 * nobody)


def test_contrastive_search_compares_the_states_of_the_language_model_alone():
    captioner = user_captioner()
    plain = Steered(backbone=captioner.backbone, rows=3)
    guided = Guided(user=plain, nobody=plain, strength=1.5)
    states, rest = torch.randn(2, 2, 5, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain.meaning(torch.cat([states, rest], dim=-1)), states)  # behind a state what it copies by
    assert torch.equal(guided.meaning(torch.cat([states, rest], dim=-1)), states)
    assert torch.equal(captioner.backbone.meaning(states), states)


# The parts


@torch.no_grad()
def test_selected_rows_keep_their_own_conditions(captioners):
    model, embeds, mask = conditions(captioners["copying"])
    rows = torch.tensor([2, 0, 0])
    sequences = Sequences(model, embeds, mask, cache=True)
    expected = sequences.log_probabilities()[rows]
    sequences.select(rows)
    torch.testing.assert_close(sequences.log_probabilities(), expected)
    assert torch.equal(sequences.model.memory.ids, model.memory.ids[rows])
