import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from backbone.errors import PolygraftError
from crosslingual import TokenizerOptions, train_tokenizer
from crosslingual.tokenization.byte_bpe import train_bbpe
from crosslingual.tokenization.fertility import measure
from tests.crosslingual.tiny_texts import MARKED
from tests.crosslingual.tiny_transfer import ENGLISH


@pytest.fixture(scope="module")
def by_bytes():
    """Return a tokenizer whose tokens are the bytes."""
    inner = Tokenizer(
        models.BPE(vocab={a: n for n, a in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


@pytest.fixture(scope="module")
def by_words():
    """Return a tokenizer of two words, that knows nothing else."""
    inner = Tokenizer(models.WordLevel({"?": 0, "the": 1, "cat": 2, "dog": 3}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="?")


def test_what_is_counted_is_divided_once(by_words):
    cut = measure(by_words, ["the cat", "the  owl and the cat"])
    assert (cut.texts, cut.bytes, cut.words, cut.tokens, cut.characters) == (2, 27, 7, 7, 21)
    assert cut.unknown == 2 and cut.unknown_rate == 2 / 7
    assert cut.bytes_per_token == 27 / 7 and cut.fertility == 1.0
    assert cut.used == 3 and cut.vocabulary == 4 and cut.used_share == 0.75


def test_without_blanks_fertility_is_by_character(by_bytes):
    chinese = measure(by_bytes, ["国王 と 女王"])
    assert not chinese.spaced and chinese.fertility == (3 * 5 + 2) / 5
    korean = measure(by_bytes, ["태초에 하나님이"])
    assert korean.spaced and korean.fertility == (3 * 7 + 1) / 2
    assert not measure(by_bytes, [MARKED["th"]]).spaced and not measure(by_bytes, [MARKED["my"]]).spaced
    assert measure(by_bytes, [MARKED["hi"]]).spaced


def test_words_that_are_cut_at_a_mark_are_counted_once(by_bytes, by_words):
    # the second word has two marks and the third none
    assert measure(by_bytes, ["राजा हिन्दी घर", " की"]).split_at_mark == 3
    assert measure(by_bytes, ["cafe\u0301 naïve x"]).split_rate == 1 / 3
    assert measure(by_words, ["राजा"]).split_at_mark == 0
    assert measure(by_bytes, ["\u0301 a"]).split_at_mark == 1


@pytest.mark.parametrize("language", ["hi", "bn", "ta"])
def test_marks_lower_fertility_and_cut_fewer_words(language):
    plain, marks = (
        measure(train_byte_level([MARKED[language]], marks=marks), [MARKED[language]]) for marks in (False, True)
    )
    assert marks.fertility < 1.5 < plain.fertility
    assert marks.split_at_mark < plain.split_at_mark


def train_byte_level(texts, *, marks):
    options = TokenizerOptions(vocab_size=320, marks=marks)
    return PreTrainedTokenizerFast(tokenizer_object=train_bbpe(texts, options, options.vocab_size))


def test_special_tokens_of_a_text_are_text_and_none_are_added():
    tokenizer = train_tokenizer(ENGLISH, TokenizerOptions(vocab_size=300), context=8)
    assert measure(tokenizer, ["<|endoftext|>"]).tokens > 1


def test_text_without_words_is_one_sentence(by_bytes):
    for texts in ([], ["", " \n"]):
        with pytest.raises(PolygraftError, match="sw has no words"):
            measure(by_bytes, texts, "sw")
    with pytest.raises(PolygraftError, match="sw has half a surrogate"):
        measure(by_bytes, ["\ud800"], "sw")
