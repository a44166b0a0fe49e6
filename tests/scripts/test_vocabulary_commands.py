import io
import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from backbone.clip import ImageEncoder
from scripts._app.cli import find_commands
from video.timeline.query import Segment
from video.update.update import grow
from video.vocabulary.vectors import TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary

LINES = """\
#C C cuts bread
cuts bread with a knife
Cuts cake.
cuts cake with a knife
cuts cake on a board #unsure
opens
opens door
"""
TEXTS = ["cuts bread", "cuts bread with a knife", "cuts cake", "cuts cake on a board", "cuts cake with a knife"]
TEXTS += ["opens", "opens door"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "narrations.txt"
    path.write_text(LINES)
    return path


@pytest.fixture
def built(polygraft, file, tmp_path):
    called = polygraft("vocabulary", "build", file, "--out", tmp_path / "v", "--device", "cpu")
    assert (called.code, called.err) == (0, [])
    return tmp_path / "v"


def counts(polygraft, folder):
    called = polygraft("vocabulary", "show", folder, "--json")
    assert (called.code, called.err, len(called.out)) == (0, [], 1)
    facts = json.loads(called.out[0])
    return [facts[name] for name in ("narrations", "prefixes", "postfixes", "scenes")]


def pairs(polygraft, folder):
    return [tuple(line.split("\t")) for line in polygraft("vocabulary", "show", folder, "--list", "pairs").out]


# Building and showing


def test_a_file_becomes_a_vocabulary_that_can_be_shown(polygraft, built):
    assert counts(polygraft, built) == [7, 4, 2, 0]
    assert polygraft("vocabulary", "show", built, "--list", "prefixes").out == [
        "cuts bread",
        "cuts cake",
        "opens",
        "opens door",
    ]
    assert polygraft("vocabulary", "show", built, "--list", "postfixes").out == ["on a board", "with a knife"]
    assert [line[0] for line in pairs(polygraft, built)] == ["cuts bread", "cuts cake", "opens", "opens door"] + [
        text for text in TEXTS if len(text.split()) > 2
    ]
    assert ("cuts cake on a board", "cuts cake", "on a board") in pairs(polygraft, built)
    assert ("opens door", "opens door", "") in pairs(polygraft, built)


def test_every_narration_comes_back(polygraft, built):
    said = [(narration, f"{prefix} {postfix}".strip()) for narration, prefix, postfix in pairs(polygraft, built)]
    assert sorted(narration for narration, _ in said) == TEXTS
    assert all(narration == joined for narration, joined in said)


def test_it_is_searched_by_the_text_encoder_that_made_it(built, starter):
    clip = ImageEncoder.from_pretrained(device="cpu")
    vocabulary = NarrationVocabulary.from_pretrained(built)
    vocabulary.check_encoder(TextEncoder(clip.encode_text, "starter", clip.text_digest).part)
    assert vocabulary.width == clip.width
    assert vocabulary.retrieve(clip.encode_text(["opens door"]))[0][0].text == "opens door"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--min-share", "2"], [7, 5, 1, 0]),
        (["--min-base-words", "1", "--no-function-word-guard"], [7, 3, 3, 0]),
        (["--no-function-word-guard"], [7, 4, 2, 0]),
        (["--min-share", "3"], [7, 7, 0, 0]),
    ],
)
def test_the_coding_is_chosen_by_flags(polygraft, file, tmp_path, flags, expected):
    called = polygraft("vocabulary", "build", file, "--out", tmp_path / "v", "--no-vectors", *flags)
    assert (called.code, called.err) == (0, [])
    assert counts(polygraft, tmp_path / "v") == expected
    assert not (tmp_path / "v" / "vectors.safetensors").exists()


def test_scenes_videos_and_standard_input(polygraft, tmp_path, monkeypatch):
    rows = [
        {"text": "Cut bread", "video": v, "scenario": s} for v, s in (("a", "Cooking"), ("b", "cooking"), ("a", "Tea"))
    ]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(rows[0]).encode())))
    assert polygraft("vocabulary", "build", "-", "--out", tmp_path / "one", "--no-vectors").code == 0
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    called = polygraft(
        "vocabulary", "build", tmp_path / "rows.jsonl", "--out", tmp_path / "v", "--no-vectors", "--json"
    )
    told = json.loads(called.out[0])
    assert told.pop("out") == str(tmp_path / "v")
    assert told == {"narrations": 1, "prefixes": 1, "postfixes": 0, "scenes": 2, "repeats": 1, "empty": 0}
    assert counts(polygraft, tmp_path / "one") == [1, 1, 0, 1]


