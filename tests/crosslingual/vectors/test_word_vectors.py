import gzip
import struct

import fasttext
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from crosslingual.vectors.word_vectors import VectorTraining, WordVectors, train
from tests.crosslingual.tiny_vectors import OPTIONS, SENTENCES, tiny_fasttext, word_vectors

UNKNOWN = [
    "",
    " ",
    "a",
    "ab",
    "zzz",
    "catdog",
    "</s>",
    "<s>",
    "Ünïcode",
    "漢",
    "字漢字",
    "👍👍",
    "\ufffd",
    "x y",
    "the",
]


@pytest.fixture(scope="module", params=[(3, 5), (5, 5), (1, 3), (0, 0)], ids=str)
def pair(request, tmp_path_factory):
    """Our reader and fastText's, of one file."""
    path = tmp_path_factory.mktemp("vectors") / "tiny.bin"
    shortest, longest = request.param
    ours = tiny_fasttext(path, shortest=shortest, longest=longest)
    return ours, fasttext.load_model(str(path))


def theirs(model, strings):
    return np.stack([model.get_word_vector(string) for string in strings])


def test_words_and_counts_are_fasttexts(pair):
    ours, model = pair
    words, counts = model.get_words(include_freq=True)
    assert ours.words == words and ours.counts.tolist() == counts.tolist()
    assert ours.width == model.get_dimension() == 20


def test_all_words_and_other_strings_have_fasttexts_vectors(pair):
    ours, model = pair
    strings = [*ours.words, *UNKNOWN]
    assert np.array_equal(ours.vectors(strings), theirs(model, strings))


