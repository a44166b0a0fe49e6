"""`polygraft train language --corpus`, `--dry-run`, and the bounds on tokens."""

import json

import pytest
from transformers import AutoModelForCausalLM

from backbone.training.logger import read_log
from tests.crosslingual.tiny_corpus import build, prose, source, write_jsonl

SMALL = ("--context", 16, "--batch-size", 4, "--micro-batch", 2, "--lr", 1e-2, "--device", "cpu", "--log-every", 2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    write_jsonl(folder / "en.jsonl", prose("en", 20, words=20))
    write_jsonl(folder / "de.jsonl", prose("de", 6, words=20))
    listed = source("en", "en", "en.jsonl") + source("de", "de", "de.jsonl")
    return build(folder, listed, tails=0.0, no_rules=True, heldout=0.2).folder


@pytest.fixture
def train(polygraft, starter, corpus, tmp_path):
    def call(*flags, out=tmp_path / "out"):
        begin = ("--corpus", corpus, "--tokenizer", starter / "gpt2", "--size", "1,8,2")
        return polygraft("train", "language", *begin, "--out", out, *SMALL, *flags)

    return call


def test_a_corpus_is_learned_from_language_by_language(train, tmp_path):
    called = train("--steps", 6, "--attention", "alternating", "--json", "--overwrite")
    figures = json.loads(called.out[0])
    assert called.code == 0 and figures["steps"] == 6
    assert figures["bits_per_byte"] == pytest.approx((figures["bits_per_byte.en"] + figures["bits_per_byte.de"]) / 2)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.n_embd == 8
    assert not (tmp_path / "out" / "tokens").exists()


def test_the_log_of_a_run_has_the_losses_and_a_bound_on_tokens_ends_it(train, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("scripts.train_language.finish", lambda folder, _: seen.extend(read_log(folder / "log.jsonl")))
    assert train("--tokens", 6 * 4 * 16 - 5, "--steps", 100, "--mixture", "unimax", "--max-passes", 9).code == 0
    assert max(line["step"] for line in seen) == 6
    assert any("loss.en" in line for line in seen) and any("loss.de" in line for line in seen)


def test_a_mixture_that_is_read_up_ends_the_training_with_a_remark(train):
    called = train("--steps", 5000, "--max-passes", 0.2, "--json")
    assert any("as often as it may be" in line for line in called.err)
    assert 1 <= json.loads(called.out[0])["steps"] < 50


def test_a_mixture_may_count_bytes(train):
    flags = ("--steps", 6, "--mixture", "unimax", "--count")
    plans = {
        count: json.loads(train(*flags, count, "--dry-run", "--json").out[0])["languages"]
        for count in ("tokens", "bytes")
    }
    read = {count: [row["bytes"] * row["passes"] for row in rows] for count, rows in plans.items()}
    assert read["bytes"][0] == pytest.approx(read["bytes"][1], rel=0.02)  # passes have four digits
    assert abs(read["tokens"][0] / read["tokens"][1] - 1) > 0.05
    assert train(*flags, "bytes").code == 0


def test_a_dry_run_tells_the_plan_of_the_run_and_leaves_nothing(train, tmp_path):
    called = train("--steps", 6, "--dry-run", "--json", "--mixture", "temperature")
    plan = json.loads(called.out[0])
    assert called.code == 0 and not (tmp_path / "out").exists()
    assert plan["steps"] == 6 and plan["tokens_per_step"] == 64 and plan["tokens"] == 384
    assert sum(row["share"] for row in plan["languages"]) == pytest.approx(1.0)
    assert {row["language"]: row["share"] > 0.5 for row in plan["languages"]} == {"en": True, "de": False}
    assert plan["memory_ddp"]["optimizer"] == 2 * plan["memory_ddp"]["weights"] == 8 * plan["parameters"]
    lines = train("--steps", 6, "--dry-run").out
    assert lines[0].startswith("language\tMB") and any(line.startswith("memory_ddp\t") for line in lines)


def test_a_dry_run_plans_machines_that_are_not_here(train):
    flags = ("--size", "mgpt-1.3b", "--devices", 512, "--batch-size", 2048, "--activation-checkpointing")
    plan = json.loads(train(*flags, "--steps", 600, "--dry-run", "--json").out[0])
    assert plan["products_in"] == "bfloat16" and plan["rows_at_once"] == 2
    assert plan["memory_fsdp"]["optimizer"] == pytest.approx(plan["memory_ddp"]["optimizer"] / 512, rel=1e-3)


def test_a_dry_run_of_files_and_a_model_to_train_on(polygraft, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the owl and the cat. " * 50, encoding="utf-8")
    begin = ("train", "language", text, "--from", "starter", "--out", tmp_path / "out", *SMALL, "--dry-run", "--json")
    plan = json.loads(polygraft(*begin).out[0])
    (row,) = plan["languages"]
    assert row["passes"] == 1.0 and plan["steps"] == round(row["tokens"] / 64) and plan["parameters"] > 10_000


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("text.txt",), "give either files of text"),
        (("--validation", "x.txt"), "--validation is for files"),
        (("--mixture", "weights"), "go together"),
        (("--weights", "en", "2"), "go together"),
        (("--devices", "2"), "only --dry-run"),
        (("--devices", "8", "--dry-run"), "smaller than the 8 devices"),
        (("--tokens", "-1"), "tokens is -1"),
        (("--window", "20"), "whole blocks"),
        (("--attention", "sliding", "--train", "lora"), "trained whole"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_read(train, flags, said):
    called = train(*flags)
    assert called.code == 2 and said in called.err[-1]


def test_weights_that_do_not_fit_are_one_sentence(train):
    called = train("--mixture", "weights", "--weights", "en", 2, "--steps", 2)
    assert called.code == 1 and "weights are given for en, but the languages are de, en" in called.err[-1]


def test_a_folder_that_is_no_corpus_is_one_sentence(polygraft, starter, tmp_path):
    begin = ("--corpus", tmp_path, "--tokenizer", starter / "gpt2", "--out", tmp_path / "out", *SMALL)
    called = polygraft("train", "language", *begin)
    assert called.code == 1 and "is no corpus" in called.err[-1]
