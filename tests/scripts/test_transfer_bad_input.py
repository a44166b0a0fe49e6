"""Bad input to `polygraft transfer`: one sentence each, exit code 1 or 2, and nothing left behind."""

import errno
import json
import os
import pickle
import resource
import tempfile

import numpy as np
import pytest

from crosslingual.vectors.fasttext_bin import open_fasttext
from tests.crosslingual.tiny_transfer import GERMAN, byte_bpe
from tests.starter_build.tiny_languages import write_languages, write_model


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return write_languages(tmp_path_factory.mktemp("languages"))


@pytest.fixture
def work(known, tmp_path, monkeypatch):
    """A folder with links to what is known, where a test adds what is bad, and where scratch files go."""
    (tmp_path / "work").mkdir()
    for entry in known.iterdir():
        (tmp_path / "work" / entry.name).symlink_to(entry)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


VECTORS = ("--source-vectors", "en.bin", "--target-vectors", "de.bin", "--dictionary", "pairs.tsv")


@pytest.fixture
def refused(polygraft, work):
    """Call the command and check that it fails with one sentence, which holds ``reported``, and leaves nothing."""

    def call(told, *arguments, code=1, tokenizer="german"):
        before = everything(work.parent)
        given = ["--tokenizer", tokenizer] if tokenizer else []
        called = polygraft("transfer", "--model", "model", *given, "--out", "out", *arguments)
        sentences = [line for line in called.err if not line.startswith(("word vectors of", "vectors of the new"))]
        assert [called.code, called.out, len(sentences)] == [code, [], 1], called
        assert told in sentences[0]
        assert everything(work.parent) == before

    return call


def everything(folder):
    return {str(path): path.lstat().st_size for path in folder.rglob("*")}


# Vectors


def cut_rows(path, known):
    data = (known / "de.bin").read_bytes()
    path.write_bytes(data[: open_fasttext(known / "de.bin").offset + 400])


def quantised(path, known):
    data = bytearray((known / "de.bin").read_bytes())
    data[open_fasttext(known / "de.bin").offset - 17] = 1
    path.write_bytes(data)


def with_nan(path, known):
    data = bytearray((known / "de.bin").read_bytes())
    offset = open_fasttext(known / "de.bin").offset
    data[offset : offset + 4 * 20 * 60] = np.full(20 * 60, np.nan, np.float32).tobytes()
    path.write_bytes(data)


