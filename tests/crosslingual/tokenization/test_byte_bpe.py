import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from backbone.errors import PolygraftError
from crosslingual import TokenizerOptions
from crosslingual.tokenization.byte_bpe import TrainingText, train_bbpe, with_tokens

LONG = "".join(map(chr, [*range(0x900, 0x980), 0x1F600, 0x1F601]))  # characters of three and of four bytes


def byte_level(merges):
    """Return byte-level BPE with these merges, each character a word."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, *map("".join, merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def learned(characters, size):
    """Return byte-level BPE of so many tokens that has seen these characters alone."""
    return train_bbpe([characters], TokenizerOptions(vocab_size=size, strategy="char"), size)


def merges_needed(characters):
    """Return how many merges spell these characters from the left, beginnings that they share made once."""
    spelled = [character.encode() for character in characters]
    return len({spelling[:stop] for spelling in spelled for stop in range(2, len(spelling) + 1)})


@given(st.lists(st.sampled_from(LONG), min_size=1, max_size=12, unique=True), st.integers(270, 330))
@example([*LONG[:10], LONG[-1]], 270)  # not a merge to spare
def test_each_character_is_one_token_and_the_size_stays(characters, size):
    assume(merges_needed(characters) <= size - 256)  # where there is no room, see below
    before = learned(LONG, size)
    after = with_tokens(before, characters)
    assert all(len(after.encode(character).ids) == 1 for character in characters)
    assert after.get_vocab_size() == before.get_vocab_size()
    assert after.decode(after.encode(LONG).ids) == LONG
    assert sorted(after.get_vocab().values()) == list(range(after.get_vocab_size()))


def test_merges_that_cross_a_characters_bytes_are_no_hindrance():
    # E2 | 88 92 is how these merges cut the minus sign
    minus = [*"âĪĴ"]
    tokenizer = with_tokens(byte_level([(minus[1], minus[2]), ("a", "b"), ("c", "d")]), ["−"])
    assert tokenizer.encode("−").tokens == ["âĪĴ"] and tokenizer.encode("ab").tokens == ["ab"]
    assert tokenizer.encode("cd").tokens == ["c", "d"]


def test_more_characters_than_merges_are_one_sentence():
    with pytest.raises(PolygraftError, match="ask for a larger vocab_size"):
        with_tokens(learned(LONG, 260), list(LONG))


def test_training_text_remembers_its_characters():
    text = TrainingText(["ab", "bc"], str.upper)
    assert list(text) == ["AB", "BC"] and text.characters == {"a", "b", "c"}
