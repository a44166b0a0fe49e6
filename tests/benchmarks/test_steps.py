"""`python -m benchmarks.steps`, on made-up recipes and a tiny starter."""

import json

import pytest

from benchmarks.video.step_models import ADAPTER, LINEAR, MEAN, OURS, PLACE, RANDOM
from tests.starter_build.tiny_recipes import write_recipes

TASKS = [f"{asked}, wrong ones of {whose}" for asked in ("next", "before") for whose in ("other recipes", "the same recipe")]  # fmt: skip  # noqa: E501


@pytest.fixture
def benchmark(polygraft, tmp_path):
    write_recipes(tmp_path / "data")

    def call(*flags):
        always = ("--data", tmp_path / "data", "--work", tmp_path / "work", "--device", "cpu", "--batch-size", 8)
        return polygraft("benchmark", "steps", *always, *flags)

    return call


def test_it_prints_what_each_system_answers_and_keeps_it(benchmark, tmp_path):
    called = benchmark("--steps", 6, "--seeds", 0, 1, "--json")
    assert called.code == 0
    table, over = (json.loads(line)["rows"] for line in called.out[:2])
    assert set(table) >= {MEAN, PLACE, OURS, RANDOM, ADAPTER, LINEAR}
    assert set(table[OURS]) == {*TASKS, "order", "order of neighbours"}
    mean, low, high = table[OURS]["order"]
    assert 0 <= low <= mean <= high <= 1 and len(over[MEAN]["order"]) == 3
    assert table["chance"][TASKS[0]] == pytest.approx(0.1)
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").rglob("*.json")}
    again = benchmark("--steps", 6, "--seeds", 0, 1)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert any(
        line.startswith(f"| {OURS} | ") and f"{mean:.3f} ({low:.3f} to {high:.3f})" in line for line in again.out
    )
    assert not [line for line in again.err if "seed" in line or "encoding" in line]


@pytest.mark.parametrize("flags", [("--steps", 0), ("--batch-size", 0)])
def test_wrong_usage_is_told_in_a_sentence(benchmark, flags):
    called = benchmark(*flags)
    assert called.code == 2 and "allowed is at least 1" in called.err[0]
