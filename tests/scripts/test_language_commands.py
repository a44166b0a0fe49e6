"""`polygraft train language` and `polygraft evaluate language`: from text to a model that transformers opens."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from multimodal.captioner import Captioner
from tests.scripts.test_train_captioner import interrupt_after

LINES = [f"the {animal} sat on the {place}" for animal in ("cat", "owl", "dog") for place in ("mat", "sea", "hill")]
SMALL = ("--context", 16, "--batch-size", 4, "--micro-batch", 2, "--lr", 1e-2, "--device", "cpu")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.jsonl"
    rows = [{"text": f"{line}. {line}, and {line}."} for line in LINES]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture
def train(polygraft, text, tmp_path):
    def call(*flags, texts=(text,), out=tmp_path / "out", start="starter", steps=6):
        begin = ("--from", start) if start else ()
        return polygraft("train", "language", *texts, *begin, "--out", out, "--steps", steps, *SMALL, *flags)

    return call


def test_training_on_lowers_the_bits_and_the_result_opens_in_transformers(train, polygraft, text, tmp_path):
    before = json.loads(polygraft("evaluate", "language", "starter", text, "--json").out[0])
    called = train(steps=20)
    assert called.code == 0 and any(line.startswith("bits_per_byte\t") for line in called.out)
    after = json.loads(polygraft("evaluate", "language", tmp_path / "out", text, "--json").out[0])
    assert after["bits_per_byte"] < 0.8 * before["bits_per_byte"]
    assert after["documents"] == len(LINES)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    told = model.generate(**tokenizer("the cat", return_tensors="pt"), max_new_tokens=4, do_sample=False)
    assert told.shape[1] > 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith((".", "run", "res"))) == []


def test_training_embeddings_keeps_the_body_and_says_so(train, tmp_path):
    called = train("--train", "embeddings", "--json")
    assert json.loads(called.out[0])["body"] == "as before"
    old, new = Backbone.from_pretrained(device="cpu"), Backbone.from_pretrained(str(tmp_path / "out"), device="cpu")
    assert old.body_digest == new.body_digest and old.digest != new.digest
    assert new.body_digest in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    record = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))
    assert record["body_sha256"] == new.body_digest


def test_training_all_says_that_the_body_is_another(train):
    assert json.loads(train("--embeddings-first", 0.5, "--json").out[0])["body"] == "trained"


def test_a_model_begins_from_nothing_with_a_tokenizer(train, starter, tmp_path):
    called = train("--tokenizer", starter / "gpt2", "--size", "1,8,2", start="")
    assert called.code == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert (model.config.n_layer, model.config.n_embd, model.config.n_positions) == (1, 8, 16)
    assert model.config.eos_token_id == AutoTokenizer.from_pretrained(tmp_path / "out").eos_token_id


def test_an_interrupted_run_goes_on_to_the_same_weights(train, tmp_path):
    flags, steps = ("--log-every", 1, "--save-every", 5), 80
    interrupt_after(tmp_path / "out" / "log.jsonl", 12)
    assert train(*flags, steps=steps).code == 130
    again = train(*flags, steps=steps)
    assert any("going on" in line for line in again.err)
    assert train(*flags, steps=steps, out=tmp_path / "whole").code == 0
    old, new = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "out"))
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_a_finished_model_is_not_trained_again_unless_told(train):
    assert train().code == 0
    assert "is finished" in train().err[0]
    assert train("--overwrite").out


def test_held_out_documents_are_never_learned_from(train, text, tmp_path):
    held = tmp_path / "held.jsonl"
    held.write_text(text.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    called = train("--validation", held)
    assert any("1 documents left out of training" in line for line in called.err)


def test_one_document_is_all_learned_from_with_a_remark(train, tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    called = train(texts=(path,))
    assert called.code == 0 and any("nothing is held out" in line for line in called.err)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there is no text"),
        ("é".encode("latin-1"), "not UTF-8"),
        (b'{"text": 3}\n', "a text that is a int"),
        (b"{oops\n", "line 1 is not JSON"),
        (b'{"text": "a"}\n{"txt": "a"}\n', "line 2 has no text"),
        (b'{"text": "hello"}\n', "fewer than one row"),
    ],
)
def test_odd_text_is_one_sentence_and_nothing_is_left(train, tmp_path, content, said):
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    called = train(texts=(path,))
    assert called.code == 1 and said in called.err[-1] and len(called.err[-1].splitlines()) == 1
    assert not (tmp_path / "out" / "config.json").exists()


@pytest.mark.parametrize(
    ("flags", "start", "said"),
    [
        (("--tokenizer", "x"), "starter", "either --from"),
        ((), "", "either --from"),
        (("--tokenizer", "x", "--train", "lora"), "", "from nothing"),
        (("--size", "4,5,2"), "starter", "heads divide"),
        (("--size", "giant"), "starter", "size is 'giant'"),
        (("--val-share", "1"), "starter", "val_share is 1"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_read(train, flags, start, said):
    called = train(*flags, start=start)
    assert called.code == 2 and said in called.err[-1]


def test_figures_agree_with_each_other(polygraft, text):
    figures = json.loads(polygraft("evaluate", "language", "starter", text, "--json", "--context", 8).out[0])
    nats = math.log(figures["perplexity"]) * figures["tokens"]
    assert figures["bits_per_byte"] == pytest.approx(nats / math.log(2) / figures["bytes"])
    assert figures["bits_per_byte_low"] <= figures["bits_per_byte"] <= figures["bits_per_byte_high"]
    assert figures["context"] == figures["stride"] == 8


def test_a_context_beyond_the_model_is_wrong_usage(polygraft, text):
    called = polygraft("evaluate", "language", "starter", text, "--context", 100_000)
    assert called.code == 2 and "tokens at most" in called.err[-1]


def test_a_captioner_fits_the_model_whose_embeddings_alone_were_trained_on(train, polygraft, starter, tmp_path):
    assert train("--train", "embeddings", out=tmp_path / "one").code == 0
    assert train("--train", "embeddings", out=tmp_path / "two", start=tmp_path / "one").code == 0
    for name in ("one", "two"):
        captioner = Captioner.from_pretrained(starter / "captioner", backbone=str(tmp_path / name), device="cpu")
        assert captioner.backbone.digest != Backbone.from_pretrained(device="cpu").digest


def test_a_captioner_is_refused_by_a_model_whose_body_was_trained(train, starter, tmp_path):
    assert train("--train", "embeddings", out=tmp_path / "one").code == 0
    assert train("--train", "lora", out=tmp_path / "two", start=tmp_path / "one").code == 0
    shutil.copy(tmp_path / "one" / "body.json", tmp_path / "two")
    with pytest.raises(PolygraftError, match="does not fit"):
        Captioner.from_pretrained(starter / "captioner", backbone=str(tmp_path / "two"), device="cpu")


def test_a_damaged_body_json_is_one_sentence(train, polygraft, text, tmp_path):
    assert train("--train", "embeddings").code == 0
    (tmp_path / "out" / "body.json").write_text("[]", encoding="utf-8")
    called = polygraft("evaluate", "language", tmp_path / "out", text)
    assert called.code == 1 and "body.json" in called.err[-1]


def test_languages_are_measured_one_by_one(polygraft, tmp_path):
    (tmp_path / "en.txt").write_text("the cat sat.\nthe owl sat.\n", encoding="utf-8")
    rows = [{"text": "der hund", "language": "de"}, {"text": "the dog sat"}]
    (tmp_path / "en.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    asked = ("evaluate", "language", "starter", tmp_path / "en.txt", tmp_path / "en.jsonl", "--by-language")
    de, en, mean = map(json.loads, polygraft(*asked, "--json").out)
    assert (de["language"], de["documents"], en["language"], en["documents"]) == ("de", 1, "en", 3)
    assert en["bits_per_byte_low"] <= en["bits_per_byte"] <= en["bits_per_byte_high"]
    assert mean["bits_per_byte"] == pytest.approx((de["bits_per_byte"] + en["bits_per_byte"]) / 2)
    table = polygraft(*asked).out
    assert [line.split("\t")[0] for line in table] == ["language", "de", "en", "mean"]


def test_languages_of_nothing_are_one_sentence(polygraft, tmp_path):
    (tmp_path / "en.txt").write_text("\n\n", encoding="utf-8")
    called = polygraft("evaluate", "language", "starter", tmp_path / "en.txt", "--by-language")
    assert called.code == 1 and "no text" in called.err[-1]
