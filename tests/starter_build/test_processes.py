"""Commands that other commands call, in processes of their own."""

import sys

import pytest

from backbone.errors import PolygraftError
from starter_build.processes import polygraft, run_program


def test_a_command_is_called_from_anywhere(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "row.jsonl").write_text('{"id": "1", "text": "a cat"}\n', encoding="utf-8")
    ended = polygraft("metrics", "row.jsonl", "row.jsonl", capture=True)
    assert ended.rows()[0]["bleu_1"] == pytest.approx(1, abs=1e-6)
    assert ended.seconds > 0 and ended.mebibytes > 5
    assert capfd.readouterr().out == ""
    run_program([sys.executable, "-c", "print('a cat')"])
    told = capfd.readouterr()
    assert told.out == "" and "a cat" in told.err


def test_a_command_that_fails_is_named_after_its_own_sentence(capfd):
    with pytest.raises(PolygraftError, match=r"metrics nowhere\.jsonl"):
        polygraft("metrics", "nowhere.jsonl", "nowhere.jsonl", threads=1)
    assert "nowhere.jsonl" in capfd.readouterr().err
