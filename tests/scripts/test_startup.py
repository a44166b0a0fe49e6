"""What a command imports, bounded by name: seconds and hundreds of megabytes of libraries that it does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import sys
from scripts.__main__ import main
code = main(sys.argv[1:])
print("IMPORTED", code, *(name for name in sys.modules if "." not in name), file=sys.stderr)
"""
IMAGES = {"open_clip", "timm"}
MODELS = {*IMAGES, "transformers", "torchvision", "scipy", "sklearn"}
TENSORS = {*MODELS, "torch"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "unused"),
    [
        ("metrics {0}/texts.jsonl {0}/truths.jsonl --skip-meteor", TENSORS),
        ("info backbone/starter_models/captioner", TENSORS),
        ("vocabulary show backbone/starter_models/vocabulary", MODELS),
        ("vocabulary build {0}/narrations.txt --no-vectors --out {0}/vocabulary", MODELS),
        ("generate Hello --max-tokens 1", IMAGES),
    ],
)
def test_a_command_imports_only_what_it_uses(tmp_path, line, unused):
    (tmp_path / "texts.jsonl").write_text('{"id": "1", "text": "a dog"}')
    (tmp_path / "truths.jsonl").write_text('{"id": "1", "texts": ["a dog"]}')
    (tmp_path / "narrations.txt").write_text("open the door")
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *line.format(tmp_path).split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    code, *imported = done.stderr.split("IMPORTED ")[1].split()
    assert code == "0"
    assert not unused & set(imported)
