"""Bad input through the command: one sentence each, exit code 1 or 2, and the rest of the batch done."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import pytest

from tests.multimodal.tiny_captioner import paint


@cache
def bomb():
    """Return a valid PNG of 30,000 x 30,000 white pixels: 2.7 GB decoded, half a megabyte in the file."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(1)
    line = b"\0" + b"\xff" * (30_000 // 8)
    data = b"".join(rows.compress(line) for _ in range(30_000)) + rows.flush()
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def cut(path):
    paint(7).resize((200, 200)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


IMAGES = {
    "truncated.png": (cut, "cannot be decoded"),
    "truncated.jpg": (cut, "cannot be decoded"),
    "empty.png": (lambda path: path.touch(), "is empty"),
    "text.png": (lambda path: path.write_text("I am no image"), "holds no image"),
    "bomb.png": (lambda path: path.write_bytes(bomb()), "too large"),
    "link.png": (lambda path: path.symlink_to("nowhere"), "broken link"),
    "pipe.png": (os.mkfifo, "no regular file"),
}


@pytest.fixture
def good(tmp_path):
    paint(0).save(tmp_path / "good.png")
    return tmp_path / "good.png"


@pytest.fixture
def caption(polygraft):
    return lambda *arguments: polygraft("caption", *arguments, "--device", "cpu")


@pytest.mark.parametrize("name", IMAGES)
def test_a_bad_image_is_one_sentence_and_the_others_are_captioned(caption, good, tmp_path, name):
    make, told = IMAGES[name]
    make(tmp_path / name)
    called = caption(tmp_path / name, good)
    assert [called.code, len(called.err), len(called.out)] == [1, 1, 1]
    assert str(tmp_path / name) in called.err[0]
    assert told in called.err[0]
    assert called.out[0].startswith(f"{good}\t")


def test_a_folder_of_bad_images_is_one_sentence_each(caption, tmp_path):
    for name, (make, _) in IMAGES.items():
        make(tmp_path / name)
    called = caption(tmp_path)
    assert [called.code, called.out, len(called.err)] == [1, [], len(IMAGES)]


def test_a_missing_path_is_one_sentence_and_the_others_are_captioned(caption, good):
    called = caption("nowhere.png", good, "none/*.png")
    assert [called.code, len(called.out), len(called.err)] == [1, 1, 2]
    assert "nowhere.png does not exist" in called.err[0]


def test_nothing_but_missing_paths_is_a_failure(caption):
    called = caption("nowhere.png", "elsewhere")
    assert [called.code, called.out, len(called.err)] == [1, [], 2]


def test_a_directory_without_images_is_one_sentence(caption, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    called = caption(tmp_path)
    assert [called.code, called.out, len(called.err)] == [1, [], 1]
    assert "no images in" in called.err[0]


@pytest.fixture
def model(starter, tmp_path):
    return Path(shutil.copytree(starter / "captioner", tmp_path / "model"))


def rewrite(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def another_base(folder):
    def change(content):
        content["frozen"]["language_model"]["sha256"] = "0" * 64

    rewrite(folder / "config.json", change)


def cut_weights(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this code must never run')",))


def posing_pickle(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Harmful()))


CHECKPOINTS = {
    "another base": (another_base, "was trained on the language_model 'starter'"),
    "truncated weights": (cut_weights, "truncated or damaged"),
    "a pickle": (posing_pickle, "is a pickle"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "cannot be read"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no checkpoint"),
    "a damaged config": (lambda folder: (folder / "config.json").write_text("{"), "damaged"),
    "another kind": (lambda folder: rewrite(folder / "config.json", lambda c: c.update(kind="narrator")), "narrator"),
    "nothing": (shutil.rmtree, "no checkpoint folder"),
}


@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_a_bad_checkpoint_is_one_sentence(caption, good, model, damage):
    make, told = CHECKPOINTS[damage]
    make(model)
    called = caption(good, "--model", model)
    assert [called.code, called.out, len(called.err)] == [1, [], 1]
    assert told in called.err[0]


def test_a_language_model_that_moved_can_be_named(caption, good, model, starter):
    rewrite(model / "config.json", lambda content: content["frozen"]["language_model"].update(name="/gone/gpt2"))
    missing = caption(good, "--model", model)
    assert (missing.code, "--backbone" in missing.err[0]) == (1, True)
    assert caption(good, "--model", model, "--backbone", starter / "gpt2").code == 0


def test_a_starter_that_was_never_built_says_how_to_make_it(caption, good, tmp_path, monkeypatch):
    monkeypatch.setenv("POLYGRAFT_STARTER", str(tmp_path / "nothing"))
    called = caption(good)
    assert [called.code, len(called.err), "starter_build" in called.err[0]] == [1, 1, True]


@pytest.mark.slow
def test_the_file_run_by_itself_leaves_with_one_and_no_traceback(starter, good, tmp_path):
    cut(tmp_path / "cut.png")
    file = Path(__file__).resolve().parents[2] / "scripts" / "caption.py"
    command = [sys.executable, str(file), str(tmp_path / "cut.png"), str(good), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert [done.returncode, len(done.stdout.splitlines()), len(done.stderr.splitlines())] == [1, 1, 1]
    assert done.stdout.startswith(f"{good}\t")