def test_show_tells_how_it_was_made_and_what_is_said_most(polygraft, built):
    told = dict(line.split("\t", 1) for line in polygraft("vocabulary", "show", built).out)
    assert (told["min_share"], told["function_word_guard"], told["text_encoder"]) == ("1", "yes", "starter")
    assert told["sample"] in TEXTS
    row = polygraft("vocabulary", "show", built, "--list", "pairs", "--json").out[0]
    assert json.loads(row) == {"narration": "cuts bread", "prefix": "cuts bread", "postfix": ""}


def test_info_knows_a_vocabulary(polygraft, built):
    told = dict(line.split(maxsplit=1) for line in polygraft("info", built).out)
    assert (told["kind"], told["narrations"], told["coding.min_share"]) == ("narration vocabulary", "7", "1")


# Updates


def test_an_update_is_shown_and_rolled_back(polygraft, built, starter):
    clip = ImageEncoder.from_pretrained(device="cpu")
    encoder = TextEncoder(clip.encode_text, name="starter", digest=clip.text_digest)
    query = clip.encode_text(["a completely new thing happens"])[0]

    class Script:
        name = "script"

        def propose(self, segment):
            return ["A completely new thing happens."]

    grow(built, [Segment(video="film", start=0, stop=2, query=query)], Script(), encoder)
    assert counts(polygraft, built) == [8, 5, 2, 0]
    assert ("a completely new thing happens",) * 2 + ("",) in pairs(polygraft, built)
    shown = json.loads(polygraft("vocabulary", "show", built, "--json").out[0])["updates"]
    assert [(u["id"], u["state"], u["film"], u["narrations"]) for u in shown] == [("0001", "finished", "film", 1)]
    assert polygraft("vocabulary", "rollback", built).out == ["0001\tfilm\tscript\t1"]
    assert counts(polygraft, built) == [7, 4, 2, 0]
    called = polygraft("vocabulary", "rollback", built)
    assert (called.code, called.out, len(called.err)) == (1, [], 1)
    assert "no update to roll back" in called.err[0]


# Failures


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("empty.txt", b"", "empty.txt holds no narration"),
        ("tags.txt", b"#C C\n", "tags.txt holds no narration"),
        ("latin.txt", b"caf\xe9\n", "latin.txt, line 1 is not UTF-8"),
        ("long.txt", b"a\n" + b"b" * 1_000_000, "long.txt, line 2 has 1,000,000 characters"),
        ("nul.txt", b"a\0b\n", "nul.txt, line 1 holds NUL"),
        ("keys.jsonl", b'{"text": "a"}\n{"caption": "b"}\n', "keys.jsonl, line 2 has no text under 'text'"),
        ("cut.jsonl", b'{"text": "a"}\n{"te', "cut.jsonl, line 2 is not JSON"),
    ],
)
def test_a_bad_file_is_one_sentence_and_leaves_nothing(polygraft, tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    called = polygraft("vocabulary", "build", tmp_path / name, "--out", tmp_path / "v")
    assert (called.code, called.out, len(called.err)) == (1, [], 1)
    assert told in called.err[0] and not (tmp_path / "v").exists()


def test_a_byte_order_mark_is_passed_over(polygraft, tmp_path):
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfopen door\r\n")
    assert polygraft("vocabulary", "build", tmp_path / "bom.txt", "--out", tmp_path / "v", "--no-vectors").code == 0
    assert polygraft("vocabulary", "show", tmp_path / "v", "--list", "prefixes").out == ["open door"]


def test_missing_files_taken_folders_and_wrong_flags(polygraft, file, built):
    missing = polygraft("vocabulary", "build", "nowhere.txt", "--out", built.with_name("new"))
    assert missing.code == 1 and "nowhere.txt cannot be read: no such file" in missing.err[0]
    taken = polygraft("vocabulary", "build", file, "--out", built)
    assert taken.code == 1 and "exists already and is not replaced" in taken.err[0]
    assert polygraft("vocabulary", "build", file, "--out", built.with_name("n"), "--min-share", "0").code == 2
    assert polygraft("vocabulary", "show", built, "--list", "verbs").code == 2
    assert polygraft("vocabulary", "show", built.with_name("none")).code == 1


def test_vectors_that_do_not_fit_or_hold_nan_are_one_sentence(polygraft, built):
    tensors = load_file(built / "vectors.safetensors")
    for vectors, told in (
        (tensors["vectors"][:-1], "does not fit narrations.jsonl"),
        (np.full_like(tensors["vectors"], np.nan), "row 1 of the matrix holds NaN"),
    ):
        save_file(tensors | {"vectors": np.ascontiguousarray(vectors)}, built / "vectors.safetensors")
        called = polygraft("vocabulary", "show", built, "--json")
        assert (called.code, called.out, len(called.err)) == (1, [], 1)
        assert told in called.err[0]


def test_the_group_lists_its_commands(polygraft):
    assert {"vocabulary build", "vocabulary show", "vocabulary rollback"} <= set(find_commands())
    assert any("vocabulary build" in line for line in polygraft("vocabulary").out)
