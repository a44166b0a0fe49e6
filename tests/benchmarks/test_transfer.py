"""`python -m benchmarks.transfer`, `python -m starter_build.demo` and the French starter, on a made-up Bible."""

import json

import pytest

from backbone.gpt2 import Backbone
from starter_build.datasets import transfer_texts
from starter_build.starter import Build, transfer
from tests.starter_build.tiny_bibles import TINY, write_bibles, write_english_vectors

SMALL = ("--steps", 20, "--batch", 2, "--context", 16)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_bibles(tmp_path_factory.mktemp("data"))


@pytest.fixture
def work(root, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_texts, "LATIN", TINY)
    (tmp_path / "transfer").mkdir()
    write_english_vectors(root, tmp_path / "transfer")
    return tmp_path / "transfer"


@pytest.fixture
def measure(polygraft, root, work):
    def call(*flags):
        return polygraft("benchmark", "transfer", "--data", root, "--work", work, *SMALL, *flags)

    return call


def test_methods_are_trained_compared_and_kept(measure, work, tmp_path):
    flags = ("--languages", "sw", "--seeds", 0, 1, "--methods", "random", "wechsel", "from scratch", "--json")
    called = measure(*flags, "--out", tmp_path / "curves.svg")
    assert called.code == 0
    rows = json.loads(called.out[0])["rows"]
    assert list(rows) == ["random", "wechsel", "from scratch"]
    for row in rows.values():
        mean, deviation = row["0%"]
        assert mean > row["100%"][0] and deviation is not None
    assert "<svg" in (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert len(list((work / "sw" / "runs").glob("*.json"))) == 6
    again = measure(*flags)
    assert again.out == called.out and not any("seed" in line for line in again.err)


def test_rates_are_tried_on_documents_that_no_model_reads(measure, work):
    called = measure("--languages", "sw", "--methods", "fvt", "--rates", 0.001, 0.01)
    figures = json.loads(called.out[0])["bits_per_byte"]
    assert set(figures) == {"0.001", "0.01"} and not (work / "sw" / "runs").exists()


def test_the_documents_of_each_part_are_apart(root, work):
    made = transfer_texts.TransferMaterial(code="sw", data=root, work=work)
    assert made.test and made.validation
    assert not set(made.test) & set(made.training)
    read = made.tokenizer.decode(made.rows(16).tokens.tolist())
    longest = max(made.validation, key=len)
    assert longest.split(".")[0] not in read


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--methods", "magic"), "no method 'magic'"),
        (("--seeds",), "seeds is empty"),
        (("--languages",), "languages is empty"),
    ],
)
def test_wrong_usage_is_one_sentence(measure, flags, said):
    called = measure(*flags)
    assert called.code == 2 and said in called.err[-1]


def test_the_demo_shows_a_model_before_and_after(polygraft, root, work, tmp_path):
    called = polygraft("demo", "transfer", "--steps", 8, "--data", root, "--work", work, "--out", tmp_path / "kept")
    assert called.code == 0
    bits = [float(line.split(": ")[1].split()[0]) for line in called.out if "bits per byte" in line]
    assert len(bits) == 2 and bits[1] < bits[0]
    assert Backbone.from_pretrained(str(tmp_path / "kept"), device="cpu").width
    assert polygraft("demo", "transfer", "--out", tmp_path / "kept").code == 2


def test_the_french_starter_is_a_vocabulary_on_the_same_body(polygraft, root, work, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "_STEPS", 6)
    train = transfer_texts.train_vectors  # of the tokens too: as wide as the real ones they take gigabytes
    monkeypatch.setattr(transfer_texts, "train_vectors", lambda texts, path, _: train(texts, path, TINY))
    monkeypatch.setattr(transfer, "_CONTEXT", 16)
    folder = transfer.build_french(Build(data=root, work=tmp_path, out=tmp_path / "french"))
    loaded, base = Backbone.from_pretrained(str(folder), device="cpu"), Backbone.from_pretrained(device="cpu")
    assert loaded.body_digest == base.body_digest and loaded.kin == (base.digest,)
    assert not (folder / "model.safetensors").exists()
    assert any("vocabulary of a language model" in line for line in polygraft("info", folder).out)
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert record["after"] < record["before"] and str(record["after"]) in (folder / "README.md").read_text("utf-8")
