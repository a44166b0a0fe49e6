import numpy as np
import pytest
from tokenizers import Tokenizer

from crosslingual.alignment import WordReader
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vocabulary_transfer.inputs import Parallel
from crosslingual.vocabulary_transfer.methods import from_dictionary, transtoken
from crosslingual.vocabulary_transfer.methods.transtoken import token_counts
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, PAIRS, byte_bpe, unigram, wordpiece

TEXT = Parallel(source=tuple(ENGLISH * 4), target=tuple(GERMAN * 4), name="sentences")
WORDS = Dictionary(pairs=tuple(PAIRS), name="pairs")


@pytest.fixture(scope="module")
def english():
    return Vocabulary.of(byte_bpe(ENGLISH, 420))


@pytest.fixture(scope="module")
def german():
    return Vocabulary.of(byte_bpe(GERMAN, 420))


def pieces(vocabulary, words):
    return [[vocabulary.pieces[token] for token in word] for word in words]


# Words


KINDS = {
    "bpe": lambda: byte_bpe(GERMAN, 420),
    "unigram": lambda: unigram(GERMAN),
    "wordpiece": lambda: wordpiece(GERMAN, 150),
}


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_joined_of_their_tokens(kind):
    vocabulary = Vocabulary.of(KINDS[kind]())
    text = "die katze sitzt am seeufer"
    [words] = WordReader.of(vocabulary).read([text])
    assert [word.strip() for word in vocabulary.tokenizer.batch_decode([list(word) for word in words])] == text.split()
    assert max(map(len, words)) > 1
    assert [token for word in words for token in word] == vocabulary.read([text])[0]


def test_in_scripts_without_blanks_each_token_is_a_word():
    vocabulary = Vocabulary.of(byte_bpe([*GERMAN, "漢字漢字 漢字"], 500))
    [words] = WordReader.of(vocabulary).read(["漢字漢字漢 singt"])
    assert [len(word) for word in words[:-1]] == [1] * (len(words) - 1) and len(words) > 2


def test_a_reader_leaves_the_tokenizer_as_it_is_and_does_not_pad(german):
    german.tokenizer.backend_tokenizer.enable_truncation(2)
    try:
        assert sum(map(len, WordReader.of(german).read(["die katze sitzt"])[0])) > 2
    finally:
        german.tokenizer.backend_tokenizer.no_truncation()


def test_words_without_a_token_are_written_in_shorter_ones(german):
    reader = WordReader.of(german)
    assert pieces(german, reader.read([" und"])[0]) == [["Ġund"]] and "Ġund" in reader.merges
    [word] = pieces(german, reader.without(["Ġund"]).read([" und"])[0])
    assert len(word) > 1 and "".join(word) == "Ġund"
    assert not WordReader.of(Vocabulary.of(unigram(GERMAN))).merges


def test_whole_words_are_not_looked_up_past_the_merges(german):
    looked_up = byte_bpe(GERMAN, 420)
    state = looked_up.backend_tokenizer.to_str().replace('"ignore_merges":false', '"ignore_merges":true')
    looked_up._tokenizer = Tokenizer.from_str(state)
    reader = WordReader.of(Vocabulary.of(looked_up))
    assert len(reader.without(["Ġund"]).read([" und"])[0][0]) > 1


# Counts


def test_counts_of_words_become_counts_of_tokens():
    aligned = [((0,), (1,), 8.0), ((1, 2), (0, 2, 3), 6.0), ((0,), (3,), 1.0)]
    counts = token_counts(aligned, (4, 3)).toarray()
    # half of 6 to all pairs, 1.5 each; half in order: 0 0 1 1 2 2 against 0 1 1 2 2 3 by pairs of thirds
    assert counts[1].tolist() == [8, 0, 0]
    assert counts[0].tolist() == [0, 1.5 + 3, 1.5]
    assert counts[2].tolist() == [0, 1.5 + 1.5, 1.5 + 1.5]
    assert counts[3].tolist() == [1, 1.5, 1.5 + 3]
    assert not token_counts([], (4, 3)).toarray().any()


def test_rows_are_shares_of_translations(english, german):
    counted, borrowed = transtoken(english, german, TEXT)
    for mixing in (counted, borrowed):
        sums = np.asarray(mixing.matrix.sum(axis=1)).ravel()
        assert sums[mixing.known] == pytest.approx(1) and mixing.matrix.data.min() > 0
    assert not (counted.known & borrowed.known).any()
    ours, theirs = german.numbers, english.numbers
    for here, there in (("Ġund", "Ġand"), ("Ġder", "Ġthe"), ("Ġdas", "Ġthe")):
        assert counted.neighbours(ours[here])[0][0] == theirs[there], here


def test_rare_pairs_are_noise(english, german):
    few, many = (transtoken(english, german, TEXT, least=least)[0].matrix.nnz for least in (20, 0.5))
    assert few < many
    none = transtoken(english, german, TEXT, least=1e9)[0]
    # what both write alike and numbers remain
    assert none.neighbours(german.numbers["."]) == [(english.numbers["."], 1.0)]
    assert not none.known[german.numbers["Ġund"]]


def test_numbers_are_made_of_the_first_of_their_tokens():
    english = Vocabulary.of(byte_bpe(ENGLISH, 300))
    german = Vocabulary.of(byte_bpe(["1984 1984 1984"] * 50, 270))
    counted, _ = transtoken(english, german, TEXT, least=1e9)
    number = german.numbers["Ġ1984"]
    assert counted.neighbours(number) == [(english.numbers["1"], 1.0)]


def test_tokens_never_seen_borrow_from_what_begins_with_them_and_what_is_in_them(english, german):
    _, borrowed = transtoken(english, german, Parallel(source=("and",), target=("und",), name="one"), least=0.01)
    counted, _ = transtoken(english, german, Parallel(source=("and",), target=("und",), name="one"), least=0.01)
    ours = german.numbers
    number = ours["Ġund"]
    assert counted.known[ours["und"]] and borrowed.known[number]
    # "und" is the longest within it, and "Ġ" stands beside
    lenders = {ours["und"], ours["Ġ"]}
    weights = sum(counted.matrix[[lender]].toarray()[0] * (1 + english.starts) for lender in lenders)
    assert borrowed.matrix[[number]].toarray()[0] == pytest.approx(weights / weights.sum())


# Dictionaries


def test_a_dictionary_gives_its_words_their_translations(english, german):
    mixing = from_dictionary(english, german, WORDS)
    assert set(mixing.counts()) <= {"dict", "none"}
    for here, there in (("Ġund", "Ġand"), ("Ġdach", "Ġroof"), ("Ġkatze", "Ġcat")):
        if here in german.numbers and there in english.numbers:
            assert mixing.neighbours(german.numbers[here])[0][0] == english.numbers[there], here
    assert mixing.known[german.numbers["Ġund"]]


def test_words_fall_back_to_shorter_tokens_round_by_round(english, german):
    one_round, _ = transtoken(english, german, Parallel.of(WORDS), least=0.5)
    whole = from_dictionary(english, german, WORDS)
    # the parts of words that are single tokens have rows too, only through the later rounds
    later = whole.known & ~one_round.known
    assert later.sum() > 5
    parts = [german.pieces[number] for number in np.flatnonzero(later)]
    assert any(len(part) > 1 and any(part in word for _, word in PAIRS) for part in parts)


def test_other_tokenizers_than_bpe_have_one_round(english):
    target = Vocabulary.of(unigram(GERMAN))
    mixing = from_dictionary(english, target, WORDS)
    assert mixing.neighbours(target.numbers["▁und"])[0][0] == english.numbers["Ġand"]
