"""mGPT's strategies: what becomes a token, and that decoding gives the text back."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crosslingual import TokenizerOptions, train_tokenizer
from crosslingual.tokenization.byte_bpe import CASE_MARK, SIGNS, small_letters
from tests.crosslingual.tiny_texts import HOSTILE, MARKED, TEXTS, reloaded

KINDS = {
    **{strategy: {"strategy": strategy} for strategy in ("default", "case", "arithmetic", "combined", "char")},
    **{f"{strategy} marks": {"strategy": strategy, "marks": True} for strategy in ("default", "combined")},
    **{algorithm: {"algorithm": algorithm} for algorithm in ("sentencepiece-bpe", "unigram")},
}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Return a tokenizer of each kind, saved and loaded by plain transformers."""
    return {
        kind: reloaded(
            train_tokenizer(TEXTS, TokenizerOptions(vocab_size=500, **options), context=10**6),
            tmp_path_factory.mktemp("tokenizer"),
        )
        for kind, options in KINDS.items()
    }


def round_trip(tokenizer, text):
    return tokenizer.decode(tokenizer(text)["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_comes_back(tokenizers, kind):
    texts = [*HOSTILE, "\n".join(TEXTS)]
    assert [round_trip(tokenizers[kind], text) for text in texts] == texts


@settings(max_examples=60)
@given(st.text(st.characters(codec="utf-8") | st.sampled_from([*"aAzZ0ßſKκΚ \n<>-", CASE_MARK, "\u0301"])))
@example("\x0e\x0e\x0ea\x0eA\x0e0A")
def test_any_text_comes_back(tokenizers, text):
    for kind, tokenizer in tokenizers.items():
        expected = text if tokenizer.unk_token is None else text.replace("▁", " ")
        assert round_trip(tokenizer, text) == expected, kind


def test_a_capital_is_a_marker_and_its_small_letter(tokenizers):
    case = tokenizers["case"]
    marker, _ = case(CASE_MARK)["input_ids"]  # followed by what says that it is the text's own
    assert case("The KING")["input_ids"] == [
        marker, *case("the")["input_ids"], *case(" ")["input_ids"],
        *[number for letter in "king" for number in (marker, *case(letter)["input_ids"])],
    ]  # fmt: skip
    assert case("ГОРОД")["input_ids"].count(marker) == 5


def test_a_capital_of_a_script_that_the_text_did_not_have_stays(tokenizers):
    assert CASE_MARK not in "".join(tokenizers["case"].batch_decode(tokenizers["case"]("Ա")["input_ids"]))
    assert round_trip(tokenizers["case"], "Ա") == "Ա"


def test_small_letters_lead_back():
    letters = small_letters()
    assert letters["A"] == "a" and letters["Σ"] == "σ" and letters["ẞ"] == "ß" and letters["𐐀"] == "𐐨"
    assert len(set(letters.values())) == len(letters) > 1300
    assert not {"\u212a", "\u212b", "ǅ", "İ"} & set(letters)


@pytest.mark.parametrize("kind", ["arithmetic", "combined", "combined marks"])
def test_each_digit_and_sign_is_one_token(tokenizers, kind):
    tokenizer = tokenizers[kind]
    for number in ("2024", "४७", SIGNS, "a==b", "7×8−9"):
        pieces = tokenizer.batch_decode([[token] for token in tokenizer(number)["input_ids"]])
        assert pieces == list(number)


def test_a_digit_that_the_text_did_not_have_is_bytes(tokenizers):
    assert len(tokenizers["arithmetic"]("٤")["input_ids"]) == 2
    assert len(tokenizers["default"]("34")["input_ids"]) <= 2


def test_no_token_of_the_strategy_char_is_two_characters(tokenizers):
    char = tokenizers["char"]
    alone = char.batch_decode([[number] for number in range(len(char)) if number not in char.all_special_ids])
    assert max(len(text) for text in alone if "\ufffd" not in text) == 1
    assert len(char) < 500 and len(char("राजा")["input_ids"]) == 4


@pytest.mark.parametrize("language", MARKED)
def test_marks_stay_with_their_letters(tokenizers, language):
    def pieces(kind, text):
        return tokenizers[kind].backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)

    words = MARKED[language].split(" ")
    assert len(pieces("default marks", MARKED[language])) == len(words)
    assert len(pieces("default", MARKED[language])) > len(words)
    for same in ("don't stop 12, a  b\n c", "Ну, ГОРОД 漢字!", "x=2"):
        assert pieces("default marks", same) == pieces("default", same)
    assert len(pieces("default marks", " ❤️ 👩‍💻")) == 2
