"""What a command imports, bounded by name: seconds and hundreds of megabytes of libraries that it does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts._app.cli import find_commands

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import sys, time
from scripts.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as left:
    code = left.code
print("IMPORTED", code, time.process_time(), *(name for name in sys.modules if "." not in name), file=sys.stderr)
"""
IMAGES = {"open_clip", "timm"}
MODELS = {*IMAGES, "transformers", "torchvision", "scipy", "sklearn"}
TENSORS = {*MODELS, "torch"}
TABLES = {"sklearn", "pandas", "pyarrow", "datasets", "matplotlib", "decord"}
HELP = ["", "--help", "train", *(f"{name} --help" for name in find_commands())]


def imported(line, expected="0"):
    """Return the processor time in seconds of a command and the names of the packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *line.split()], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    code, seconds, *names = done.stderr.split("IMPORTED ")[1].split()
    assert code == expected, done.stderr
    return float(seconds), set(names)


@pytest.mark.parametrize("line", HELP)
def test_help_answers_at_once_and_without_torch(line):
    seconds, names = imported(line)
    assert not TENSORS & names
    assert seconds < 1  # processor time, which other work on the machine does not stretch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "unused"),
    [
        ("metrics {0}/texts.jsonl {0}/truths.jsonl --skip-meteor", TENSORS),
        ("info backbone/starter_models/captioner", TENSORS),
        ("vocabulary show backbone/starter_models/vocabulary", TENSORS),
        ("vocabulary build {0}/narrations.txt --no-vectors --out {0}/vocabulary", TENSORS),
        ("vocabulary rollback backbone/starter_models/vocabulary", TENSORS),
        ("generate Hello --max-tokens 1", IMAGES),
        ("caption examples/pictures/photograph-cat.jpg", {*TABLES, "av"}),
        ("narrate examples/films/bikes.mp4 --cache {0}/cache", TABLES),
    ],
)
def test_a_command_imports_only_what_it_uses(tmp_path, line, unused):
    (tmp_path / "texts.jsonl").write_text('{"id": "1", "text": "a dog"}')
    (tmp_path / "truths.jsonl").write_text('{"id": "1", "texts": ["a dog"]}')
    (tmp_path / "narrations.txt").write_text("open the door")
    failing = "rollback" in line  # there is nothing to take back
    assert not unused & imported(line.format(tmp_path), str(int(failing)))[1]
