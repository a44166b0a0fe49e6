import io
import json

import pytest

from scripts.__main__ import main
from tests.backbone.tiny import tiny_backbone


@pytest.fixture
def model(tmp_path):
    tiny_backbone().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def lines(capsys, *arguments):
    code = main(["generate", *arguments, "--device", "cpu"])
    return code, capsys.readouterr().out.splitlines()


def test_each_text_is_continued_on_one_line(capsys, model):
    code, printed = lines(capsys, "The cat", "A dog runs along", "--model", model, "--temperature", "1")
    assert code == 0
    assert len(printed) == 2
    assert printed[0].startswith("The cat")
    assert printed[1].startswith("A dog runs along")


def test_standard_input_gives_what_arguments_give(capsys, monkeypatch, model):
    _, expected = lines(capsys, "The sea", "", "Two dogs", "--model", model)
    monkeypatch.setattr("sys.stdin", io.StringIO("The sea\n\nTwo dogs\n"))
    _, printed = lines(capsys, "-", "--model", model, "--batch-size", "2")
    assert printed == expected


def test_json_holds_prompt_text_and_score(capsys, model):
    _, printed = lines(capsys, "The cat", "--model", model, "--json", "--beams", "3", "--num-captions", "2")
    results = [json.loads(line) for line in printed]
    assert [result["prompt"] for result in results] == ["The cat"] * 2
    assert all(result["text"].startswith("The cat") for result in results)
    assert results[0]["score"] >= results[1]["score"]


def test_a_text_too_long_is_skipped_and_the_rest_done(capsys, model):
    code, printed = lines(capsys, "The cat", "x" * 80, "The sea", "--model", model)
    assert code == 1
    assert [line[:7] for line in printed] == ["The cat", "The sea"]


@pytest.mark.parametrize("wrong", [["--beams", "2", "--temperature", "1"], ["--batch-size", "0"], []])
def test_wrong_usage_is_exit_code_2(wrong):
    assert main(["generate", *(["The cat"] if wrong else []), *wrong]) == 2


def test_a_missing_model_is_exit_code_1(capsys, tmp_path):
    assert main(["generate", "The cat", "--model", str(tmp_path / "none")]) == 1
    assert "there is no model folder" in capsys.readouterr().err
