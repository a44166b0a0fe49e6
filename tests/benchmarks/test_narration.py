"""The benchmark of narrations on tiny moving emoji: how videos are parted, what is measured, and that it goes on."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch

from benchmarks.video import experiment as experiment_file
from benchmarks.video.experiment import NarrationExperiment
from benchmarks.video.growth import gap
from benchmarks.video.systems import BATCH, MEAN, OURS, NarrationSchedule
from benchmarks.video.vocabularies import (
    Step,
    compose,
    cut,
    described,
    distractors,
    fill,
)
from starter_build.datasets.emoji_clips import PARTS, emoji_clips, part, part_of
from starter_build.datasets.splits import load_splits
from starter_build.datasets.voices import spoken
from tests.starter_build.tiny_emoji import BY_PART, write_emoji

SHORT = NarrationSchedule(steps=2, batch_size=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_emoji(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def experiment(starter: Path, data: Path, work: Path) -> NarrationExperiment:
    return NarrationExperiment.open(data, work, "starter", schedule=SHORT, device="cpu")


def test_videos_are_parted_by_concept(data: Path):
    videos, stills = part(emoji_clips(data), spoken(data), load_splits())
    assert {own: {video.code for video in of_part} for own, of_part in videos.items()} == {
        own: set(videos) for own, videos in BY_PART.items()
    }
    learned = {name for _, names in stills for name in names}
    assert not learned & {name for own in PARTS if own != "train" for name in BY_PART[own].values()}


def test_held_out_images_of_the_starter_are_never_learned():
    assert part_of("skull", "test") == "test fresh" and part_of("skull", "validation") == "validation fresh"
    shares = [part_of(str(number), "train") for number in range(2000)]
    assert 0.65 < shares.count("train") / 2000 < 0.77 and 0.14 < shares.count("test known") / 2000 < 0.20


def test_lessons_hold_training_videos_and_no_name_of_a_held_out_one(experiment: NarrationExperiment):
    lessons = experiment.videos.lessons
    assert set(lessons["first names"].texts) == set(BY_PART["train"].values())
    assert len(lessons["first names"]) == 6 and set(lessons["all names"].texts) > set(lessons["first names"].texts)
    assert len(lessons["first names, stills"]) > 6
    held = {name for own in PARTS if own != "train" for names in experiment.videos.parts[own].names for name in names}
    assert not held & {text for lesson in lessons.values() for text in lesson.texts}


def test_composed_sentences_are_new_and_end_where_there_are_no_more():
    parts = [Step(verb="stir", noun="soup", postfix="with care"), Step(verb="wash", noun="rice", postfix="")]
    found = list(compose(parts, forbidden={"stir soup"}))
    assert len(found) == len(set(found)) == 7 and "stir soup" not in found
    assert "wash soup with care" in found
    assert list(islice(compose(parts, forbidden={"stir soup"}), 3)) == found[:3]
    assert list(compose([], forbidden=set())) == []


def test_a_vocabulary_is_filled_up_from_its_sources_in_order(data: Path):
    sources = distractors(data, forbidden={"skull"})
    assert list(sources) == ["recipe steps", "WordNet"]
    assert "skull" not in sources["WordNet"]
    texts = fill(["skull"], sources, cut(sources["recipe steps"]), 12)
    assert len(texts) == len(set(texts)) == 12 and texts[:2] == ["skull", "cut the onion into rings"]
    assert described(sources, 1, 3) == "1 names, 2 recipe steps"
    assert described(sources, 1, len(texts)).endswith("composed")


def test_answers_are_kept(experiment: NarrationExperiment, monkeypatch: pytest.MonkeyPatch):
    first = experiment.answers(OURS, 0)
    monkeypatch.setattr(experiment_file, "train_system", None)
    again = experiment.answers(OURS, 0)
    assert torch.equal(first.queries["test fresh"], again.queries["test fresh"])
    assert first.facts["steps"] == 2 and first.facts["parameters"] > 0
    assert not list((experiment.folder / "runs").glob("*"))


def test_other_seeds_systems_and_schedules_are_other_answers(experiment: NarrationExperiment):
    paths = {experiment.answers_path(name, seed) for name in (OURS, BATCH) for seed in (0, 1)}
    experiment.schedule = NarrationSchedule(steps=3)
    assert experiment.answers_path(OURS, 0) not in paths and len(paths) == 4


def test_a_gap_has_no_right_name_of_the_videos_it_misses(experiment: NarrationExperiment):
    there, videos = gap(experiment, "test known"), experiment.videos.parts["test known"]
    held = set(there.vocabulary.texts)
    assert [held.isdisjoint(own) for own in videos.names] == there.missing.tolist()
    assert 0 < int(there.missing.sum()) < len(videos.videos)


def test_the_whole_benchmark_runs_and_prints_its_tables(polygraft, data: Path, work: Path):
    called = polygraft(
        "benchmark", "narration", "--clip", "starter", "--seeds", 0, 1, "--steps", 2, "--batch-size", 4,
        "--entries", 40, "--device", "cpu", "--data", data, "--work", work, "--json",
    )  # fmt: skip
    assert called.code == 0
    tables = [json.loads(line) for line in called.out]
    titles = [table["table"] for table in tables]
    assert any("large (40 entries)" in title for title in titles) and any("asked about" in title for title in titles)
    assert tables[0]["rows"][OURS]["any_1"][1] is not None and tables[0]["rows"][MEAN]["any_1"][1] is None


@pytest.mark.parametrize("flags", [("--seeds",), ("--entries", 0)])
def test_wrong_usage_is_told(polygraft, flags):
    assert polygraft("benchmark", "narration", *flags).code == 2
