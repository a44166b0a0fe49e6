import fasttext
import numpy as np
import pytest

from backbone.errors import PolygraftError
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.subword_vectors import token_vectors
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, byte_bpe, roberta_bpe, unigram, wordpiece
from tests.crosslingual.tiny_vectors import tiny_fasttext, word_vectors

MAKERS = {
    "gpt2": lambda: byte_bpe(GERMAN, 400),
    "roberta": lambda: roberta_bpe(GERMAN, 400),
    "unigram": lambda: unigram(GERMAN + ENGLISH),
    "bert": lambda: wordpiece(GERMAN, 200),
}


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    return tiny_fasttext(tmp_path_factory.mktemp("vectors") / "de.bin", GERMAN)


def test_the_route_of_n_grams_gives_fasttexts_vector_of_each_decoded_token(tokenizer, vectors):
    model = fasttext.load_model(vectors.name)
    found = token_vectors(Vocabulary.of(tokenizer), vectors)
    expected = np.stack([model.get_word_vector(tokenizer.decode([number]).strip()) for number in range(len(tokenizer))])
    assert np.abs(found.vectors - expected).max() < 1e-6


def test_the_route_of_words_gives_the_weighted_mean_of_the_words_that_hold_the_token(tokenizer, vectors):
    found = token_vectors(Vocabulary.of(tokenizer), vectors, "words", max_words=30)
    rows, counts = vectors.vectors(vectors.words), vectors.counts
    total, mass = np.zeros((len(tokenizer), vectors.width)), np.zeros(len(tokenizer))
    for number, word in enumerate(vectors.words[:30]):
        for text in (word, " " + word):
            for token in set(tokenizer(text, add_special_tokens=False)["input_ids"]):
                total[token] += counts[number] * rows[number]
                mass[token] += counts[number]
    assert np.abs(found.vectors - total / np.where(mass > 0, mass, 1)[:, None]).max() < 1e-6
    assert (found.vectors.any(axis=1) == (mass > 0)).all()


def test_each_token_has_a_vector_or_a_reason(tokenizer, vectors):
    for route in ("ngrams", "words"):
        found = token_vectors(Vocabulary.of(tokenizer), vectors, route)
        assert [reason == "" for reason in found.reasons] == found.vectors.any(axis=1).tolist()


def test_reasons(vectors, tmp_path):
    vocabulary = Vocabulary.of(byte_bpe(GERMAN, 400))
    long_ngrams = tiny_fasttext(tmp_path / "long.bin", GERMAN, shortest=5)
    reasons = dict(zip(vocabulary.pieces, token_vectors(vocabulary, long_ngrams).reasons, strict=True))
    assert reasons["Ã"] == "part of a character" and reasons["!"] == "too short" and reasons["Ġ"] == "whitespace"
    assert reasons["und"] == reasons["Ġund"] == ""


def starts(pieces):
    return Vocabulary(tokenizer=None, pieces=tuple(pieces), decoded=("",) * len(pieces)).starts


def test_word_starts_are_told_by_the_mark_of_most_tokens():
    assert starts(["Ġthe", "the", "Ġ", None]).tolist() == [True, False, True, False]
    assert starts(["▁the", "the", "##x"]).tolist() == [True, False, False]
    assert starts(["the", "##ing", "##s", "Ġ"]).tolist() == [True, False, False, True]


def test_a_tokenizer_with_holes_in_its_ids(vectors):
    class Holes:
        def get_vocab(self):
            return {"und": 0, "der": 3}

        def batch_decode(self, rows):
            return [{0: " und", 3: "der"}[row[0]] for row in rows]

    vocabulary = Vocabulary.of(Holes())
    assert vocabulary.texts == ("und", "", "", "der") and vocabulary.pieces == ("und", None, None, "der")
    found = token_vectors(vocabulary, vectors)
    assert found.reasons == ("", "hole", "hole", "")
    assert np.array_equal(found.vectors[3], vectors.vectors(["der"])[0])


def test_vectors_without_n_grams_need_the_route_of_words():
    with pytest.raises(PolygraftError, match="ask for the route words"):
        token_vectors(Vocabulary.of(byte_bpe(GERMAN, 400)), word_vectors({"und": [1.0, 2.0]}))
