"""Other weights in a frozen body: how they begin, that they learn, and that nothing of the body changes."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backbone.generation.config import Decoding
from backbone.gpt2 import Backbone
from backbone.lora import Adapted, FullCopy, LowRank, Untouched, build_tuning
from tests.backbone.tiny import tiny_backbone, tiny_tokenizer

TUNINGS = ("low-rank", "full")


def tiny_llama():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = LlamaConfig(vocab_size=300, num_key_value_heads=2, max_position_embeddings=64, **sizes)
        return Backbone.from_parts(LlamaForCausalLM(config), tiny_tokenizer(), name="tiny-llama")


@pytest.fixture(params=[tiny_backbone, tiny_llama], ids=["gpt2", "llama"])
def backbone(request):
    return request.param()


@pytest.fixture
def prefix():
    return torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(1))


MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)


def adapted(backbone, tuning):
    return Adapted(backbone=backbone, weights=tuning.weights(backbone))


def moved(tuning):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in tuning.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return tuning


@pytest.mark.parametrize("kind", TUNINGS)
def test_a_change_begins_as_none(backbone, prefix, kind):
    tuning = build_tuning(backbone, kind, 4)
    found = adapted(backbone, tuning).hidden(prefix, MASK)[MASK]
    torch.testing.assert_close(found, backbone.hidden(prefix, MASK)[MASK])


def test_a_full_copy_equals_the_frozen_weights_but_for_the_words(backbone):
    body = backbone.model.base_model
    frozen = dict(body.named_parameters())
    weights = FullCopy(backbone).weights(backbone)
    words = [name for name, tensor in frozen.items() if tensor is backbone.model.get_input_embeddings().weight]
    assert set(weights) == set(frozen) - set(words) and len(words) == 1
    for name, copy in weights.items():
        assert torch.equal(copy, frozen[name])
        assert copy.data_ptr() != frozen[name].data_ptr()


def test_a_low_rank_changes_every_matrix_of_the_layers_by_its_rank(backbone):
    tuning = moved(LowRank(backbone, 3))
    frozen = dict(backbone.model.base_model.named_parameters())
    weights = tuning.weights(backbone)
    embeddings = {"wte.weight", "wpe.weight", "embed_tokens.weight"}
    assert set(weights) == {name for name, tensor in frozen.items() if tensor.ndim == 2} - embeddings
    for name, matrix in weights.items():
        assert torch.linalg.matrix_rank(matrix - frozen[name], atol=1e-4) == 3
    parameters = sum(p.numel() for p in tuning.parameters())
    assert parameters == sum(3 * sum(matrix.shape) for matrix in weights.values())


def test_a_frozen_body_has_nothing_to_change(backbone):
    assert isinstance(build_tuning(backbone, "frozen", 8), Untouched)
    assert Untouched().weights(backbone) == {} and not list(Untouched().parameters())


@pytest.mark.parametrize("kind", TUNINGS)
def test_training_reaches_every_weight_and_no_bit_of_the_frozen_body(backbone, prefix, kind):
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    digest = backbone.digest
    tuning = build_tuning(backbone, kind, 4)
    first = {name: parameter.detach().clone() for name, parameter in tuning.named_parameters()}
    optimizer = torch.optim.AdamW(tuning.parameters(), lr=1e-2)
    tokens = backbone.encode(["a cat", "the sea", "!!"], max_tokens=8)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        states = backbone.predicting(prefix, tokens.ids, prefix_mask=MASK, model=adapted(backbone, tuning))
        loss = torch.nn.functional.cross_entropy(backbone.head(states[tokens.mask]), tokens.ids[tokens.mask])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    assert all(not torch.equal(first[name], parameter) for name, parameter in tuning.named_parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in backbone.model.parameters())
    assert Backbone.from_parts(backbone.model, backbone.tokenizer, name="again").digest == digest


def test_gradients_reach_both_factors_once_the_second_is_not_nothing(backbone, prefix):
    tuning = moved(LowRank(backbone, 4))
    adapted(backbone, tuning).hidden(prefix, MASK)[MASK].square().sum().backward()
    assert all(float(parameter.grad.norm()) > 0 for parameter in tuning.parameters())


@pytest.mark.parametrize(
    "decoding",
    [Decoding(max_tokens=8), Decoding(beams=3, max_tokens=8), Decoding(contrastive=0.5, max_tokens=8)],
    ids=lambda decoding: decoding.method,
)
@pytest.mark.parametrize("kind", TUNINGS)
def test_texts_are_the_same_with_and_without_cached_keys_and_others_than_the_frozen_ones(
    backbone, prefix, kind, decoding
):
    model = adapted(backbone, moved(build_tuning(backbone, kind, 4)))
    texts = {}
    for cache in (True, False):
        asked = Decoding(**(vars(decoding) | {"cache": cache}))
        texts[cache] = [row[0].ids for row in backbone.generate(prefix, asked, prefix_mask=MASK, model=model)]
    assert texts[True] == texts[False]
    assert texts[True] != [row[0].ids for row in backbone.generate(prefix, decoding, prefix_mask=MASK)]


def test_both_run_at_the_same_time_on_one_memory(backbone, prefix):
    frozen = backbone.hidden(prefix)
    model = adapted(backbone, moved(LowRank(backbone, 4)))
    changed = model.hidden(prefix)
    assert not torch.allclose(changed, frozen, atol=1e-2)
    assert torch.equal(backbone.hidden(prefix), frozen)
    assert torch.equal(model.hidden(prefix), changed)
    assert torch.equal(model.head(frozen), backbone.head(frozen))
