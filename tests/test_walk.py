"""How many files of the project one command passes through: a reader who follows it opens so many."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Counts the project's files of which a function is entered, but for what importing them calls.
TRACER = """
import inspect, sys, threading
root = sys.argv.pop(1)
packages = ("backbone", "multimodal", "crosslingual", "video", "scripts")
entered = set()

def imports(frame):
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(root):
            return True
        frame = frame.f_back
    return False

def trace(frame, event, _):
    code = frame.f_code
    if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED or not code.co_filename.startswith(root):
        return
    file = code.co_filename[len(root) + 1 :]
    if file not in entered and file.split("/")[0] in packages and not imports(frame.f_back):
        entered.add(file)

from scripts.__main__ import main
threading.setprofile(trace)
sys.setprofile(trace)
code = main(sys.argv[1:])
sys.setprofile(None)
print("ENTERED", len(entered), file=sys.stderr)
print(*sorted(entered), sep="\\n", file=sys.stderr)
sys.exit(code)
"""


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
    ("command", "most"), [(caption, 29), (caption_user, 46), (narrate, 43), (transfer, 38), (train_language, 34)]
)
def test_a_command_passes_through_few_files(tmp_path, command, most):
    environment = {name: value for name, value in os.environ.items() if name != "POLYGRAFT_STARTER"}
    done = subprocess.run(
        [sys.executable, "-c", TRACER, str(ROOT), *command(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, *files = done.stderr.split("ENTERED ")[1].splitlines()
    assert int(count) <= most, files
