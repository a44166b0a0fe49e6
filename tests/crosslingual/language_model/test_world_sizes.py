"""`train language` on two processes: the model that is kept is whole, measured on the way, and that of one process."""

import json

import pytest
from safetensors.torch import load_file

from tests.crosslingual.tiny_corpus import build, prose, source, write_jsonl
from tests.forked import finish, program, start
from tests.starter_build.tiny_languages import write_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FLAGS = (
    "--context", 16, "--batch-size", 4, "--micro-batch", 2, "--lr", "1e-2", "--steps", 6, "--eval-every", 3,
    "--device", "cpu", "--json",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    write_model(folder / "model", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    write_jsonl(folder / "en.jsonl", prose("en", 20, words=20))
    write_jsonl(folder / "de.jsonl", prose("de", 8, words=20))
    listed = source("en", "en", "en.jsonl") + source("de", "de", "de.jsonl")
    build(folder, listed, tails=0.0, no_rules=True, heldout=0.2)
    return folder


def train(folder, out, *flags, processes=1):
    begin = ("train", "language", "--corpus", folder / "corpus", "--from", folder / "model", "--out", out, *FLAGS)
    printed = out.with_suffix(".jsonl")
    finish(start(program, [*map(str, (*begin, *flags))], printed, processes=processes))
    return json.loads(printed.read_text().splitlines()[-1]), load_file(out / "model.safetensors")


@pytest.mark.parametrize("part", ["all", "embeddings"])
def test_shards_become_the_model_of_one_process(folder, tmp_path, part):
    alone, expected = train(folder, tmp_path / "one", "--train", part)
    both, found = train(folder, tmp_path / "two", "--train", part, "--parallel", "fsdp", processes=2)
    assert both["bits_per_byte"] == pytest.approx(alone["bits_per_byte"], abs=1e-4)
    assert both["body"] == alone["body"] == ("as before" if part == "embeddings" else "trained")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():  # where gradients are next to nothing, AdamW makes much of their rounding
        assert (found[name] - tensor).abs().mean() < 1e-3, name
