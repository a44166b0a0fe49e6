"""Copying from past captions: a distribution whatever is copied, planted copies, and nothing where there is nothing."""

from dataclasses import replace

import pytest
import torch

from multimodal.model.steering import CopyHead, PastTokens

VOCABULARY, WIDTH, ROWS, TOKENS = 11, 8, 5, 4
LENGTHS = (4, 2, 3, 1, 0)


@pytest.fixture
def head():
    torch.manual_seed(0)
    made = CopyHead(WIDTH, 2)
    with torch.no_grad():
        made.gate.weight.normal_()
        made.gate.bias.zero_()
        made.rank.normal_()
    return made


def tokens_of(lengths=LENGTHS, **changes):
    """Return the past tokens of as many rows as there are lengths."""
    shape = (len(lengths), TOKENS)
    values = {
        "embeds": torch.randn(*shape, WIDTH),
        "before": torch.randn(*shape, WIDTH),
        "ids": torch.randint(0, VOCABULARY, shape),
        "rank": torch.randint(0, 2, shape),
        "similarity": torch.rand(shape),
        "mask": torch.arange(TOKENS) < torch.tensor(lengths)[:, None],
    }
    return PastTokens(**values | changes)


def written_out(head, logits, step, tokens, row):
    """Return the mixture of one step of one row, token by token, as probabilities."""
    own, (hidden, before) = logits.softmax(dim=0), step.split(WIDTH)
    kept = tokens.mask[row].nonzero()[:, 0].tolist()
    if not kept:
        return own
    both = [torch.cat([tokens.embeds[row, at], tokens.before[row, at]]) for at in kept]
    keys = torch.stack([head.to_keys(x) + head.rank[tokens.rank[row, at]] for x, at in zip(both, kept, strict=True)])
    same = torch.stack([torch.cosine_similarity(before, tokens.before[row, at], dim=0) for at in kept])
    scores = keys @ head.to_queries(hidden) / 8 + head.match * same + head.likeness * tokens.similarity[row, kept]
    weights = scores.softmax(dim=0)
    gate = head.gate(torch.cat([hidden, weights @ keys, (weights @ same)[None]])).sigmoid()
    mixed = (1 - gate) * own
    for weight, at in zip(weights, kept, strict=True):
        mixed[tokens.ids[row, at]] += gate[0] * weight
    return mixed


@torch.no_grad()
def test_the_mixture_equals_one_written_out_token_by_token(head):
    logits, steps, tokens = torch.randn(ROWS, VOCABULARY), torch.randn(ROWS, 2 * WIDTH), tokens_of()
    found = head.mix(logits, steps, head.remember(tokens)).exp()
    expected = [written_out(head, logits[row], steps[row], tokens, row) for row in range(ROWS)]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(ROWS))


def test_a_target_is_the_mixture_at_that_token(head):
    logits, steps, memory = (
        torch.randn(ROWS, 3, VOCABULARY),
        torch.randn(ROWS, 3, 2 * WIDTH),
        head.remember(tokens_of()),
    )
    mixed = torch.stack([head.mix(logits[:, at], steps[:, at], memory) for at in range(3)], dim=1)
    targets = torch.randint(0, VOCABULARY, (ROWS, 3))
    targets[:4, 0] = memory.ids[:4, 0]
    own = logits.log_softmax(dim=2).gather(2, targets[..., None])[..., 0]
    expected = mixed.gather(2, targets[..., None])[..., 0]
    torch.testing.assert_close(head.target(own, targets, steps, memory), expected)


def test_where_nothing_can_be_copied_the_language_model_speaks(head):
    logits, steps = torch.randn(2, VOCABULARY), torch.randn(2, 2 * WIDTH)
    memory, own = head.remember(tokens_of((0, 0))), logits.log_softmax(dim=1)
    copied, spoken = head(steps[:, None], memory)
    assert (copied == -torch.inf).all() and (spoken == 0).all()
    assert torch.equal(head.mix(logits, steps, memory), own)
    targets = torch.tensor([[3], [3]])
    assert torch.equal(head.target(own[:, 3:4], targets, steps[:, None], memory), own[:, 3:4])


def test_what_is_copied_and_what_is_spoken_make_one(head):
    copied, spoken = head(torch.randn(ROWS, 3, 2 * WIDTH), head.remember(tokens_of()))
    torch.testing.assert_close(copied.exp().sum(dim=2) + spoken.exp(), torch.ones(ROWS, 3))


# Planted copies


def bare(match=0.0, similarity=0.0, gate=20.0):
    """Return a head that knows nothing but what is given."""
    head = CopyHead(WIDTH, 2)
    with torch.no_grad():
        for layer in (head.to_keys, head.to_queries, head.gate):
            layer.weight.zero_()
            layer.bias.zero_()
        head.gate.bias.fill_(gate)
        head.match.fill_(match)
        head.likeness.fill_(similarity)
    return head


