"""Sparse attention: against DeepSpeed's loops, by hand, and laid over models."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from backbone.training.config import TrainConfig
from backbone.training.sampler import Batches
from crosslingual.language_model.packed_tokens import PackedTokens
from crosslingual.language_model.sparse_attention import (
    SparseAttention,
    fixed_pattern,
    mask_argument,
    sliding_pattern,
    sparse_layers,
)
from crosslingual.language_model.train import Tuning, train_language_model
from crosslingual.options import AttentionOptions
from tests.crosslingual.tiny_models import gpt2, llama

SMALL = AttentionOptions(attention="alternating", block=2, window=6, dense_tail=0.25)


def by_blocks(length, heads, block, window):
    """DeepSpeed's `FixedSparsityConfig`, unidirectional, one global block, as many patterns as blocks in a window."""
    count, local = length // block, window // block
    layout = np.zeros((heads, count, count), dtype=bool)
    for head in range(heads):
        for start in range(0, count, local):
            end = min(start + local, count)
            for row in range(start, end):
                for column in range(start, row + 1):
                    layout[head, row, column] = True
        first = local - (1 + head % local)
        for column in range(first, count - count % local, local):
            layout[head, column:, column] = True
    dense = layout.repeat(block, axis=1).repeat(block, axis=2)
    return torch.from_numpy(np.tril(dense))


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 9))
def test_the_fixed_pattern_is_deepspeeds(heads, block, local, blocks):
    length, window = block * blocks, block * local
    assert torch.equal(
        fixed_pattern(length, heads, block=block, window=window), by_blocks(length, heads, block, window)
    )


def test_a_position_of_mgpt_sees_its_window_and_three_summaries():
    seen = fixed_pattern(512, 16)[:, -1]
    assert seen.sum(1).tolist() == [128 + 3 * 16] * 16
    assert seen[0, 112:128].all() and seen[7, 0:16].all() and torch.equal(seen[8], seen[0])


@given(st.integers(1, 40), st.integers(1, 12))
def test_sliding_sees_a_window_back(length, window):
    expected = [[max(0, q - window + 1) <= k <= q for k in range(length)] for q in range(length)]
    assert sliding_pattern(length, window=window)[0].tolist() == expected


def test_which_layers_are_sparse():
    assert sparse_layers(AttentionOptions(attention="alternating"), 5) == [0, 2, 4]
    assert sparse_layers(AttentionOptions(attention="sliding"), 9) == [0, 1, 2, 4, 5, 6]
    assert sparse_layers(AttentionOptions(), 9) == []


@pytest.fixture(params=["sdpa", "eager"])
def model(request):
    torch.manual_seed(0)
    made = gpt2(50).train()
    made.config._attn_implementation = request.param
    for module in made.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return made


def looked_at(model, length=8):
    """Return (q, k): whether the logits at q change with the token at k."""
    ids = torch.arange(length)[None] + 1
    with torch.no_grad():
        before = model(ids, use_cache=False).logits[0]
        found = torch.zeros(length, length, dtype=torch.bool)
        for place in range(length):
            other = ids.clone()
            other[0, place] = 40
            after = model(other, use_cache=False).logits[0]
            found[:, place] = (after - before).abs().amax(1) > 1e-6
    return found


def test_a_model_looks_where_the_pattern_says_and_nowhere_else(model):
    with_pattern = SparseAttention(model, SMALL)
    assert torch.equal(looked_at(model), fixed_pattern(8, 2, block=2, window=6).any(0))
    with_pattern.close()
    assert torch.equal(looked_at(model), torch.ones(8, 8).tril().bool())


def test_attention_is_dense_in_the_tail_and_whenever_the_model_is_not_trained(model):
    dense = torch.ones(8, 8).tril().bool()
    sparse = SparseAttention(model, SMALL)
    sparse.begin_step(0.75)
    assert not torch.equal(looked_at(model), dense)
    assert torch.equal(looked_at(model.eval()), dense)
    sparse.begin_step(0.76)
    assert torch.equal(looked_at(model.train()), dense)


def test_a_mask_of_documents_is_kept(model):
    """With documents of 3 and 5 tokens."""
    documents = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    allowed = (documents[:, :, None] == documents[:, None, :]).tril()[:, None]
    forward = model.forward
    model.forward = lambda ids, **options: forward(ids, attention_mask=mask_argument(model, allowed), **options)
    SparseAttention(model, SMALL)
    assert torch.equal(looked_at(model), fixed_pattern(8, 2, block=2, window=6).any(0) & allowed[0, 0])


def test_llama_takes_it_too():
    torch.manual_seed(0)
    model = llama(50).train()
    SparseAttention(model, SMALL)
    assert torch.equal(looked_at(model), fixed_pattern(8, 2, block=2, window=6).any(0))


def test_a_model_without_masks_is_told():
    class Plain(torch.nn.Module):
        config = gpt2(8).config

        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(2, 2))])

    with pytest.raises(PolygraftError, match="Plain take no attention mask"):
        SparseAttention(Plain(), SMALL)


def rows() -> Batches:
    walk = np.random.default_rng(0).integers(0, 3, 1601).cumsum() % 50
    return PackedTokens(walk.astype(np.uint16), 16)


@pytest.mark.parametrize("options", [{}, {"activation_checkpointing": True}])
def test_training_switches_to_dense_and_leaves_no_hook(options):
    results = {}
    for attention in (None, SMALL):
        torch.manual_seed(0)
        model = gpt2(50)
        config = TrainConfig(steps=8, batch_size=8, lr=1e-2, **options)
        tuning = Tuning(embeddings_first=0.25)
        results[attention] = train_language_model(model, None, rows(), config, tuning, attention=attention).losses
        assert all(not module._forward_pre_hooks for module in model.modules())
    assert results[SMALL] != results[None]


@pytest.mark.parametrize(("fields", "named"), [({"dense_tail": 1.5}, "dense_tail is 1.5"), ({"window": 20}, "whole")])
def test_impossible_settings_are_told(fields, named):
    with pytest.raises(PolygraftError, match=named):
        AttentionOptions(**fields)
