import dataclasses
import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
import torch

from backbone.checkpoint import Checkpoint, FrozenPart, ModelCard, save_checkpoint
from backbone.errors import PolygraftError, UsageError
from scripts.__main__ import main
from scripts._app.cli import (
    Device,
    Json,
    Seed,
    emit,
    find_commands,
    guard,
    listing,
    parse,
    progress,
    remark,
    split_words,
)

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = find_commands()


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    parts = {"backbone": FrozenPart(name="gpt2", sha256="ab" * 32)}
    part = Checkpoint(kind="captioner", config={"layers": 2}, frozen=parts, tensors={"w": torch.zeros(3, 4)})
    return save_checkpoint(tmp_path / "run", part, card=ModelCard(title="A test", summary="Nothing."))


@pytest.fixture
def folder_of_commands(tmp_path) -> Path:
    for name in ("caption", "train_captioner", "train_language", "vocabulary_build", "_helper", "__main__"):
        (tmp_path / f"{name}.py").write_text(f'"""polygraft {name}\n\nDo the\n{name}.\n\nMore.\n"""\nraise SystemError')
    return tmp_path


def python(*arguments: str | Path, cwd: Path = ROOT, **settings) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, text=True, timeout=60, **{"capture_output": True, **settings})


# Finding commands


def test_commands_are_the_public_files_of_the_folder_and_are_not_imported(folder_of_commands):
    found = find_commands(folder_of_commands)
    assert list(found) == ["caption", "train captioner", "train language", "vocabulary build"]
    assert found["train language"].example == "polygraft train_language"
    assert found["train language"].summary == "Do the train_language"


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("", "", []),
        ("--help", "", ["--help"]),
        ("caption a.jpg --beams 2", "caption", ["a.jpg", "--beams", "2"]),
        ("caption train", "caption", ["train"]),
        ("train", "train", []),
        ("train --help", "train", ["--help"]),
        ("train captioner --help", "train captioner", ["--help"]),
    ],
)
def test_the_longest_name_is_the_command(folder_of_commands, line, name, rest):
    assert split_words(find_commands(folder_of_commands), line.split()) == (name, rest)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("captoin a.jpg", "no command 'captoin'; did you mean 'caption'?"),
        ("trian captioner", "'train captioner'"),
        ("train captoiner x", "no command 'train captoiner'; did you mean 'train captioner'?"),
        ("xyzzy", "no command 'xyzzy'; `polygraft` lists them all."),
    ],
)
def test_an_unknown_command_is_one_sentence_with_the_close_ones(folder_of_commands, line, hint):
    with pytest.raises(UsageError) as caught:
        split_words(find_commands(folder_of_commands), line.split())
    assert hint in str(caught.value)


def test_a_group_lists_its_members_only(folder_of_commands):
    text = listing(find_commands(folder_of_commands), "train")
    assert [line.split("  ")[1] for line in text.splitlines() if "Do the" in line] == [
        "train captioner",
        "train language",
    ]


# Every command


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_file_has_the_shape_of_one(command):
    assert 10 < len(command.summary) < 110
    words = shlex.split(command.example)
    name, rest = split_words(COMMANDS, words[1:])
    assert (words[0], name) == ("polygraft", command.name)
    assert parse(command, rest), "the example is wrong usage"
    assert 'if __name__ == "__main__":\n    run_file(__file__)\n' in command.file.read_text()
    assert command.file.stem not in sys.stdlib_module_names


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_common_options_are_the_same_everywhere(command):
    module = __import__(command.module, fromlist=["Options"])
    hints = get_type_hints(module.Options, include_extras=True)
    defaults = {field.name: field.default for field in dataclasses.fields(module.Options)}
    for name, (hint, default) in {"device": (Device, "auto"), "json": (Json, False), "seed": (Seed, 0)}.items():
        assert name not in hints or (hints[name], defaults[name]) == (hint, default)


# Running


