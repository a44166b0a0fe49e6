import numpy as np
import pytest

from backbone.errors import PolygraftError
from crosslingual.options import TransferOptions
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.methods import focus, fvt, ofa, own_vectors, token_texts, wechsel
from crosslingual.vocabulary_transfer.overlap import copies, overlap
from crosslingual.vocabulary_transfer.subword_vectors import TokenVectors, token_vectors
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, byte_bpe, wordpiece
from tests.crosslingual.tiny_vectors import word_vectors


def tokens(vectors, reasons=None):
    rows = np.array(vectors, dtype=np.float32)
    return TokenVectors(vectors=rows, starts=np.ones(len(rows), bool), reasons=reasons or ("",) * len(rows))


SOURCE = tokens([[1, 0], [0, 1], [1, 1]])


def test_wechsel_is_a_softmax_over_the_nearest():
    mixing = wechsel(SOURCE, tokens([[2, 0], [0, 0]]), neighbors=2, temperature=0.5)
    a, b = np.exp(np.array([1, np.sqrt(0.5)]) / 0.5) / np.exp(np.array([1, np.sqrt(0.5)]) / 0.5).sum()
    assert mixing.neighbours(0) == [(0, pytest.approx(a)), (2, pytest.approx(b))]
    assert mixing.known.tolist() == [True, False]


@pytest.mark.parametrize("temperature", [1e-3, 1e-9])
def test_a_tiny_temperature_takes_the_nearest_and_nothing_overflows(temperature):
    mixing = wechsel(SOURCE, tokens([[2, 0.1]]), temperature=temperature)
    assert mixing.neighbours(0)[0] == (0, pytest.approx(1))
    assert np.isfinite(mixing.matrix.data).all()


def test_more_neighbours_than_tokens_are_all_tokens_and_holes_none():
    assert len(wechsel(SOURCE, tokens([[1, 0]]), neighbors=50).neighbours(0)) == 3
    holes = TokenVectors(vectors=SOURCE.vectors, starts=SOURCE.starts, reasons=("", "hole", ""))
    assert [source for source, _ in wechsel(holes, tokens([[1, 0]]), neighbors=50).neighbours(0)] == [0, 2]
    assert not wechsel(SOURCE, tokens([[0, 0]])).known.any()


@pytest.mark.parametrize("settings", [{"neighbors": 0}, {"temperature": 0.0}, {"temperature": float("nan")}])
def test_senseless_settings_are_one_sentence(settings):
    with pytest.raises(PolygraftError, match=f"{next(iter(settings))} is"):
        TransferOptions(**settings)


def test_ofa_copies_what_is_alike_and_mixes_the_rest():
    source, target = Vocabulary.of(byte_bpe(ENGLISH, 420)), Vocabulary.of(byte_bpe(GERMAN, 400))
    vectors = word_vectors({word: [len(word), 1.0] for line in ENGLISH + GERMAN for word in line.split()})
    both = tuple(token_vectors(one, vectors, "words", mean="plain") for one in (source, target))
    mixing = ofa(source, target, both)
    assert mixing.counts().keys() == {"identical", "byte", "ofa", "none"}
    fuzzy = set(overlap(source, target, fuzzy=True)) | set(np.flatnonzero(copies(source, target).known).tolist())
    assert mixing.counts()["identical"] + mixing.counts()["byte"] == len(fuzzy)


def test_a_plain_mean_counts_every_word_alike_and_its_capitalised_spelling_too():
    target = Vocabulary.of(byte_bpe(GERMAN, 400))
    vectors = word_vectors({"und": [1.0, 0.0], "unding": [0.0, 1.0], "der": [5.0, 5.0]})
    found = token_vectors(target, vectors, "words", mean="plain")
    words = {"und": [1.0, 0.0], "unding": [0.0, 1.0], "der": [5.0, 5.0]}

    def holds(token, word):
        spellings = [word, " " + word, word.capitalize(), " " + word.capitalize()]
        return any(token in ids for ids in target.read(spellings))

    for token in range(len(target)):
        means = [vector for word, vector in words.items() if holds(token, word)]
        assert found.vectors[token] == pytest.approx(np.mean(means, axis=0) if means else np.zeros(2)), token


def test_focus_without_anchors_copies_alone():
    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    mixing = focus(Vocabulary.of(source), Vocabulary.of(target), np.zeros((400, 5), np.float32))
    assert set(mixing.counts()) == {"identical", "none"}


def test_focus_rows_are_convex_combinations_of_copied_tokens():
    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    vectors = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    mixing = focus(Vocabulary.of(source), Vocabulary.of(target), vectors)
    sums = np.asarray(mixing.matrix.sum(axis=1)).ravel()
    assert mixing.known.all() and sums == pytest.approx(np.ones(400)) and mixing.matrix.data.min() > 0


def test_tokens_that_are_no_words_of_the_vectors_have_none_of_their_own():
    target = byte_bpe(GERMAN, 400)
    found = own_vectors(target, word_vectors({"Ġund": [1.0, 2.0], "absent": [3.0, 4.0]}))
    assert np.flatnonzero(found.any(axis=1)).tolist() == [target.get_vocab()["Ġund"]]


def test_token_texts_are_tokens_with_blanks_between():
    target = byte_bpe(GERMAN, 400)
    assert next(token_texts(target, ["und der"])).split() == target.tokenize("und der")


def test_fvt_is_the_mean_of_the_sources_tokens_of_the_text():
    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    mixing = fvt(Vocabulary.of(source), Vocabulary.of(target))
    for piece in ("Ġkatze", "Ġund", "ein"):
        number = target.get_vocab()[piece]
        ids = source(piece.replace("Ġ", " "), add_special_tokens=False)["input_ids"]
        expected = {i: ids.count(i) / len(ids) for i in ids}
        assert dict(mixing.neighbours(number)) == pytest.approx(expected), piece
    assert not mixing.known[[target.eos_token_id, target.get_vocab()["Ã"], target.get_vocab()["Ġ"]]].any()


def test_fvt_leaves_out_what_the_source_does_not_know():
    source, target = wordpiece(ENGLISH, 200), byte_bpe([*GERMAN, "漢字 漢字 漢字"], 420)
    mixing = fvt(Vocabulary.of(source), Vocabulary.of(target))
    unknown = [
        n for n, piece in enumerate(Vocabulary.of(target).pieces) if source.unk_token_id in dict(mixing.neighbours(n))
    ]
    assert unknown == [] and mixing.known.any()