FILES = {
    "cut.bin": (cut_rows, "cut.bin is truncated"),
    "quantised.bin": (quantised, "quantised.bin is quantised"),
    "nan.bin": (with_nan, "nan.bin holds NaN"),
    "nan.npz": (
        lambda path, _: np.savez(path, words=np.array(["der"]), vectors=np.full((1, 4), np.nan)),
        "nan.npz holds NaN",
    ),
    "text.bin": (lambda path, _: path.write_text("der hund und die katze\n" * 9), "neither fastText's nor word2vec's"),
    "empty.bin": (lambda path, _: path.touch(), "empty.bin"),
    "words.kv": (lambda path, _: path.write_bytes(pickle.dumps({})), "words.kv is a pickle"),
    "latin.vec": (lambda path, _: path.write_bytes(b"1 2\nfl\xfcsse 1 2\n"), "latin.vec, line 2 is not UTF-8"),
    "short.vec": (lambda path, _: path.write_text("2 3\nder 1 2 3\ndie 1 2\n"), "short.vec, line 3"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_vectors_are_one_sentence(refused, work, known, name):
    make, told = FILES[name]
    make(work / name, known)
    refused(told, "--source-vectors", "en.bin", "--target-vectors", name, "--dictionary", "pairs.tsv")


def test_vectors_of_words_alone_need_the_route_of_words(refused, work):
    np.savez(work / "de.npz", words=np.array(["der", "hund"]), vectors=np.ones((2, 20)))
    flags = ("--source-vectors", "en.bin", "--target-vectors", "de.npz", "--dictionary", "pairs.tsv")
    refused("ask for the route words", *flags, "--init", "wechsel")


# Dictionaries and texts


DICTIONARIES = {
    "one column": (b"house\nriver\n", "bad.tsv, line 1 has 1 column"),
    "latin-1": (b"river\tFlu\xdf\n", "bad.tsv, line 1 is not UTF-8"),
    "nothing": (b"\n\n", "bad.tsv holds no pair"),
    "no pair in common": (b"qwertz\tzyxw\nasdf\tjkl\n", "none of the 2 pairs of bad.tsv has vectors on both sides"),
}


@pytest.mark.parametrize("kind", DICTIONARIES)
def test_a_bad_dictionary_is_one_sentence(refused, work, kind):
    data, told = DICTIONARIES[kind]
    (work / "bad.tsv").write_bytes(data)
    refused(told, *VECTORS[:5], "bad.tsv")


TEXTS = {
    "zero-size": (b"", "bad.txt: there is no text in it"),
    "blank": (b" \n\n", "bad.txt: there is no text in it"),
    "latin-1": ("ein schöner tag\n".encode("latin-1"), "bad.txt, line 1 is not UTF-8"),
    "no text": (b"\x7fELF\0\0\0", "bad.txt, line 1 holds NUL"),
    "little": (b"ein tag\n", "give more text or a smaller vocab_size"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_bad_text_is_one_sentence(refused, work, kind):
    data, told = TEXTS[kind]
    (work / "bad.txt").write_bytes(data)
    refused(told, "--text", "bad.txt", tokenizer=None)


def test_a_bad_text_is_found_where_the_tokenizer_is_given_too(refused, work):
    (work / "bad.txt").write_bytes("ein schöner tag\n".encode("latin-1"))
    refused("bad.txt, line 1 is not UTF-8", "--text", "bad.txt")
    refused("bad.txt, line 1 is not UTF-8", "--text", "bad.txt", *VECTORS[:2], *VECTORS[4:])


def test_texts_of_unequal_length_are_not_parallel(refused, work):
    (work / "short.txt").write_text("ein satz\n")
    refused("each sentence needs its translation", "--parallel", "en.txt", "short.txt")


# Tokenizers


def test_ids_that_no_token_has_are_rows_that_are_drawn(polygraft, work):
    tokenizer = byte_bpe(GERMAN, 300)
    tokenizer.save_pretrained(work / "holes")
    file = work / "holes" / "tokenizer.json"
    parts = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = parts["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    vocabulary[last] += 20
    file.write_text(json.dumps(parts), encoding="utf-8")
    called = polygraft("transfer", "--model", "model", "--tokenizer", "holes", "--out", "out", *VECTORS, "--json")
    assert called.code == 0, called.err
    facts = json.loads(called.out[0])
    assert facts["target_tokens"] == 320 and facts["without_vector"]["hole"] == 20


TOKENIZERS = {
    "nothing": (lambda folder: None, "there is no model"),
    "an empty folder": (lambda folder: folder.mkdir(), "holds no tokenizer"),
    "damaged": (lambda folder: [folder.mkdir(), (folder / "tokenizer.json").write_text("{}")], "is damaged"),
    "text": (lambda folder: folder.write_text("no tokenizer"), "is no tokenizer"),
    "a vocabulary alone": (lambda folder: [folder.mkdir(), (folder / "vocab.json").touch()], "holds no tokenizer"),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_bad_tokenizer_is_one_sentence(refused, work, kind):
    make, told = TOKENIZERS[kind]
    make(work / "bad")
    refused(told, tokenizer="./bad")


def test_a_damaged_model_file_of_sentencepiece_is_one_sentence(refused, work):
    (work / "bad.model").write_bytes(b"no model")
    refused("bad.model is damaged or no tokenizer", tokenizer="bad.model")


def test_a_tokenizer_that_ends_no_text_is_one_sentence(refused, work):
    tokenizer = byte_bpe(GERMAN, 300, specials=("<start>",))
    (work / "endless").mkdir()
    tokenizer.backend_tokenizer.save(str(work / "endless" / "tokenizer.json"))
    refused("no end-of-text token", tokenizer="endless")


# Places


@pytest.mark.parametrize("flag", ["source-vectors", "target-vectors", "dictionary", "text", "mixing", "donor", "model"])
def test_a_missing_file_is_one_sentence(refused, flag):
    before = dict(zip(VECTORS[::2], VECTORS[1::2], strict=True)) if flag not in ("mixing", "text") else {}
    given = before | {f"--{flag}": "./nowhere"}
    refused("nowhere", *(word for pair in given.items() for word in pair))


def test_what_is_there_is_not_replaced_unless_it_is_a_transfer(polygraft, refused, work):
    (work / "out").mkdir()
    (work / "out" / "letter.txt").write_text("dear")
    refused("holds something else than a transferred model", "--overwrite")
    (work / "out" / "letter.txt").unlink()
    command = ("transfer", "--model", "model", "--tokenizer", "german", "--out", "out")
    assert polygraft(*command).code == 0
    refused("holds a transferred model already: --overwrite")
    assert polygraft(*command, "--overwrite", "--init", "mean").code == 0
    assert json.loads((work / "out" / "transfer.json").read_text())["settings"]["init"] == "mean"


def test_a_place_for_the_report_is_looked_at_first(refused, work):
    (work / "report.html").touch()
    refused("report.html exists already: --overwrite", "--report", "report.html")
    refused("there is no folder none", "--report", "none/report.html")
    refused("is a folder", "--report", "german")
    refused("choose another --save-mixing", "--save-mixing", "german")


@pytest.mark.parametrize("most", [4096, 12_000], ids=["in the weights", "in the tokenizer"])
def test_a_full_disk_leaves_the_older_model_as_it_was(polygraft, refused, work, most):
    write_model(work / "narrow", n_embd=4, n_layer=1)
    model = "narrow" if most > 10_000 else "model"
    assert polygraft("transfer", "--model", model, "--tokenizer", "german", "--out", "out").code == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        refused("the model out could not be saved: file too large", "--overwrite", "--model", model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_at_the_last_moment_leaves_nothing(refused, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused("the model out could not be saved: no space left on device")


# Wrong usage


USAGE = {
    "no tokenizer": ((), None, "no new tokenizer: give --tokenizer, or --text"),
    "a size of what is given": (("--vocab-size", 300), "german", "--vocab-size is of a tokenizer that is trained"),
    "vectors apart": (VECTORS[:4], "german", "have to be aligned: give --dictionary"),
    "two ways to align": ((*VECTORS, "--align", "none"), "german", "--align none does without a dictionary"),
    "a mixing and more": (("--mixing", "m", "--donor", "d"), "german", "how every row is made: leave out --donor"),
    "a mixing and a method": (("--mixing", "m", "--init", "fvt"), "german", "leave out --init and what belongs to it"),
    "vectors of one side": (VECTORS[:2], "german", "--source-vectors are of no use alone"),
    "a text for nothing": (("--text", "de.txt", "--init", "fvt"), "german", "--text is not looked at"),
    "nothing to reverse": (("--reverse",), "german", "--reverse is of a dictionary"),
    "no neighbour": (("--neighbors", 0), "german", "neighbors is 0"),
}


@pytest.mark.parametrize("kind", USAGE)
def test_wrong_usage_is_told_before_any_work(refused, kind):
    flags, tokenizer, told = USAGE[kind]
    refused(told, *flags, code=2, tokenizer=tokenizer)
