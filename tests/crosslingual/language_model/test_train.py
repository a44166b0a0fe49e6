import copy

import numpy as np
import pytest
import torch

from backbone.errors import PolygraftError
from backbone.training.config import TrainConfig
from crosslingual.language_model.bits_per_byte import score_text
from crosslingual.language_model.packed_tokens import PackedTokens, pack
from crosslingual.language_model.train import Tuning, train_language_model
from crosslingual.tokenization.train import train_byte_bpe, untrained_gpt2

TEXTS = ["The owl and the cat went to sea.", "The cat sat on the mat, and the owl sat on the cat."]
CONFIG = TrainConfig(steps=12, batch_size=4, lr=2e-2)


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_bpe(TEXTS * 3, 300, context=32)


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    return untrained_gpt2(tokenizer, context=32, width=16, layers=2, heads=2)


@pytest.fixture
def rows(tokenizer, tmp_path):
    return PackedTokens(pack(TEXTS * 6, tokenizer, tmp_path / "tokens.npy"), 16)


def changed(before, after):
    after = after.state_dict()
    return {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, after[name])}


def bits(model, tokenizer):
    return score_text(model, tokenizer, TEXTS, context=32).bits_per_byte


EMBEDDINGS = {"transformer.wte.weight", "lm_head.weight"}


def test_training_embeddings_leaves_the_body_bit_identical(model, tokenizer, rows):
    before = copy.deepcopy(model)
    train_language_model(model, tokenizer, rows, CONFIG, Tuning(train="embeddings"))
    assert changed(before, model) == EMBEDDINGS
    assert bits(model, tokenizer) < 0.9 * bits(before, tokenizer)


def test_training_the_body_leaves_the_embeddings_as_they_are(model, tokenizer, rows):
    before = copy.deepcopy(model)
    train_language_model(model, tokenizer, rows, CONFIG, Tuning(train="body"))
    found = changed(before, model)
    assert found and not found & EMBEDDINGS
    assert bits(model, tokenizer) < bits(before, tokenizer)


def test_training_all_with_embeddings_first_makes_all_steps_of_both_phases(model, tokenizer, rows, tmp_path):
    before = copy.deepcopy(model)
    result = train_language_model(
        model, tokenizer, rows, CONFIG, Tuning(train="all", embeddings_first=0.25), folder=tmp_path / "run"
    )
    assert result.steps == len(result.losses) == 12
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["embeddings-first", "log.jsonl", "resume"]
    assert changed(before, model) > EMBEDDINGS


def test_low_rank_changes_are_merged_and_of_that_rank(model, tokenizer, rows):
    before = copy.deepcopy(model)
    train_language_model(model, tokenizer, rows, CONFIG, Tuning(train="lora", rank=2))
    name = "transformer.h.0.attn.c_attn.weight"
    change = (model.state_dict()[name] - before.state_dict()[name]).double()
    values = torch.linalg.svdvals(change)
    assert values[1] > 0 and values[2] < 1e-4 * values[0]
    assert changed(before, model) >= EMBEDDINGS | {name}
    assert not any("ln_" in found or "bias" in found for found in changed(before, model))
    assert bits(model, tokenizer) < bits(before, tokenizer)


@pytest.mark.parametrize("part", ["all", "lora"])
def test_what_is_measured_while_training_is_the_model_that_is_kept(model, tokenizer, rows, part):
    figures = []

    def evaluate(measured):
        figures.append(bits(measured, tokenizer))
        return {"score": -figures[-1]}

    config = TrainConfig(steps=6, batch_size=4, lr=1e-2, eval_every=2)
    train_language_model(model, tokenizer, rows, config, Tuning(train=part), evaluate=evaluate)
    assert len(figures) == 3 and bits(model, tokenizer) == pytest.approx(min(figures), rel=1e-5)


@pytest.mark.parametrize("part", ["embeddings", "lora"])
def test_a_run_goes_on_where_it_was_stopped(tokenizer, rows, tmp_path, part):
    def trained(folder, steps):
        torch.manual_seed(0)
        model = untrained_gpt2(tokenizer, context=32, width=16, layers=2, heads=2)
        config = TrainConfig(steps=steps, batch_size=4, lr=1e-2, schedule="constant", warmup=0, save_every=2)
        train_language_model(model, tokenizer, rows, config, Tuning(train=part), folder=folder)
        return model.state_dict()

    trained(tmp_path / "broken", 4)
    again, whole = trained(tmp_path / "broken", 8), trained(tmp_path / "whole", 8)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_impossible_settings_are_one_sentence(model, tokenizer, rows):
    with pytest.raises(PolygraftError, match="embeddings_first is 1"):
        Tuning(embeddings_first=1)
    with pytest.raises(PolygraftError, match="rank is 0"):
        Tuning(rank=0)
    with pytest.raises(PolygraftError, match="no two phases"):
        train_language_model(model, tokenizer, rows, TrainConfig(steps=1, batch_size=2), Tuning(embeddings_first=0.5))
    config = TrainConfig(steps=1, batch_size=2, parallel="fsdp")
    with pytest.raises(PolygraftError, match="choose --parallel ddp"):
        train_language_model(model, tokenizer, rows, config, Tuning(train="lora"))


def test_rows_are_unsigned_and_become_int64():
    assert PackedTokens(np.arange(40, dtype=np.uint16), 4).collate([0]).dtype == torch.int64
