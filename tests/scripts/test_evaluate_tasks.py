"""`polygraft evaluate tasks`: figures, settings and effort of a run, and what is wrong usage."""

import json

import pytest

XNLI = [
    {"premise": f"The {animal} sat down.", "hypothesis": f"The {animal} moved.", "label": number % 3}
    for number, animal in enumerate(["cat", "owl", "dog", "fox"])
]
POS = [
    {"tokens": ["The", "cat", "sat"], "tags": ["DET", "NOUN", "VERB"]},
    {"tokens": ["A", "dog", "ran"], "tags": ["DET", "NOUN", "VERB"]},
]


@pytest.fixture
def write(tmp_path):
    def call(rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return path

    return call


@pytest.fixture
def evaluate(polygraft):
    def call(*flags):
        return polygraft("evaluate", "tasks", "starter", "--device", "cpu", *flags)

    return call


def test_choices_are_told_with_settings_figures_and_effort(evaluate, write):
    path = write(XNLI)
    flags = ("--task", "xnli", "--data", path, "--examples", path, "--shots", 1, "--language", "en", "--score", "mean")
    called = evaluate(*flags, "--prompts", "published", "--json")
    assert called.code == 0
    told = json.loads(called.out[0])
    assert (told["score"], told["prompts"], told["shots"], told["data"]) == ("mean", "published", 1, str(path))
    assert told["context"] > 0
    [figures] = told["figures"]
    assert (figures["language"], figures["items"], figures["majority"]) == ("en", 4, 0.5)
    assert figures["random"] == pytest.approx(1 / 3)
    assert told["effort"]["naive"] > told["effort"]["read"] > 0
    assert json.loads(evaluate(*flags, "--prompts", "published", "--json", "--batch-size", 1).out[0]) == told


def test_words_are_tagged_with_their_f1(evaluate, write):
    called = evaluate("--task", "pos", "--data", write(POS), "--language", "en")
    assert called.code == 0
    head, row = (line.split("\t") for line in called.out)
    figures = dict(zip(head, row, strict=True))
    assert figures["items"] == "6" and figures["random"] == f"{1 / 17:.3f}"
    assert 0 <= float(figures["macro_f1"]) <= 1
    assert "tokens read" in called.err[-1]


def test_what_is_cut_is_remarked(evaluate, write):
    rows = [{"prompt": "The cat sat. " * 40, "candidates": ["Yes", "No"], "answer": 0}]
    called = evaluate("--task", "choice", "--data", write(rows), "--language", "en", "--context", 20)
    assert called.code == 0 and "1 texts exceeded the context" in called.err[-1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--task", "xnli"), "--task xnli needs --data"),
        (("--task", "probe", "--data", "x"), "the probe brings its own items"),
        (("--task", "xnli", "--data", "x", "--shots", 2), "needs --examples"),
        (("--task", "xnli", "--data", "x", "--examples", "x"), "say how many"),
        (("--task", "probe", "--shots", -1), "shots is -1"),
        (("--task", "probe", "--context", 1), "context is 1"),
        (("--task", "probe", "--context", 100_000), "tokens at most"),
        (("--task", "probe", "--batch-size", 0), "batch_size is 0"),
    ],
)
def test_wrong_usage_is_one_sentence(evaluate, flags, said):
    called = evaluate(*flags)
    assert called.code == 2 and said in called.err[-1]


@pytest.mark.parametrize("content", ["", "{oops", '{"premise": "a"}'])
def test_a_bad_file_is_one_sentence(evaluate, tmp_path, content):
    path = tmp_path / "bad.jsonl"
    path.write_text(content, encoding="utf-8")
    called = evaluate("--task", "xnli", "--data", path, "--language", "en")
    assert called.code == 1 and "bad.jsonl" in called.err[-1] and not called.out


def test_a_file_that_is_not_there_is_one_sentence(evaluate, tmp_path):
    called = evaluate("--task", "pos", "--data", tmp_path / "none.jsonl")
    assert called.code == 1 and "cannot be read" in called.err[-1]
