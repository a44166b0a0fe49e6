import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from backbone.errors import PolygraftError
from crosslingual.language_model.bits_per_byte import TextScore, score_text
from crosslingual.tokenization.train import train_byte_bpe, untrained_gpt2

TEXTS = ["The owl and the cat went to sea.", "The cat sat on the mat, and the owl sat on the cat.", "漢字 👍!"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_bpe(TEXTS * 3, 300, context=32)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    return untrained_gpt2(tokenizer, context=64, width=16, layers=1, heads=2).eval()


def slow_nats(model, tokenizer, text, context, stride):
    """One token at a time: each predicted from the window in which it appears first."""
    ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    total = 0.0
    for position in range(1, len(ids)):
        start = next(s for s in range(0, len(ids), stride) if position <= s + context)
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:position]])).logits[0, -1].double()
        total -= float(F.log_softmax(logits, -1)[ids[position]])
    return total


@pytest.mark.parametrize(("context", "stride"), [(32, 32), (7, 7), (7, 3), (5, 1)])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_scores_are_those_of_one_token_at_a_time(model, tokenizer, context, stride, batch_size):
    score = score_text(model, tokenizer, TEXTS, context=context, stride=stride, batch_size=batch_size)
    expected = [slow_nats(model, tokenizer, text, context, stride) for text in TEXTS]
    assert score.nats.tolist() == pytest.approx(expected, rel=1e-4)
    assert score.tokens.sum() == sum(len(tokenizer(text)["input_ids"]) + 1 for text in TEXTS)


def scored(nats, **amounts):
    alone = np.ones(len(nats), dtype=int)
    given = {name: np.array(amounts.get(name, alone)) for name in ("bytes", "characters", "tokens", "unknown")}
    return TextScore(nats=np.array(nats), context=8, stride=8, **given)


def test_sums_are_divided_once():
    score = scored([10.0, 30.0], bytes=[10, 90], characters=[10, 40], tokens=[5, 15], unknown=[1, 0])
    figures = score.figures()
    assert score.bits_per_byte == figures["bits_per_byte"] == pytest.approx(40 / math.log(2) / 100)
    assert figures["bits_per_character"] == pytest.approx(40 / math.log(2) / 50)
    assert figures["perplexity"] == pytest.approx(math.exp(2))
    assert figures["unknown_rate"] == pytest.approx(1 / 20)
    assert figures["context_bytes"] == pytest.approx(40)


def test_the_interval_holds_the_figure_and_shrinks_with_documents():
    widths = []
    for count in (10, 1000):
        figures = scored([1.0 + number % 2 for number in range(count)]).figures()
        low, high = figures["bits_per_byte_low"], figures["bits_per_byte_high"]
        assert low < figures["bits_per_byte"] < high
        widths.append(high - low)
    assert widths[1] < 0.3 * widths[0]


def test_a_name_of_a_special_token_in_a_text_is_text(model, tokenizer):
    plain = score_text(model, tokenizer, ["<|endoftext|>"], context=32)
    assert plain.tokens.sum() > 2


def test_what_cannot_be_scored_is_one_sentence(model, tokenizer):
    with pytest.raises(PolygraftError, match="no text"):
        score_text(model, tokenizer, [], context=8)
    with pytest.raises(PolygraftError, match="stride is 9"):
        score_text(model, tokenizer, TEXTS, context=8, stride=9)


def test_an_empty_document_costs_its_end_and_has_no_bytes(model, tokenizer):
    score = score_text(model, tokenizer, [""], context=8)
    assert score.tokens.tolist() == [1] and score.bytes.tolist() == [0] and math.isfinite(score.bits_per_byte)
