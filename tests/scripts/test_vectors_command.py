"""`polygraft vectors train`: files of word vectors that are read again, and bad text one sentence each."""

import errno
import io
import json
import os
import resource
import sys

import numpy as np
import pytest

from crosslingual.vectors.word_vectors import WordVectors
from tests.crosslingual.tiny_transfer import GERMAN
from tests.crosslingual.tiny_vectors import word_vectors

FLAGS = ("--width", 20, "--epochs", 1, "--min-count", 1, "--buckets", 500)


@pytest.fixture
def train(polygraft, tmp_path):
    """Return the command with small settings."""
    (tmp_path / "de.txt").write_text("\n".join(f"{line}, 漢字!" for line in GERMAN * 5), encoding="utf-8")
    return lambda *arguments: polygraft("vectors", "train", *FLAGS, *arguments)


@pytest.mark.parametrize("ending", ["bin", "vec", "npz"])
def test_a_file_of_each_kind_is_read_again(train, tmp_path, ending):
    out = tmp_path / f"de.{ending}"
    called = train(tmp_path / "de.txt", "--out", out, "--json")
    assert (called.code, called.err, len(called.out)) == (0, [], 1)
    facts = json.loads(called.out[0])
    vectors = WordVectors.open(out)
    assert (facts["words"], facts["width"]) == (len(vectors.words), vectors.width) and vectors.width == 20
    assert {"katze", ",", "!", "漢", "字"} <= set(vectors.words) and "lang," not in vectors.words
    assert vectors.vectors(["katze"]).any() and vectors.has_ngrams == (ending == "bin")
    assert {path.name for path in tmp_path.iterdir()} == {"de.txt", out.name}, "nothing else is left"


def test_text_that_is_cut_already_stays_as_it_is(train, tmp_path):
    assert train(tmp_path / "de.txt", "--out", tmp_path / "de.bin", "--no-split").code == 0
    assert {"lang,", "漢字!"} <= set(WordVectors.open(tmp_path / "de.bin").words)


def test_standard_input_and_several_files(train, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ein wort noch ein wort\n" * 50)))
    (tmp_path / "more.txt").write_text("zweierlei dinge\n" * 50)
    told = dict(line.split("\t") for line in train("-", tmp_path / "more.txt", "--out", tmp_path / "a.vec").out)
    assert told["words"] == "6" and set(told["most_frequent"].split()) == {"ein", "wort", "noch", "zweierlei", "dinge"}


def test_the_text_form_keeps_every_number(tmp_path):
    made = word_vectors({"a": [0.1, 1e-9, -3.0], "b": [1 / 3, 2.0**-140, 7.0]})
    made.save(tmp_path / "made.vec")
    assert np.array_equal(WordVectors.open(tmp_path / "made.vec").vectors(["a", "b"]), made.vectors(["a", "b"]))


# Failures


def refused(called, told, folder, left, code=1):
    assert [called.code, called.out, len(called.err)] == [code, [], 1], called
    assert told in called.err[0]
    assert {path.name for path in folder.iterdir()} == left


TEXTS = {
    "zero-size": (b"", "bad.txt: there is no text in it"),
    "latin-1": ("schön\n".encode("latin-1") * 9, "bad.txt, line 1 is not UTF-8"),
    "a zip": (b"PK\3\4\0\0\0\0", "bad.txt, line 1 holds NUL"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_bad_text_is_one_sentence_and_leaves_nothing(train, tmp_path, kind):
    data, told = TEXTS[kind]
    (tmp_path / "bad.txt").write_bytes(data)
    refused(train(tmp_path / "bad.txt", "--out", tmp_path / "a.npz"), told, tmp_path, {"de.txt", "bad.txt"})


def test_too_little_text_is_one_sentence(polygraft, tmp_path):
    (tmp_path / "little.txt").write_text("ein satz\n")
    called = polygraft("vectors", "train", tmp_path / "little.txt", "--out", tmp_path / "a.bin")
    refused(called, "give more, or lower min_count", tmp_path, {"little.txt"})


def test_without_fasttext_the_extra_is_named(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fasttext", None)
    called = train(tmp_path / "de.txt", "--out", tmp_path / "a.bin")
    refused(called, 'pip install "polygraft[vectors]"', tmp_path, {"de.txt"})


@pytest.mark.parametrize("out", ["a.bin", "a.vec"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(train, tmp_path, out):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        called = train(tmp_path / "de.txt", "--out", tmp_path / out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refused(called, ".bin cannot be written: the disk is full", tmp_path, {"de.txt"})


def test_places_and_endings_are_looked_at_first(train, tmp_path):
    text = tmp_path / "de.txt"
    (tmp_path / "old.bin").touch()
    left = {"de.txt", "old.bin"}
    refused(train(text, "--out", tmp_path / "old.bin"), "exists already: --overwrite", tmp_path, left)
    refused(train(text, "--out", tmp_path / "none" / "a.bin"), "there is no folder", tmp_path, left)
    refused(train(text, "--out", tmp_path / "a.txt"), "must end in .bin, .vec or .npz", tmp_path, left, code=2)
    refused(train(text, "--out", tmp_path / "a.bin", "--width", 15), "no multiple of 10", tmp_path, left, code=2)
    refused(train("--out", tmp_path / "a.bin"), "no text named", tmp_path, left, code=2)
    refused(train(tmp_path / "nowhere.txt", "--out", tmp_path / "a.bin"), "nowhere.txt cannot be read", tmp_path, left)
    assert train(text, "--out", tmp_path / "old.bin", "--overwrite").code == 0


def test_an_older_file_stays_where_the_new_one_fails(train, tmp_path, monkeypatch):
    (tmp_path / "old.npz").write_bytes(b"older")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    called = train(tmp_path / "de.txt", "--out", tmp_path / "old.npz", "--overwrite")
    refused(called, "No space left on device", tmp_path, {"de.txt", "old.npz"})
    assert (tmp_path / "old.npz").read_bytes() == b"older"