@torch.no_grad()
def said(head, hidden, last, **changes):
    """Return the likeliest token of one step, and how likely it is."""
    ids = torch.tensor([[7, 2, 9, 4]])
    memory = head.remember(tokens_of((4,), **{"ids": ids} | changes))
    found = head.mix(torch.zeros(1, VOCABULARY), torch.cat([hidden, last])[None], memory)[0].exp()
    return int(found.argmax()), float(found.max())


@pytest.mark.parametrize("at", range(TOKENS))
def test_the_token_that_the_hidden_state_names_is_copied(at):
    head, axes = bare(), torch.eye(TOKENS, WIDTH)
    with torch.no_grad():
        head.to_keys.weight[:TOKENS, :TOKENS] = torch.eye(TOKENS)
        head.to_queries.weight[:TOKENS, :TOKENS] = 400 * torch.eye(TOKENS)
    token, share = said(head, axes[at], torch.zeros(WIDTH), embeds=axes[None])
    assert (token, share > 0.99) == ([7, 2, 9, 4][at], True)


@pytest.mark.parametrize("at", range(TOKENS))
def test_a_past_caption_goes_on_where_it_had_the_same_token_before(at):
    axes = torch.eye(TOKENS, WIDTH)
    token, share = said(bare(match=30.0), torch.zeros(WIDTH), 3 * axes[at], before=2 * axes[None])
    assert (token, share > 0.99) == ([7, 2, 9, 4][at], True)


def test_the_caption_of_the_more_similar_image_is_preferred():
    similarity = torch.tensor([[0.1, 0.2, 0.9, 0.3]])
    assert said(bare(similarity=20.0), torch.zeros(WIDTH), torch.zeros(WIDTH), similarity=similarity)[0] == 9


def test_a_closed_gate_copies_nothing():
    _, share = said(bare(gate=-30.0), torch.zeros(WIDTH), torch.zeros(WIDTH))
    assert share == pytest.approx(1 / VOCABULARY)


def test_a_fresh_pointer_follows_the_same_token_before_and_copies_one_step_in_five():
    head, axes = CopyHead(WIDTH, 2), torch.eye(TOKENS, WIDTH)
    torch.nn.init.zeros_(head.to_queries.weight)
    torch.nn.init.zeros_(head.to_queries.bias)
    tokens = tokens_of((4,), before=axes[None], similarity=torch.zeros(1, TOKENS))
    copied, _ = head(torch.cat([torch.zeros(WIDTH), axes[2]])[None, None], head.remember(tokens))
    assert copied.argmax() == 2
    assert copied.exp().sum().item() == pytest.approx(0.2, abs=0.02)


def test_the_copies_of_one_token_add_up(head):
    steps, tokens = torch.randn(1, 2 * WIDTH), tokens_of((4,), ids=torch.tensor([[3, 5, 3, 3]]))
    memory = head.remember(tokens)
    copied, spoken = (part[0, 0].exp() for part in head(steps[:, None], memory))
    found = head.mix(torch.zeros(1, VOCABULARY), steps, memory)[0].exp() - spoken / VOCABULARY
    assert found[3].item() == pytest.approx(copied[[0, 2, 3]].sum().item(), rel=1e-4)
    assert found[5].item() == pytest.approx(copied[1].item(), rel=1e-4)
    assert found[[0, 1, 2, 4]].abs().max() < 1e-6


def test_padding_is_never_copied_whatever_it_holds(head):
    logits, steps, memory = torch.randn(ROWS, VOCABULARY), torch.randn(ROWS, 2 * WIDTH), head.remember(tokens_of())
    padding = ~memory.mask
    other = replace(
        memory,
        keys=memory.keys.masked_fill(padding[..., None], 99.0),
        ids=memory.ids.masked_fill(padding, 1),
        similarity=memory.similarity.masked_fill(padding, 9.0),
    )
    torch.testing.assert_close(head.mix(logits, steps, other), head.mix(logits, steps, memory))


@pytest.mark.parametrize("lengths", [(0, 0), (4, 0), (1, 3)])
def test_gradients_are_finite_with_or_without_something_to_copy(head, lengths):
    steps, own = torch.randn(2, 3, 2 * WIDTH, requires_grad=True), torch.full((2, 3), -1.0, requires_grad=True)
    targets = torch.full((2, 3), 2)
    memory = head.remember(tokens_of(lengths, ids=torch.full((2, TOKENS), 2)))  # padding holds the target too
    head.target(own, targets, steps, memory).sum().backward()
    gradients = [steps.grad, own.grad, *(p.grad for p in head.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert bool(head.gate.weight.grad.any()) == any(lengths)


def test_rows_of_a_memory_are_taken_in_order(head):
    memory, rows = head.remember(tokens_of()), [3, 0, 0]
    taken = memory.take(torch.tensor(rows))
    for name in ("keys", "before", "similarity", "ids", "mask"):
        assert torch.equal(getattr(taken, name), getattr(memory, name)[rows])