def test_info_tells_what_a_checkpoint_is(checkpoint, capsys):
    assert main(["info", str(checkpoint)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["kind"] == "captioner"
    assert lines["weights.parameters"] == "12"
    assert lines["needs.backbone"] == "gpt2 (SHA-256 abababababab)"
    assert lines["config.layers"] == "2"


def test_info_tells_the_same_as_json(checkpoint, capsys):
    assert main(["info", str(checkpoint), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["title"] == "A test"
    assert facts["weights"] == {"parameters": 12, "types": "F32", "megabytes": 0.0}


def test_info_knows_foreign_models_and_training_runs(tmp_path, capsys):
    for name, content in {
        "gpt/config.json": '{"model_type": "gpt2", "n_layer": 2}',
        "run/log.jsonl": '{"step": 7}\n',
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    assert main(["info", str(tmp_path / "gpt")]) == main(["info", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "language model (gpt2)" in out
    assert "last_report.step         7" in out


def test_info_says_in_one_sentence_what_it_does_not_know(tmp_path, checkpoint, capsys):
    (checkpoint / "model.safetensors").write_bytes(b"no weights")
    for folder in (tmp_path, tmp_path / "nowhere", checkpoint):
        assert main(["info", str(folder)]) == 1
        err = capsys.readouterr().err
        assert err.startswith("polygraft: ")
        assert err.count("\n") == 1


def test_a_script_runs_as_a_file_from_any_folder(checkpoint, tmp_path):
    script = python(ROOT / "scripts" / "info.py", checkpoint, cwd=tmp_path)
    module = python("-m", "scripts", "info", checkpoint)
    assert script.returncode == 0
    assert script.stdout == module.stdout != ""


@pytest.mark.parametrize("line", ["inof", "info", "info a b c", "info a --colour red"])
def test_wrong_usage_leaves_with_2(line):
    done = python("-m", "scripts", *line.split())
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(checkpoint):
    child = subprocess.Popen(
        [sys.executable, "-m", "scripts", "info", str(checkpoint)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(timeout=60) == 141


def test_a_full_disk_behind_the_output_is_one_sentence(checkpoint):
    with Path("/dev/full").open("w") as full:
        done = python("-m", "scripts", "info", checkpoint, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == "polygraft: the disk is full: free some space and run the command again\n"


def test_names_that_the_terminal_cannot_show_are_escaped(checkpoint):
    folder = checkpoint.rename(checkpoint.with_name("h\u00e9\udcff"))
    done = python(
        "-m",
        "scripts",
        "info",
        os.fsencode(folder).decode(errors="surrogateescape"),
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert r"h\xe9\udcff" in done.stdout


# Failures


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


@pytest.mark.parametrize(
    ("failure", "code", "sentence"),
    [
        (PolygraftError("it is not there"), 1, "it is not there"),
        (UsageError("not like this"), 2, "not like this"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "/out/x"), 1, "the disk is full (/out/x): free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/out"), 1, "permission denied (/out): choose a place"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a"), 1, "no such file or directory (a)"),
        (OutOfMemoryError("CUDA out of memory. Tried ..."), 1, "out of memory: ask for a smaller --batch-size"),
    ],
)
def test_a_foreseen_failure_is_one_sentence_and_a_code(failure, code, sentence, capsys, monkeypatch):
    monkeypatch.delenv("POLYGRAFT_DEBUG", raising=False)

    def fail() -> int:
        raise failure

    assert guard(fail) == code
    err = capsys.readouterr().err
    assert err.startswith(f"polygraft: {sentence}")
    assert err.count("\n") == 1


def test_debugging_brings_the_traceback_before_the_sentence(capsys, monkeypatch):
    monkeypatch.setenv("POLYGRAFT_DEBUG", "1")
    assert main(["info", "/nowhere"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("polygraft: there is no folder")


@pytest.mark.parametrize("fault", [ValueError("a fault"), OSError("of a library, without a number")])
def test_a_fault_of_the_program_is_not_hidden(fault):
    def fail() -> int:
        raise fault

    with pytest.raises(type(fault), match=str(fault)):
        guard(fail)


# Output


def test_results_and_remarks_go_their_own_ways(capsys):
    emit("a result")
    remark("a remark")
    assert list(progress(range(3), label="work")) == [0, 1, 2]
    assert capsys.readouterr() == ("a result\n", "a remark\n")
