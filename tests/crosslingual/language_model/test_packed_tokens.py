import math

import numpy as np
import pytest
import torch

from backbone.errors import PolygraftError
from backbone.hf.loading import load_tokenizer
from backbone.training.loop import TrainConfig, fit
from crosslingual.language_model.bits_per_byte import score_text
from crosslingual.language_model.objectives import LanguageObjective
from crosslingual.language_model.packed_tokens import PackedTokens, pack
from crosslingual.tokenization.train import train_byte_bpe, untrained_gpt2

TEXTS = ["The owl and the cat went to sea.", "The cat sat on the mat, and the owl sat on the cat.", "Ünïcode, 漢字 👍!"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_bpe(TEXTS * 3, 300, context=32)


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    return untrained_gpt2(tokenizer, context=32, width=16, layers=1, heads=2)


def test_the_end_of_text_token_is_last_and_id_zero_is_ordinary(tokenizer):
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == len(tokenizer) - 1
    assert tokenizer.decode([0]) != tokenizer.eos_token


@pytest.mark.parametrize("text", [*TEXTS, "", "\n\t\x00", "नमस्ते"])
def test_text_survives_the_tokenizer_behind_its_leading_blank(tokenizer, text):
    decoded = tokenizer.decode(tokenizer(text)["input_ids"])
    assert decoded in (text, " " + text)


def test_a_first_word_is_the_token_it_is_within_a_sentence(tokenizer):
    first, inside = tokenizer("cat")["input_ids"], tokenizer("the cat")["input_ids"]
    assert inside[-len(first) :] == first


def test_a_tokenizer_is_the_same_after_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path))(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


def test_packing_ends_each_document_and_loses_no_token(tokenizer, tmp_path):
    packed = pack(TEXTS, tokenizer, tmp_path / "tokens.npy")
    assert (packed == tokenizer.eos_token_id).sum() == len(TEXTS)
    assert packed.tolist() == [i for text in TEXTS for i in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]


def test_rows_overlap_by_one_so_that_each_token_is_predicted_once():
    rows = PackedTokens(np.arange(13, dtype=np.uint16), 4)
    assert len(rows) == 3
    assert rows.collate([0, 2]).tolist() == [[0, 1, 2, 3, 4], [8, 9, 10, 11, 12]]


def test_too_little_text_is_one_sentence(tokenizer, tmp_path):
    with pytest.raises(PolygraftError, match="fewer than one row"):
        PackedTokens(np.arange(4, dtype=np.uint16), 4)
    with pytest.raises(PolygraftError, match="no document"):
        pack([], tokenizer, tmp_path / "tokens.npy")


def test_the_objective_is_the_models_own_loss_times_the_tokens(model):
    rows = torch.randint(0, 300, (2, 9))
    loss, weight = LanguageObjective(model)(rows)
    # transformers shifts the labels itself, so the last column is given as input only to be predicted
    expected = model(rows, labels=rows).loss * 16
    assert weight == 16 and loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_bits_per_byte_of_a_uniform_model_are_tokens_times_log_vocabulary(model, tokenizer):
    for parameter in model.parameters():
        parameter.data.zero_()
    score = score_text(model, tokenizer, TEXTS, context=32)
    tokens = sum(len(tokenizer(text)["input_ids"]) + 1 for text in TEXTS)
    size = sum(len(text.encode()) for text in TEXTS)
    assert score.tokens.sum() == tokens and score.bytes.sum() == size
    assert score.bits_per_byte == pytest.approx(tokens * math.log2(300) / size, rel=1e-4)


def test_windows_do_not_change_how_many_tokens_are_scored(model, tokenizer):
    narrow, wide = (score_text(model, tokenizer, TEXTS, context=context) for context in (5, 32))
    assert narrow.tokens.tolist() == wide.tokens.tolist()


def test_training_lowers_the_bits_per_byte(model, tokenizer, tmp_path):
    rows = PackedTokens(pack(TEXTS * 4, tokenizer, tmp_path / "tokens.npy"), 16)
    before = score_text(model, tokenizer, TEXTS, context=32).bits_per_byte
    fit(LanguageObjective(model), rows, TrainConfig(steps=30, batch_size=4, lr=2e-2, optimizer="muon"))
    assert score_text(model, tokenizer, TEXTS, context=32).bits_per_byte < 0.8 * before