@pytest.fixture(scope="module")
def short_ngrams(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "any.bin"
    return tiny_fasttext(path, shortest=1, longest=4), fasttext.load_model(str(path))


@given(st.lists(st.text(max_size=12).filter(str.isprintable), min_size=1, max_size=8))
def test_any_string_has_fasttexts_vector(short_ngrams, strings):
    ours, model = short_ngrams
    assert np.array_equal(ours.vectors(strings), theirs(model, strings))


def test_n_grams_are_those_that_fasttext_names(pair):
    ours, model = pair
    if not ours.has_ngrams:
        return
    for word in [*ours.words, *UNKNOWN[:-1]]:
        _, rows = model.get_subwords(word)
        own = [ours.index[word]] if word in ours.index else []
        found = ours._source.ngrams.rows([word])[1] + len(ours.words)
        assert sorted([*own, *found.tolist()]) == sorted(rows.tolist()), word


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "tiny.bin"
    tiny_fasttext(path)
    return path


@pytest.mark.parametrize("kept", [0, 3, 20, 90, 200, 700, 5000])
def test_a_truncated_file_is_one_sentence(binary, tmp_path, kept):
    path = tmp_path / "cut.bin"
    path.write_bytes(binary.read_bytes()[:kept])
    with pytest.raises(PolygraftError, match=r"truncated|neither"):
        WordVectors.open(path)


def test_a_quantised_file_is_one_sentence(binary, tmp_path):
    path = tmp_path / "quantised.bin"
    text = tmp_path / "labelled.txt"
    text.write_text("\n".join(f"__label__a {line}\n__label__b {line[::-1]}" for line in SENTENCES * 20))
    model = fasttext.train_supervised(str(text), dim=10, thread=10, bucket=300, minn=3, maxn=3, verbose=0)
    model.quantize()
    model.save_model(str(path))
    with pytest.raises(PolygraftError, match="quantised"):
        WordVectors.open(path)


def test_nan_in_a_row_is_one_sentence_when_the_row_is_asked_for(binary, tmp_path):
    data = bytearray(binary.read_bytes())
    offset = WordVectors.open(binary)._source.offset
    data[offset : offset + 4] = struct.pack("<f", float("nan"))
    path = tmp_path / "nan.bin"
    path.write_bytes(data)
    with pytest.raises(PolygraftError, match="NaN"):
        WordVectors.open(path).vectors(WordVectors.open(path).words[:1])


def test_another_version_and_a_file_that_shrank_are_one_sentence(binary, tmp_path):
    path = tmp_path / "other.bin"
    data = binary.read_bytes()
    path.write_bytes(data[:4] + struct.pack("<i", 11) + data[8:])
    with pytest.raises(PolygraftError, match="format 11"):
        WordVectors.open(path)
    path.write_bytes(data)
    opened = WordVectors.open(path)
    path.write_bytes(data[:1000])
    with pytest.raises(PolygraftError, match="cannot be read any more"):
        opened.vectors(opened.words)


TABLE = {"the": [1.0, 2.0, 3.0], "cat": [0.5, -1.0, 0.0], "für": [0.0, 0.25, 1e-3]}
LINES = "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in TABLE.items())


def as_text(path):
    path.write_text("3 3\n" + LINES)


def as_gzip(path):
    path.write_bytes(gzip.compress(("3 3\n" + LINES).encode()))


def as_npz(path):
    np.savez(path, words=np.array(list(TABLE)), vectors=np.array(list(TABLE.values())), counts=np.array([9, 3, 1]))


def as_word2vec(path):
    rows = [word.encode() + b" " + np.array(row, "<f4").tobytes() + b"\n" for word, row in TABLE.items()]
    path.write_bytes(b"3 3\n" + b"".join(rows))


def as_saved(path):
    word_vectors(TABLE).save(path)


WRITERS = {
    "plain.vec": as_text,
    "glove.txt": lambda path: path.write_text(LINES),
    "packed.vec.gz": as_gzip,
    "arrays.npz": as_npz,
    "word2vec.bin": as_word2vec,
    "saved.npz": as_saved,
}


@pytest.mark.timeout(20)
def test_a_word_without_an_end_is_reported_at_once(binary, tmp_path):
    path = tmp_path / "endless.bin"
    head = binary.read_bytes()[: binary.read_bytes().index(b"</s>\0")]
    for rest in (b"a" * 30_000_000, b"a" * 30_000_000 + b"\0" + b"b" * 8):
        path.write_bytes(head + rest)
        with pytest.raises(PolygraftError, match="truncated"):
            WordVectors.open(path)


@pytest.mark.parametrize("name", WRITERS)
def test_each_format_gives_the_same_words_and_rows(tmp_path, name):
    WRITERS[name](tmp_path / name)
    opened = WordVectors.open(tmp_path / name)
    assert opened.words == list(TABLE) and not opened.has_ngrams
    assert (
        opened.vectors(["für", "nothing", "the"]).tolist() == np.float32([TABLE["für"], [0] * 3, TABLE["the"]]).tolist()
    )


def test_words_without_counts_follow_zipf(tmp_path):
    as_text(tmp_path / "a.vec")
    as_npz(tmp_path / "a.npz")
    assert WordVectors.open(tmp_path / "a.vec").counts.tolist() == [1, 1 / 2, 1 / 3]
    assert WordVectors.open(tmp_path / "a.npz").counts.tolist() == [9, 3, 1]


def test_of_words_that_are_there_twice_the_first_counts(tmp_path):
    (tmp_path / "a.vec").write_text("a 1 2\nb 3 4\na 5 6\n")
    assert WordVectors.open(tmp_path / "a.vec").vectors(["a"]).tolist() == [[1, 2]]


BAD = {
    "short.vec": (b"2 3\ncat 1 2 3\ndog 1 2\n", "line 3 is no word with 3 numbers"),
    "words.vec": (b"cat 1 2 x\n", "line 1 is no word with 3 numbers"),
    "nan.vec": (b"cat 1 2 nan\n", "NaN"),
    "latin.vec": ("für 1 2 3\n".encode("latin-1"), "line 1 is not UTF-8"),
    "empty.vec": (b"", "no word vector"),
    "cut.vec.gz": (gzip.compress(LINES.encode(), mtime=0)[:-12], "truncated"),
    "plain.vec.gz": (LINES.encode(), "cannot be read"),
    "pickled.kv": (b"\x80\x04", "pickle"),
    "not.npz": (b"PK", "damaged"),
    "cut.bin": (b"2 3\ncat \0\0\0\0", "truncated"),
    "text.bin": (b"hello world, this is text", "neither"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_sentence(tmp_path, name):
    data, message = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PolygraftError, match=message):
        WordVectors.open(tmp_path / name)


def test_an_npz_of_other_arrays_or_of_objects_is_one_sentence(tmp_path):
    np.savez(tmp_path / "other.npz", data=np.zeros(3))
    with pytest.raises(PolygraftError, match="holds data, but"):
        WordVectors.open(tmp_path / "other.npz")
    np.savez(tmp_path / "objects.npz", words=np.array(["a", None], dtype=object), vectors=np.zeros((2, 3)))
    with pytest.raises(PolygraftError, match="damaged"):
        WordVectors.open(tmp_path / "objects.npz")
    with pytest.raises(PolygraftError, match="is a folder"):
        WordVectors.open(tmp_path)
    with pytest.raises(PolygraftError, match="there is no file"):
        WordVectors.open(tmp_path / "absent.bin")


def test_vectors_that_cannot_be_written_are_one_sentence_and_leave_nothing(tmp_path):
    with pytest.raises(PolygraftError, match="cannot be written"):
        word_vectors(TABLE).save(tmp_path / "absent" / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_training_refuses_what_fasttext_cannot_do(tmp_path):
    with pytest.raises(PolygraftError, match="multiple of 10"):
        VectorTraining(width=25)
    with pytest.raises(PolygraftError, match="no text"):
        train(["", " \n"], tmp_path / "a.bin")
    with pytest.raises(PolygraftError, match="cannot train"):
        train(["only three words"], tmp_path / "a.bin")
    with pytest.raises(PolygraftError, match="cannot be written"):
        train(SENTENCES * 20, tmp_path / "absent" / "a.bin", OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_training_small_models_does_not_fail(tmp_path):
    # with fewer threads than ten, most of such runs end with "Encountered NaN"
    for _ in range(4):
        tiny_fasttext(tmp_path / "a.bin").vectors(SENTENCES[0].split())
