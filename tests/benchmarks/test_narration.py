"""The benchmark of narrations on tiny moving emoji: how videos are parted, what is measured, and that it goes on."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from backbone.errors import PolygraftError
from benchmarks.common import summary
from benchmarks.video import experiment as laboratory_file
from benchmarks.video.distractors import Step, compose, cut, distractors, fill, names_of_things
from benchmarks.video.experiment import NarrationExperiment
from benchmarks.video.growth import Phrases, calibrated, gap, grown, noticed, rules
from benchmarks.video.systems import BATCH, MEAN, OURS, SYSTEMS, WRITES, NarrationSchedule
from benchmarks.video.tables import NarrationRun, difference
from benchmarks.video.vocabularies import BenchmarkVocabulary, described, embed
from starter_build.datasets.emoji_clips import PARTS, emoji_clips, part, part_of
from starter_build.datasets.splits import load_splits
from starter_build.datasets.voices import spoken
from tests.starter_build.tiny_emoji import BY_PART, write_emoji
from video.timeline.query import Segment
from video.vocabulary.novelty import FixedThreshold
from video.vocabulary.vectors import TextEncoder, search

SHORT = NarrationSchedule(steps=2, batch_size=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_emoji(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def laboratory(starter: Path, data: Path, work: Path) -> NarrationExperiment:
    return NarrationExperiment.open(data, work, "starter", schedule=SHORT, device="cpu")


def run_of(said: list[str], truths: list[tuple[str, ...]]) -> NarrationRun:
    """Return a run that found what it said, in a vocabulary of all names."""
    texts = [*dict.fromkeys(name for own in truths for name in own), "other"]
    vectors = torch.eye(len(texts)).half()
    queries = torch.stack([vectors[texts.index(text)].float() for text in said])
    rows = {text: row for row, text in enumerate(texts)}
    return NarrationRun(names=truths, concepts=["a", "b", "b"], said=said, hits=search(vectors, queries, 5), rows=rows)


# Videos


def test_videos_are_parted_by_concept(data: Path):
    parted = part(emoji_clips(data), spoken(data), load_splits())
    assert {own: {video.code for video in videos} for own, videos in parted.videos.items()} == {
        own: set(videos) for own, videos in BY_PART.items()
    }
    learned = {name for still in parted.stills for name in still.names}
    assert not learned & {name for own in PARTS if own != "train" for name in BY_PART[own].values()}


def test_held_out_images_of_the_starter_are_never_learned():
    assert part_of("skull", "test") == "test fresh" and part_of("skull", "validation") == "validation fresh"
    shares = [part_of(str(number), "train") for number in range(2000)]
    assert 0.65 < shares.count("train") / 2000 < 0.77 and 0.14 < shares.count("test known") / 2000 < 0.20


def test_lessons_hold_training_videos_and_no_name_of_a_held_out_one(laboratory: NarrationExperiment):
    lessons = laboratory.videos.lessons
    assert set(lessons["first names"].texts) == set(BY_PART["train"].values())
    assert len(lessons["first names"]) == 6 and set(lessons["all names"].texts) > set(lessons["first names"].texts)
    assert len(lessons["first names, stills"]) > 6
    held = {name for own in PARTS if own != "train" for names in laboratory.videos.parts[own].names for name in names}
    assert not held & {text for lesson in lessons.values() for text in lesson.texts}


# Vocabularies


def test_steps_are_cut_into_verb_noun_and_postfix():
    assert cut(["stir the soup with a spoon, gently", "wash rice", "serve", "into a bowl"]) == [
        Step(verb="stir", noun="the soup", postfix="with a spoon"),
        Step(verb="wash", noun="rice", postfix=""),
        Step(verb="into", noun="a bowl", postfix=""),
    ]


def test_composed_sentences_are_new_and_end_where_there_are_no_more():
    parts = [Step(verb="stir", noun="soup", postfix="with care"), Step(verb="wash", noun="rice", postfix="")]
    found = list(compose(parts, forbidden={"stir soup"}))
    assert len(found) == len(set(found)) == 7 and "stir soup" not in found
    assert "wash soup with care" in found
    assert list(islice(compose(parts, forbidden={"stir soup"}), 3)) == found[:3]
    assert list(compose([], forbidden=set())) == []


def test_a_vocabulary_is_filled_up_from_its_sources_in_order(data: Path, tmp_path: Path):
    file = tmp_path / "more.jsonl"
    file.write_text('{"text": "Open the door."}\n{"text": "skull"}\n')
    sources = distractors(data, file, forbidden={"skull"})
    assert list(sources) == ["recipe steps", "file", "WordNet"]
    assert sources["file"] == ["open the door"] and "skull" not in sources["WordNet"]
    texts = fill(["skull"], sources, cut(sources["recipe steps"]), 12)
    assert len(texts) == len(set(texts)) == 12 and texts[:2] == ["skull", "cut the onion into rings"]
    assert described(sources, 1, 3) == "1 names, 2 recipe steps"
    assert described(sources, 1, len(texts)).endswith("composed")


def test_a_file_that_is_not_there_is_named(data: Path, tmp_path: Path):
    with pytest.raises(PolygraftError, match=r"more\.jsonl cannot be read"):
        distractors(data, tmp_path / "more.jsonl", forbidden=set())


def test_names_of_things_come_without_explanations(data: Path):
    assert set(names_of_things(data)) == {"skull", "pot", "bone"}


def test_texts_are_encoded_once(tmp_path: Path):
    calls: list[int] = []

    def encode(texts):
        calls.append(len(texts))
        return F.normalize(torch.tensor([[float(len(text)), 1.0] for text in texts]), dim=1)

    encoder = TextEncoder(encode, name="lengths", digest="0")
    first = embed(["a", "bbb"], encoder, tmp_path)
    again = embed(["a", "bbb"], encoder, tmp_path)
    assert (first.encoded, again.encoded, calls) == (2, 0, [2])
    assert torch.equal(first.vocabulary.vectors, again.vocabulary.vectors)
    assert first.vocabulary.first(1).rows() == {"a": 0}


# Figures


def test_a_further_name_is_right_but_not_the_first():
    run = run_of(["dog", "cat", "other"], [("dog face", "dog"), ("cat",), ("hen",)])
    figures = run.figures()
    assert (figures["first_1"], figures["any_1"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert run.each("any_1") == [1, 1, 0] and run.take([2]).figures()["any_1"] == 0
    assert run.each("cider_d")[0] > 0 and figures["bleu_1"] == pytest.approx(2 / 3, abs=0.01)


def test_differences_are_paired_by_video():
    truths = [("dog",), ("cat",), ("hen",)]
    good, bad = run_of(["dog", "cat", "hen"], truths), run_of(["dog", "other", "other"], truths)
    found = difference([good, good], [bad], "any_1")
    assert found.mean == pytest.approx(2 / 3) and 0 <= found.low <= found.mean <= found.high <= 1
    assert summary([good])["any_1"] == (1.0, None) and summary([good, bad])["any_1"][1] > 0


# Training


def test_answers_are_kept(laboratory: NarrationExperiment, monkeypatch: pytest.MonkeyPatch):
    first = laboratory.answers(OURS, 0)
    monkeypatch.setattr(laboratory_file, "train_system", None)
    again = laboratory.answers(OURS, 0)
    assert torch.equal(first.queries["test fresh"], again.queries["test fresh"])
    assert first.facts["steps"] == 2 and first.facts["parameters"] > 0
    assert not list((laboratory.folder / "runs").glob("*"))


def test_other_seeds_systems_and_schedules_are_other_answers(laboratory: NarrationExperiment):
    keys = {laboratory._key(name, SYSTEMS[name], seed) for name in (OURS, BATCH) for seed in (0, 1)}
    laboratory.schedule = NarrationSchedule(steps=3)
    assert laboratory._key(OURS, SYSTEMS[OURS], 0) not in keys and len(keys) == 4


def test_the_plain_image_tower_is_the_mean_of_the_frames(laboratory: NarrationExperiment):
    videos = laboratory.videos.parts["test fresh"].data
    mean = F.normalize(videos.frames(0).mean(dim=0), dim=0)
    queries = laboratory.answers(MEAN, 0).queries["test fresh"]
    assert torch.allclose(queries[0], mean, atol=1e-3) and laboratory.answers(MEAN, 0).facts == {}


def test_what_is_written_is_what_is_scored(laboratory: NarrationExperiment):
    answers = laboratory.answers(WRITES, 0)
    run = laboratory.run(WRITES, 0, "test fresh", laboratory.known)
    assert list(run.said) == answers.said["test fresh"] and len(run.said) == 4


# Novelty and growth


def test_a_gap_has_no_right_name_of_the_videos_it_misses(laboratory: NarrationExperiment):
    there, videos = gap(laboratory, "test known"), laboratory.videos.parts["test known"]
    held = set(there.vocabulary.texts)
    assert [held.isdisjoint(own) for own in videos.names] == there.missing.tolist()
    assert 0 < int(there.missing.sum()) < len(videos.videos)


def test_novelty_is_learned_from_the_validation_videos(laboratory: NarrationExperiment):
    queries = laboratory.answers(MEAN, 0).queries
    margin = calibrated(laboratory, queries)
    assert rules(laboratory, queries) == {"best cosine below 0.4": FixedThreshold(), "calibrated margin": margin}
    found = noticed(margin, gap(laboratory, "test known"), queries["test known"])
    assert 0 <= found.auroc <= 1 and 0 <= found.caught <= 1 and 0 <= found.false_alarms <= 1


def test_phrases_come_closest_first():
    phrases = Phrases(phrases=BenchmarkVocabulary(texts=["a", "b", "c"], vectors=torch.eye(3).half()), keep=2)
    assert phrases.propose(Segment(video="x", start=0, stop=1, query=torch.tensor([0.1, 0.9, 0.0]))) == ["b", "a"]


def test_growth_is_told_by_what_is_found_before_and_after(laboratory: NarrationExperiment):
    queries = laboratory.answers(MEAN, 0).queries["test known"]
    told = grown(laboratory, "test known", queries, FixedThreshold(threshold=1.1))
    assert told.asked == 4 and told.admitted <= told.proposed
    assert len(told.after.rows) >= len(told.before.rows) == len(gap(laboratory, "test known").vocabulary.texts)


# The command


def test_the_whole_benchmark_runs_and_writes_its_tables(polygraft, data: Path, work: Path, tmp_path: Path):
    out = tmp_path / "tables.jsonl"
    called = polygraft(
        "benchmark", "narration", "--clip", "starter", "--seeds", 0, 1, "--steps", 2, "--batch-size", 4,
        "--entries", 40, "--device", "cpu", "--data", data, "--work", work, "--out", out, "--json",
    )  # fmt: skip
    assert called.code == 0
    tables = [json.loads(line) for line in called.out]
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == tables
    titles = [table["table"] for table in tables]
    assert any("large (40 entries)" in title for title in titles) and any("asked about" in title for title in titles)
    assert tables[0]["rows"][OURS]["any_1"][1] is not None and tables[0]["rows"][MEAN]["any_1"][1] is None


@pytest.mark.parametrize("flags", [("--seeds",), ("--entries", 0)])
def test_wrong_usage_is_told(polygraft, flags):
    assert polygraft("benchmark", "narration", *flags).code == 2
