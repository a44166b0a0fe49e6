"""`polygraft train narrator`: from clips to a folder that narrates, through interruptions and odd data."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from scripts._app.run_folder import is_finished
from tests.scripts.test_train_captioner import interrupt_after
from tests.scripts.tiny_clips import COLOURS, DOES, write_clips
from tests.video.tiny_narrator import write_lines, write_video
from video.data.clips import Span
from video.data.feature_cache import VideoCache
from video.metrics import ranks
from video.narrator import Narrator

SMALL = (
    "--max-frames", 6, "--max-question", 24, "--max-tokens", 16, "--rank", 2, "--batch-size", 8, "--lr", 1e-2,
    "--device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train(polygraft, clips, cache, tmp_path):
    def call(*flags, source=clips, out=tmp_path / "out", steps=4):
        return polygraft("train", "narrator", source, "--out", out, "--cache", cache, "--steps", steps, *SMALL, *flags)

    return call


@pytest.fixture
def odd_clips(clips, tmp_path):
    """A copy of the clips with lines of its own."""
    shutil.copytree(clips.parent, tmp_path / "odd")

    def write(*lines):
        kept = [json.loads(line) for line in clips.read_text(encoding="utf-8").splitlines()]
        return write_lines(tmp_path / "odd" / "clips.jsonl", [*kept, *lines])

    return write


def card(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def test_a_training_leaves_a_narrator_that_finds_what_it_learned(train, tmp_path):
    called = train(steps=60)
    assert called.code == 0 and called.err == []
    assert {"steps\t60", f"out\t{tmp_path / 'out'}"} < set(called.out)
    entries = {entry.name for entry in (tmp_path / "out").iterdir()}
    assert entries == {"config.json", "model.safetensors", "README.md", "training.json"}
    narrator = Narrator.from_pretrained(tmp_path / "out", device="cpu")
    video = write_video(tmp_path / "film.gif", COLOURS)
    cache = VideoCache(tmp_path / "cache", narrator.encoder)
    features = cache.features([Span(video=video, start=at, stop=at + 1) for at in range(6)])
    batch = narrator.batch([features.take(at) for at in range(6)], ["What is the action in the video?"] * 6)
    with torch.no_grad():
        found = ranks(narrator.query(batch), narrator.text_encoder.half(DOES), [[at] for at in range(6)])
    assert (found == 1).sum() >= 4


def test_the_record_and_the_card_tell_how_it_was_made(train, tmp_path):
    figures = json.loads(train("--json").out[0])
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["options"]["train"]["steps"] == figures["steps"] == 4
    assert record["figures"]["recall_1"] == figures["recall_1"]
    assert "22 clips of 11 videos with 6 narrations, from `clips.jsonl`; 2 clips of other videos" in card(
        tmp_path / "out"
    )


def test_a_finished_run_says_so_and_is_left_alone_unless_told_otherwise(train, tmp_path):
    train()
    before = load_file(tmp_path / "out" / "model.safetensors")
    again = train()
    assert (again.code, again.out) == (0, [])
    assert "is finished" in again.err[0]
    assert train("--overwrite", "--seed", 1).code == 0
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert any((before[name] != after[name]).any() for name in before)


def test_an_interrupted_run_goes_on_to_the_same_weights_and_refuses_other_settings(train, odd_clips, tmp_path):
    flags, steps = ("--log-every", 1, "--save-every", 5), 60
    interrupt_after(tmp_path / "out" / "log.jsonl", 12)
    assert train(*flags, steps=steps).code == 130
    assert not is_finished(tmp_path / "out")
    refusals = {
        ("--fps", 4): "fps 2.0 (now 4.0)", ("--body", "full"): "model.body 'low-rank' (now 'full')",
        ("--causal",): "causal False (now True)",
    }  # fmt: skip
    for other, told in refusals.items():
        refused = train(*flags, *other, steps=steps)
        assert (refused.code, told in refused.err[-1]) == (2, True)
    assert "with data" in train(source=odd_clips({"film": "00.gif", "text": "one more"})).err[-1]
    resumed = train(*flags, steps=steps)
    assert "going on" in resumed.err[-1]
    train(*flags, steps=steps, out=tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "whole"))
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize(
    "flags",
    [
        ("--body", "full"),
        ("--body", "none", "--adapter-layers", 1),
        ("--answer", "generate"),
        ("--loss", "batch", "--no-learn-temperature", "--no-residual", "--retrieval", "learned"),
        ("--causal", "--fps", 4, "--visual-tokens", 2),
        ("--val-share", 0),
    ],
)
def test_every_choice_trains(train, tmp_path, flags):
    called = train(*flags, steps=2)
    assert called.code == 0
    assert ("nothing was held out" in card(tmp_path / "out")) == ("--val-share" in flags)


def test_causal_clips_are_added_on_both_sides(train, tmp_path):
    train("--causal", steps=1)
    # of a video's two clips the second has a moment before it, and the first one after it
    assert "44 clips of 11 videos" in card(tmp_path / "out")


def test_clips_for_tests_are_never_learned_from(train, tmp_path):
    source = write_clips(tmp_path / "clips", video0="test", video1="validation")
    called = train(source=source, steps=1)
    assert called.err == ["2 clips left out: they are for tests"]
    assert "20 clips of 10 videos with 6 narrations, from `clips.jsonl`; 2 clips of" in card(tmp_path / "out")


def test_held_out_clips_may_be_named_and_copies_of_their_videos_leave_the_training(train, clips, odd_clips, tmp_path):
    source = odd_clips()
    held = write_lines(source.parent / "held.jsonl", [{"film": "00.gif", "start": 0, "stop": 1, "text": "sits"}])
    called = train("--validation", held, steps=1)
    assert "2 clips left out of training: their videos are held out, as copies" in called.err
    assert "22 clips of 11 videos" in card(tmp_path / "out")


def test_videos_that_are_all_held_out_are_one_sentence_and_leave_nothing(train, clips, tmp_path):
    called = train("--validation", clips)
    assert (called.code, called.out) == (1, [])
    assert "all its videos are held out" in called.err[-1]
    assert not (tmp_path / "out").exists()


def test_odd_clips_are_reported_and_the_rest_is_learned(train, odd_clips):
    source = odd_clips(
        {"film": "broken.mp4", "text": "a wreck"},
        {"film": "00.gif", "start": 50, "stop": 51, "text": "a ghost"},
        {"film": "00.gif", "start": 0, "stop": 1, "text": DOES[0], "scenario": "house"},
        {"film": "01.gif", "text": "#unsure", "verb": "none"},
    )
    (source.parent / "broken.mp4").write_text("I am no video")
    called = train(source=source, steps=1)
    assert called.code == 0
    for told in (
        "ignored verb",
        "broken.mp4 holds no video",
        "1 clip left out, beyond the end",
        "repeat another",
        "tags",
    ):
        assert sum(told in line for line in called.err) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no clip"),
        (b'{"film": "a.gif", "caption": "x"}', "line 1 has no text"),
        (b'{"film": "a.gif", "text": "x"}\n\xff', "line 2 is not UTF-8"),
        (b'{"film": "a.gif", "text": "x"}', "line 1 names the video"),
    ],
)
def test_clips_that_cannot_be_used_are_one_sentence(train, tmp_path, content, told):
    (tmp_path / "clips.jsonl").write_bytes(content)
    called = train(source=tmp_path / "clips.jsonl")
    assert [called.code, len(called.err), told in called.err[0]] == [1, 1, True]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--val-share", 1.5), "val_share is 1.5"),
        (("--fps", 0), "fps is 0.0"),
        (("--lr", -1), "lr is -1"),
        (("--rank", 0), "rank is 0"),
        (("--answer", "generate", "--body", "none"), "body none contradicts it"),
        (("--body", "half"), "half"),
    ],
)
def test_wrong_usage_leaves_with_two(train, flags, told):
    called = train(*flags)
    assert called.code == 2
    assert told in " ".join(called.err)
