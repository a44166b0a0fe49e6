import io
import json
import sys

import pytest

from scripts.__main__ import main
from tests.multimodal.metrics.goldens import read_scores

EACH = read_scores()["posts"]
HYPOTHESES = [{"id": id_, "text": text} for id_, text in EACH["hypotheses"].items()]
REFERENCES = [{"id": id_, "texts": texts} for id_, texts in EACH["references"].items()]


def lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def run(tmp_path, capsys):
    """Run the command on two files with these contents: exit code, standard output, standard error."""

    def on(hypotheses: bytes, references: bytes = lines(REFERENCES), *options: str) -> tuple[int, str, str]:
        (tmp_path / "hyp.jsonl").write_bytes(hypotheses)
        (tmp_path / "ref.jsonl").write_bytes(references)
        files = [str(tmp_path / "hyp.jsonl"), str(tmp_path / "ref.jsonl")]
        code = main(["metrics", *files, *(options or ["--skip-meteor"])])
        return code, *capsys.readouterr()

    return on


def test_json_is_one_object_with_every_metric(run):
    code, out, err = run(lines(HYPOTHESES), lines(REFERENCES), "--json", "--skip-meteor")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out) == pytest.approx(EACH["figures"] | {"meteor": None}, abs=1e-9)


def test_the_table_has_a_line_for_each_metric_that_there_is(run):
    code, out, _ = run(lines(HYPOTHESES))
    table = dict(line.split() for line in out.splitlines())
    assert code == 0
    assert list(table) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"]
    assert table["cider_d"] == "5.1239"


def test_without_java_meteor_is_null_and_the_reason_is_a_remark(run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, out, err = run(lines(HYPOTHESES), lines(REFERENCES), "--json")
    assert code == 0 and json.loads(out)["meteor"] is None
    assert err.startswith("METEOR is left out: it needs Java") and err.count("\n") == 1


def test_whole_numbers_are_ids_and_a_single_reference_may_be_a_text(run):
    code, out, _ = run(b'{"id": 7, "text": "a dog"}\n\n', b'\xef\xbb\xbf{"id": "7", "text": "a dog"}\r\n')
    assert code == 0 and out.startswith("bleu_1      1.0000")


def test_a_minus_reads_standard_input(tmp_path, capsys, monkeypatch):
    (tmp_path / "ref.jsonl").write_bytes(lines(REFERENCES))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(HYPOTHESES))))
    assert main(["metrics", "-", str(tmp_path / "ref.jsonl"), "--skip-meteor"]) == 0
    assert "cider_d     5.1239" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("hypotheses", "told"),
    [
        (b"", "hyp.jsonl holds no caption"),
        (lines(HYPOTHESES) + b"{oops\n", "hyp.jsonl, line 6 is not JSON"),
        (lines(HYPOTHESES) + b"[1]\n", "line 6 is a list, not an object"),
        (lines(HYPOTHESES[:2]) + b'{"id": "c", "text": "caf\xe9"}\n', "line 3 is not UTF-8"),
        (b'{"text": "a"}\n', "line 1 has no text or whole number under 'id'"),
        (b'{"id": true, "text": "a"}\n', "line 1 has no text or whole number under 'id'"),
        (b'{"id": "a", "texts": ["a"]}\n', "line 1 has no text under 'text'"),
        (b'{"id": "a", "text": "x"}\n' * 2, "line 2 has the id 'a' for the second time"),
        (lines(HYPOTHESES[1:]), "1 ids have no hypothesis ('a')"),
        (lines([*HYPOTHESES, {"id": "z", "text": ""}]), "1 ids have no reference ('z')"),
    ],
)
def test_bad_hypotheses_are_one_sentence(run, hypotheses, told):
    code, out, err = run(hypotheses)
    assert (code, out) == (1, "")
    assert told in err and err.count("\n") == 1 and err.startswith("polygraft: ")


@pytest.mark.parametrize("texts", [b"[]", b"null", b'"a"', b'["a", 1]'])
def test_references_that_are_no_list_of_texts_are_refused(run, texts):
    code, _, err = run(b'{"id": 1, "text": "a"}', b'{"id": 1, "texts": %s}' % texts)
    assert code == 1 and "ref.jsonl, line 1 has no list of texts under 'texts'" in err


def test_a_missing_file_and_two_standard_inputs_are_told_apart(tmp_path, capsys):
    assert main(["metrics", str(tmp_path / "no.jsonl"), "-"]) == 1
    assert "no.jsonl cannot be read" in capsys.readouterr().err
    assert main(["metrics", "-", "-"]) == 2
