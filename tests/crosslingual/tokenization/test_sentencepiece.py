"""Fast tokenizers made of sentencepiece's models cut text as sentencepiece itself does."""

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslingual.tokenization.sentencepiece import as_fast, train_model
from tests.crosslingual.tiny_texts import HOSTILE, TEXTS
from tests.crosslingual.tiny_transfer import ENGLISH

ALGORITHMS = ("sentencepiece-bpe", "unigram")


@pytest.fixture(scope="module")
def models():
    """Return sentencepiece's own tokenizer and the fast one, by algorithm."""
    made = {}
    for algorithm in ALGORITHMS:
        model = train_model(TEXTS * 3, algorithm, 240)
        made[algorithm] = sentencepiece.SentencePieceProcessor(model_proto=model), as_fast(model, algorithm)
    return made


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_fast_tokenizer_cuts_as_sentencepiece_does(models, algorithm):
    own, fast = models[algorithm]
    for text in [*HOSTILE, *TEXTS, "ssss sss thethethe  the", "<0x41> <unk>"]:
        assert fast.encode(text).ids == own.encode(text), text
        assert fast.decode(fast.encode(text).ids) == text


@settings(max_examples=100)
@given(st.lists(st.sampled_from(" ".join(ENGLISH).split(" ")) | st.text(max_size=4), max_size=8).map(" ".join))
def test_so_it_does_with_any_text(models, text):
    own, fast = models["sentencepiece-bpe"]
    assert fast.encode(text).ids == own.encode(text)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(" ".join(ENGLISH).split(" ")) | st.text(max_size=4), max_size=8).map(" ".join))
def test_unigram_finds_as_likely_a_way_with_any_text(models, text):
    # of two ways of one likelihood either may be found
    own, fast = models["unigram"]

    def likelihood(numbers):
        return sum(own.get_score(number) for number in numbers if not own.is_byte(number))

    assert likelihood(fast.encode(text).ids) == pytest.approx(likelihood(own.encode(text)), abs=1e-3)


def test_the_first_ids_are_the_unknown_token_and_the_bytes(models):
    for _, fast in models.values():
        assert [fast.id_to_token(number) for number in (0, 1, 256)] == ["<unk>", "<0x00>", "<0xFF>"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_lines_that_sentencepiece_would_pass_over_are_learned_from(algorithm):
    words = " ".join(["balloon", "river", "flower"] * 800)  # 16,000 bytes
    tokenizer = as_fast(train_model([f"{words}\tmoonlight ▅ \0 moonlight"], algorithm, 43), algorithm)
    assert len(tokenizer.encode("balloon river").tokens) < 8
