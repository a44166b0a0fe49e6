"""`python -m benchmarks.retrieval`: what is measured, and what is printed of it."""

import json

import pytest

FLAGS = (
    "--models", "starter", "--entries", 16, 40, "--tokens", 2, 3, "--frames", 2, "--batch-sizes", 1, 3,
    "--queries", 5, "--width", 8, "--repeats", 1, "--device", "cpu",
)  # fmt: skip


def test_it_prints_the_time_of_a_clip_and_how_many_times_generation_takes(polygraft):
    called = polygraft("benchmark", "retrieval", *FLAGS, "--json")
    assert called.code == 0
    rows, search = (json.loads(line)["rows"] for line in called.out)
    assert len(rows) == 2 * 2 * (2 + 2) and len(search) == 2
    assert {name.split(" | ")[0] for name in rows} == {"encoded frames", "videos"}
    retrieved = rows["videos | 3 | retrieval, 16 entries"]
    written = rows["videos | 3 | generation, 2 tokens"]["ms a clip"]
    assert retrieved["generation, 2 tokens, times"] == pytest.approx(written / retrieved["ms a clip"])


@pytest.mark.parametrize(
    ("flags", "told"), [(("--entries", 7), "entries is 7"), (("--repeats", 0), "repeats is 0"), (("--tokens",), "")]
)
def test_wrong_usage(polygraft, flags, told):
    called = polygraft("benchmark", "retrieval", *flags)
    assert called.code == 2 and told in " ".join(called.err)
