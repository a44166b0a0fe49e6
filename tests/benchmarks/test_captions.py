"""`python -m benchmarks.captions` and `python -m benchmarks.throughput`, on a tiny starter and painted images."""

import json
from pathlib import Path

import pytest

from benchmarks import common
from starter_build.datasets.images import ImageRecord
from starter_build.starter import captioners
from tests.multimodal.tiny_captioner import TEXTS, paint


@pytest.fixture
def painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen images in the place of all sets, two of each text, on all sides of the split."""
    found = []
    for number in range(16):
        image = tmp_path / f"{number}.png"
        paint(number).save(image)
        kind = ("emoji", "stamps")[number % 2]
        text = TEXTS[number % 8]
        found.append(ImageRecord(set=kind, id=f"{kind}/{number}", image=image, text=text, user="x", concept=text))
    sides = {record.id: ("train", "validation", "test", "train")[number % 4] for number, record in enumerate(found)}
    monkeypatch.setattr(captioners, "images", lambda _: found)
    monkeypatch.setattr(captioners, "load_splits", lambda: sides)
    monkeypatch.setattr(captioners, "EPOCHS", 1)


@pytest.mark.usefixtures("painted")
def test_captions_are_compared_with_controls_for_each_set(polygraft, tmp_path):
    called = polygraft(
        "benchmark", "captions", "--mappers", "mlp", "--seeds", 0, "--data", tmp_path, "--work", tmp_path / "work",
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert called.code == 0
    tables = {row["table"]: row["rows"] for row in map(json.loads, called.out)}
    assert list(tables) == ["all", "emoji"]
    assert {"mlp mapper", "mlp mapper, shuffled images", "nearest training image's caption"} < set(tables["all"])


def test_throughput_has_a_row_for_each_setting(polygraft, monkeypatch):
    small = {"context": 32, "width": 16, "layers": 1, "heads": 2, "vocab_size": 400}
    monkeypatch.setattr(common, "GPT2_SMALL", small)
    flags = ("--tokens", 2, "--beams", 2, "--batch-sizes", 1, 2, "--repeats", 1, "--device", "cpu", "--json")
    called = polygraft("benchmark", "throughput", *flags)
    assert called.code == 0
    rates, gains = (json.loads(line)["rows"] for line in called.out)
    assert len(rates) == 2 * (2 * 2 + 2) + 2 and list(gains) == ["starter", "GPT-2 small, random weights"]
