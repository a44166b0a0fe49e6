"""How many files of the project one command passes through: a reader who follows it opens so many."""

import inspect
import os
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest

from tests.forked import finish, program, start

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("backbone", "multimodal", "crosslingual", "video", "scripts")


def walk(words: list[str], out: Path) -> None:
    """Run a command and write the project's files of which it enters a function, but for what importing them calls."""
    entered: set[str] = set()
    os.chdir(ROOT)
    os.environ.pop("POLYGRAFT_STARTER", None)

    def trace(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(str(ROOT)):
            file = code.co_filename[len(str(ROOT)) + 1 :]
            if file not in entered and file.split("/")[0] in PACKAGES and not imported(frame.f_back):
                entered.add(file)

    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        program(words, out)
    finally:
        sys.setprofile(None)
        out.write_text("\n".join(sorted(entered)))


def imported(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(str(ROOT)):
            return True
        frame = frame.f_back
    return False


def text(path: Path, line: str, lines: int) -> Path:
    path.write_text("".join(f"{line} {number}\n" for number in range(lines)), encoding="utf-8")
    return path


def caption(_folder: Path) -> list[str]:
    return ["caption", "examples/pictures/photograph-cat.jpg"]


def caption_user(folder: Path) -> list[str]:
    user = ["--user", "examples/users/hashtags.jsonl", "--consensus", "4", "--cache", str(folder / "cache")]
    return [*caption(folder), *user]


def narrate(folder: Path) -> list[str]:
    return ["narrate", "examples/films/bikes.mp4", "--cache", str(folder / "cache")]


def transfer(folder: Path) -> list[str]:
    (folder / "pairs.tsv").write_text("water\tmaji\nhouse\tnyumba\n")
    words = text(folder / "sw.txt", "maji nyumba ya watu habari ya asubuhi", 400)
    made = ["--text", str(words), "--vocab-size", "400", "--out", str(folder / "out")]
    return ["transfer", "--model", "starter", "--init", "dict", "--dictionary", str(folder / "pairs.tsv"), *made]


def train_language(folder: Path) -> list[str]:
    words = text(folder / "sw.txt", "maji nyumba ya watu habari ya asubuhi na jioni", 4000)
    short = ["--steps", "2", "--batch-size", "2", "--context", "64"]
    return ["train", "language", str(words), "--from", "starter", *short, "--out", str(folder / "out")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "most"), [(caption, 22), (caption_user, 34), (narrate, 31), (transfer, 28), (train_language, 26)]
)
def test_a_command_passes_through_few_files(tmp_path, command, most):
    finish(start(walk, command(tmp_path), tmp_path / "entered"))
    files = (tmp_path / "entered").read_text().splitlines()
    assert 10 < len(files) <= most, files
