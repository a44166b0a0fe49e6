import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crosslingual.corpus.corpus import Corpus
from tests.crosslingual.tiny_corpus import content, prose, source, write_jsonl


@pytest.fixture
def starter():
    """Stand in for the folder of models that other commands need."""


@pytest.fixture
def listed(tmp_path):
    """Return a list of sources: 40 English texts with one copy, and a Russian file of English."""
    english = prose("en", 40)
    write_jsonl(tmp_path / "en.jsonl", [*english, english[3]])
    write_jsonl(tmp_path / "ru.jsonl", english[:2])
    path = tmp_path / "sources.toml"
    path.write_text(source("news", "en", "en.jsonl") + source("dom", "ru", "ru.jsonl"))
    return path


def test_the_table_says_what_is_in_each_language(polygraft, listed, tmp_path):
    called = polygraft("corpus", "build", listed, "--out", tmp_path / "c", "--workers", 1)
    assert called.code == 0 and called.out[0] == "language\tread\ttrain\theldout\tMB\tdropped"
    assert called.out[1].split("\t") == ["en", "41", "39", "1", called.out[1].split("\t")[4], "duplicate 1"]
    assert called.out[2] == "ru\t2\t0\t0\t0.00\twrong_script 2"
    assert called.err == ["ru has no document left: wrong_script 2"]
    assert Corpus.open(tmp_path / "c").languages == ("en", "ru")


def test_json_and_a_second_call(polygraft, listed, tmp_path):
    first = polygraft("corpus", "build", listed, "--out", tmp_path / "c", "--json", "--workers", 1)
    before = content(tmp_path / "c")
    assert polygraft("corpus", "build", listed, "--out", tmp_path / "c", "--json").out == first.out
    facts = json.loads(first.out[0])
    assert (facts["language"], facts["read"]["documents"], facts["licences"]) == ("en", 41, {"news": "CC0-1.0"})
    assert facts["dropped"] == {"duplicate": {"documents": 1, "bytes": facts["dropped"]["duplicate"]["bytes"]}}
    assert content(tmp_path / "c") == before


def test_options_reach_the_build(polygraft, listed, tmp_path):
    called = polygraft(
        "corpus", "build", listed, "--out", tmp_path / "c", "--exact", "off", "--near", "off", "--heldout", "0.5",
        "--workers", 1,
    )  # fmt: skip
    counts = [int(count) for count in called.out[1].split("\t")[1:4]]
    assert counts[0] == counts[1] + counts[2] == 41 and counts[2] > 10


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--heldout", "2"], 2, "heldout is 2.0"),
        (["--workers", "-1"], 2, "workers is -1"),
        (["--near", "perhaps"], 2, "near"),
        (["--unit-bytes", "0"], 2, "unit_bytes is 0"),
    ],
)
def test_wrong_flags_are_told(polygraft, listed, tmp_path, flags, code, told):
    called = polygraft("corpus", "build", listed, "--out", tmp_path / "c", *flags)
    assert called.code == code and told in " ".join(called.err) and not (tmp_path / "c").exists()


def test_damage_is_one_sentence(polygraft, listed, tmp_path):
    (tmp_path / "en.jsonl").unlink()
    called = polygraft("corpus", "build", listed, "--out", tmp_path / "c")
    assert (called.code, called.out, len(called.err)) == (1, [], 1)
    assert "source 'news': en.jsonl cannot be read, it matches no file" in called.err[0]
    (tmp_path / "en.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00 cut off")
    listed.write_text(source("news", "en", "en.jsonl.gz"))
    called = polygraft("corpus", "build", listed, "--out", tmp_path / "c", "--workers", 1)
    assert (called.code, called.out, len(called.err)) == (1, [], 1)
    assert "en.jsonl.gz is cut off or damaged" in called.err[0]


@pytest.mark.slow
def test_help_and_a_build_need_no_torch(listed, tmp_path):
    code = (
        "import sys; from scripts.__main__ import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "corpus", "build", str(listed), "--out", str(tmp_path / "c"), "--workers", "1"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
