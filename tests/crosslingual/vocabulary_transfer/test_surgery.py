import copy

import numpy as np
import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from backbone.errors import PolygraftError
from crosslingual.vocabulary_transfer.transfer import Evidence, make_mixing, with_mixed_vocabulary
from tests.crosslingual.tiny_models import MODELS, SIZES, gpt2, roberta, t5
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, byte_bpe, roberta_bpe, wordpiece

SOURCE_SIZE = 340


@pytest.fixture(scope="module", params=MODELS)
def kind(request):
    return MODELS[request.param]


def logits(model, ids):
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model(input_ids=ids, **more).logits


@pytest.mark.parametrize("padded", [0, 4])
@pytest.mark.parametrize("change", [-20, 0, 20])
def test_smaller_equal_and_larger_vocabularies_work_saved_and_resized_too(tmp_path, kind, change, padded):
    make, tokenizer_of = kind
    source = tokenizer_of(ENGLISH, SOURCE_SIZE)
    target = tokenizer_of(GERMAN, len(source) + change)
    torch.manual_seed(0)
    model = make(len(source) + padded).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    mixing, _ = make_mixing(source, target, Evidence())
    renewed = with_mixed_vocabulary(model, target, mixing, source=source)

    ids = torch.tensor([target("die katze singt", add_special_tokens=False)["input_ids"]])
    found = logits(renewed, ids)
    assert found.shape[-1] == len(target) == renewed.config.vocab_size and found.isfinite().all()
    renewed.save_pretrained(tmp_path / "m")
    reloaded = type(model).from_pretrained(tmp_path / "m").eval()
    assert torch.allclose(logits(reloaded, ids), found, atol=1e-5)
    reloaded.resize_token_embeddings(len(target) + 8)
    assert logits(reloaded, ids).shape[-1] == len(target) + 8
    # the old model is as it was, and shares its body with the new one
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert logits(model, ids[:, :1] * 0).shape[-1] == len(source) + padded
    shared = {id(tensor) for tensor in model.parameters()}
    assert sum(id(tensor) not in shared for tensor in renewed.parameters()) <= 3


def test_each_matrix_is_mixed_alike(kind):
    make, tokenizer_of = kind
    source, target = tokenizer_of(ENGLISH, SOURCE_SIZE), tokenizer_of(GERMAN, SOURCE_SIZE)
    model = make(len(source))
    mixing, _ = make_mixing(source, target, Evidence())
    renewed = with_mixed_vocabulary(model, target, mixing, source=source, seed=5)
    old, new = model.get_output_embeddings(), renewed.get_output_embeddings()
    for ours, theirs in (
        (renewed.get_input_embeddings().weight, model.get_input_embeddings().weight),
        (new.weight, old.weight),
    ):
        assert np.abs(ours.detach().numpy() - mixing.apply(theirs.detach().numpy(), seed=5)).max() < 1e-6
    assert (new.weight is renewed.get_input_embeddings().weight) == (old.weight is model.get_input_embeddings().weight)
    if old.bias is not None:
        old.bias.data.normal_()
        renewed = with_mixed_vocabulary(model, target, mixing, source=source)
        expected = mixing.apply_bias(old.bias.detach().numpy())
        assert np.array_equal(renewed.get_output_embeddings().bias.detach().numpy(), expected)
        names = [name for name, tensor in renewed.state_dict().items() if tensor.shape == (len(target),)]
        assert len(names) in (1, 2) and all(
            np.array_equal(renewed.state_dict()[name].numpy(), expected) for name in names
        )


def test_special_ids_are_the_new_ones():
    source, target = byte_bpe(ENGLISH, SOURCE_SIZE), roberta_bpe(GERMAN, SOURCE_SIZE)
    mixing, _ = make_mixing(source, target, Evidence())
    renewed = with_mixed_vocabulary(gpt2(SOURCE_SIZE), target, mixing, source=source)
    for place in (renewed.config, renewed.generation_config):
        assert (place.bos_token_id, place.pad_token_id, place.eos_token_id) == (0, 1, 2)
    ids = torch.tensor([[5, 6]])
    assert renewed.generate(ids, max_new_tokens=3, do_sample=False, min_new_tokens=3).shape == (1, 5)


def test_an_encoder_decoder_starts_with_the_new_padding():
    source, target = roberta_bpe(ENGLISH, SOURCE_SIZE), wordpiece(GERMAN, 200)
    mixing, _ = make_mixing(source, target, Evidence())
    renewed = with_mixed_vocabulary(t5(SOURCE_SIZE), target, mixing, source=source)
    assert renewed.config.decoder_start_token_id == target.pad_token_id == 0


def test_a_padding_id_that_would_move_robertas_positions_is_one_sentence():
    source, target = roberta_bpe(ENGLISH, SOURCE_SIZE), wordpiece(GERMAN, 200)
    mixing, _ = make_mixing(source, target, Evidence())
    with pytest.raises(PolygraftError, match="padding id 1, .* 0"):
        with_mixed_vocabulary(roberta(SOURCE_SIZE), target, mixing, source=source)


def test_too_few_rows_and_no_head_are_one_sentence():
    source = roberta_bpe(ENGLISH, SOURCE_SIZE)
    mixing, _ = make_mixing(source, source, Evidence())
    with pytest.raises(PolygraftError, match="embedding rows"):
        with_mixed_vocabulary(roberta(SOURCE_SIZE - 5), source, mixing, source=source)
    headless = RobertaModel(RobertaConfig(vocab_size=SOURCE_SIZE, max_position_embeddings=66, pad_token_id=1, **SIZES))
    with pytest.raises(PolygraftError, match="has no output layer"):
        with_mixed_vocabulary(headless, source, mixing, source=source)


def test_a_model_in_half_precision_stays_in_it():
    source, target = byte_bpe(ENGLISH, SOURCE_SIZE), byte_bpe(GERMAN, SOURCE_SIZE)
    mixing, _ = make_mixing(source, target, Evidence())
    model = copy.deepcopy(gpt2(SOURCE_SIZE)).to(torch.bfloat16)
    renewed = with_mixed_vocabulary(model, target, mixing, source=source)
    assert renewed.get_input_embeddings().weight.dtype == torch.bfloat16


def test_the_result_can_be_trained_further():
    source, target = byte_bpe(ENGLISH, SOURCE_SIZE), byte_bpe(GERMAN, SOURCE_SIZE)
    mixing, _ = make_mixing(source, target, Evidence())
    renewed = with_mixed_vocabulary(gpt2(SOURCE_SIZE), target, mixing, source=source)
    ids = torch.tensor([[5, 6, 7]])
    renewed(ids, labels=ids).loss.backward()
    assert renewed.get_input_embeddings().weight.grad.abs().sum() > 0
