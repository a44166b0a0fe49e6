"""`python -m benchmarks.retrieval`: what is measured, and what is printed of it."""

import json
import time

import numpy as np
import pytest
import torch

from backbone.checkpoint import FrozenPart
from backbone.generation.config import Decoding
from benchmarks.common import medians
from benchmarks.random_gpt2 import random_gpt2, random_like
from benchmarks.video.speed import QUESTION, Finds, Writes, read_clips, write_videos, write_vocabulary
from tests.video.tiny_narrator import parts, random_frames, tiny_narrator
from video.vocabulary.vocabulary import NarrationVocabulary

FLAGS = (
    "--models", "starter", "--entries", 16, 40, "--tokens", 2, 3, "--frames", 2, "--batch-sizes", 1, 3,
    "--queries", 5, "--width", 8, "--repeats", 1, "--device", "cpu",
)  # fmt: skip


@pytest.fixture
def vocabulary(tmp_path):
    part = tiny_narrator().text_encoder.part
    return NarrationVocabulary.from_pretrained(write_vocabulary(tmp_path / "v", 40, parts()[0].width, part))


def test_a_made_up_vocabulary_is_one(vocabulary, tmp_path):
    counts = vocabulary.counts
    assert (counts.narrations, counts.prefixes, counts.postfixes) == (40, 30, 5)
    entries = list(vocabulary.entries("narrations"))
    assert len({entry.text for entry in entries}) == 40
    postfixes = {entry.text for entry in vocabulary.entries("postfixes")}
    assert {entry.postfix for entry in entries if entry.prefix} <= postfixes
    lengths = np.linalg.norm(vocabulary.base.vectors.astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, np.ones(45), atol=2e-3, rtol=0)
    again = write_vocabulary(tmp_path / "again", 40, 24, FrozenPart(name="x", sha256="0" * 64))
    assert np.array_equal(NarrationVocabulary.from_pretrained(again).base.vectors, vocabulary.base.vectors)


def test_narrations_are_as_long_as_asked_and_found_ones_are_the_best(vocabulary):
    frames = random_frames([2, 2, 2])
    writer = tiny_narrator(answer="generate", body="frozen")
    for tokens in (1, 4):
        rows = Writes(narrator=writer, tokens=tokens)(frames)
        assert len(rows) == 3
        ids = writer.generate(writer.batch(frames, [QUESTION] * 3), Decoding(max_tokens=tokens, min_tokens=tokens))
        assert [(row[0].text, len(row[0].ids)) for row in ids] == [(text, tokens) for text in rows]
    finder = tiny_narrator()
    found = Finds(narrator=finder, vocabulary=vocabulary)
    with torch.no_grad():
        queries = finder.query(finder.batch(frames, [QUESTION] * 3))
    best = (queries @ torch.from_numpy(vocabulary.base.vectors[:40]).float().T).argmax(dim=1).tolist()
    assert found(frames) == [vocabulary.entry("narrations", row).text for row in best]
    assert found.name == "retrieval, 40 entries"


def test_clips_of_made_up_videos_are_read_and_encoded(tmp_path):
    narrator = tiny_narrator()
    videos = write_videos(tmp_path, 2, 1.0)
    first, second = read_clips(narrator, videos, [0.0, 0.5, 0.9])
    assert first.shape == second.shape == (3, narrator.encoder.width)
    assert not torch.equal(first[0], first[2]) and not torch.equal(first, second)


def test_random_models_are_as_large_as_asked(tiny_backbone):
    starter = tiny_backbone()
    made = random_gpt2(starter, context=32, width=16, layers=3, heads=2, vocab_size=len(starter.tokenizer) + 7)
    assert (made.width, made.context, len(made.model.transformer.h)) == (16, 32, 3)
    assert made.vocabulary_size == len(starter.tokenizer) + 7
    like = random_like(starter)
    shapes = [{name: tensor.shape for name, tensor in one.model.state_dict().items()} for one in (starter, like)]
    assert shapes[0] == shapes[1]
    assert not torch.equal(like.embed(torch.tensor([5])), starter.embed(torch.tensor([5])))


def test_medians_are_of_the_runs_after_the_first():
    calls = []

    def slow():
        calls.append(None)
        time.sleep(0.03 if len(calls) == 1 else 0)

    quick, slower = medians([slow, lambda: time.sleep(0.02)], 3, "")
    assert len(calls) == 4 and quick < 0.02 <= slower


def test_it_prints_the_time_of_a_clip_and_how_many_times_generation_takes(polygraft):
    called = polygraft("benchmark", "retrieval", *FLAGS, "--json")
    assert called.code == 0
    rows = [json.loads(line) for line in called.out]
    answers = [row for row in rows if "answer" in row]
    assert len(answers) == 2 * (2 + 2) + 2 * (2 + 2)
    assert {row["from"] for row in answers} == {"encoded frames", "films"}
    written = {(row["from"], row["batch"], row["answer"]): row["seconds_per_clip"] for row in answers}
    for row in answers:
        for name, times in row["generation over it"].items():
            assert times == pytest.approx(written[row["from"], row["batch"], name] / row["seconds_per_clip"])
    assert [row["queries"] for row in rows if "queries" in row] == [1, 5]


@pytest.mark.parametrize(
    ("flags", "told"), [(("--entries", 7), "entries is 7"), (("--repeats", 0), "repeats is 0"), (("--tokens",), "")]
)
def test_wrong_usage(polygraft, flags, told):
    called = polygraft("benchmark", "retrieval", *flags)
    assert called.code == 2 and told in " ".join(called.err)
