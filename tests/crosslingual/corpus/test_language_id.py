"""Telling languages with a classifier of fastText's: what is dropped, and files that are no classifier."""

import fasttext
import pytest

from backbone.errors import PolygraftError
from crosslingual.corpus.language_id import check_identifier, open_identifier
from tests.crosslingual.tiny_corpus import build, drops, prose, source, texts, write_jsonl
from tests.crosslingual.tiny_vectors import tiny_fasttext


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier of English and German; German goes by a label of its own."""
    folder = tmp_path_factory.mktemp("classifier")
    lines = [
        f"__label__{label} {text}" for code, label in (("en", "en"), ("de", "deu_Latn")) for text in prose(code, 40)
    ]
    (folder / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    # fastText sets tenths of its numbers, each in a thread: with fewer, or a width ten does not divide, some are left
    model = fasttext.train_supervised(str(folder / "train.txt"), epoch=30, dim=10, thread=10, verbose=0)
    model.save_model(str(folder / "lid.bin"))
    return folder / "lid.bin"


@pytest.fixture
def listed(classifier, tmp_path):
    write_jsonl(tmp_path / "en.jsonl", [*prose("en", 6, seed=1), *prose("de", 3, seed=1)])
    write_jsonl(tmp_path / "de.jsonl", prose("de", 5, seed=2))
    (tmp_path / "lid.bin").write_bytes(classifier.read_bytes())
    return source("en", "en", "en.jsonl") + source("de", "de-AT", "de.jsonl")


RULES = '[rules]\nidentifier = "lid.bin"\n'
LABEL = '[language.de-AT]\nlabel = "deu_Latn"\n'


@pytest.mark.parametrize("workers", [1, 2])
def test_texts_of_another_language_are_dropped_and_logged(listed, tmp_path, workers):
    corpus = build(tmp_path, listed + RULES + LABEL, tails=0.0, heldout=0.0, workers=workers, unit_bytes=3000)
    assert len(texts(corpus, "en")) == 6 and len(texts(corpus, "de-AT")) == 5
    assert list(drops(corpus, "en").values()) == ["other_language"] * 3


def test_without_an_identifier_they_stay_and_so_they_do_without_rules(listed, tmp_path):
    for number, (rules, off) in enumerate((("", False), (RULES + LABEL, True))):
        corpus = build(tmp_path, listed + rules, out=f"out{number}", tails=0.0, heldout=0.0, no_rules=off)
        assert len(texts(corpus, "en")) == 9


def test_shares_are_of_one_language_and_whole_texts(classifier):
    identifier = open_identifier(classifier)
    (german,) = prose("de", 1, seed=3)
    assert identifier.labels == {"en", "deu_Latn"}
    assert identifier.shares([german, german.replace(" ", "\n"), ""], "deu_Latn") == pytest.approx(
        1 - identifier.shares([german, german.replace(" ", "\n"), ""], "en"), abs=1e-3
    )
    assert identifier.shares([german], "deu_Latn")[0] > 0.9
    assert identifier.shares([german, "\ud800 x"], "fr").tolist() == [0, 0]


def test_a_label_that_the_classifier_does_not_know_is_one_sentence(listed, tmp_path):
    with pytest.raises(PolygraftError, match=r"'de' \(but deu_Latn"):
        build(tmp_path, listed + RULES)
    assert not (tmp_path / "corpus" / "manifest.json").exists()


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "cut late", "vectors", "missing", "huge"])
def test_a_file_that_is_no_classifier_is_one_sentence(classifier, tmp_path, kind):
    path = tmp_path / "model.bin"
    whole = classifier.read_bytes()
    if kind == "vectors":
        tiny_fasttext(path, prose("en", 20))
    elif kind != "missing":
        content = {"text": b"no model\n" * 100, "empty": b"", "cut": whole[: len(whole) // 2]}
        content["cut late"] = whole[:-8]
        content["huge"] = whole[:8] + b"\xff\xff\xff\x7f" * 12 + whole[56:]  # sizes that no memory holds
        path.write_bytes(content[kind])
    with pytest.raises(PolygraftError, match="model.bin") as told:
        check_identifier(path, "en")
    assert "\n" not in str(told.value)
