"""`polygraft evaluate narrate`: on which clips, from which vocabulary, and what is printed."""

import json

import pytest

from tests.scripts.tiny_clips import DOES, write_clips, write_narrator
from tests.video.tiny_narrator import write_lines

RECALLS = [f"{kind}_recall_{at}" for kind in ("plain", "deduplicated", "multi_positive") for at in (1, 5)]
WORDS = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"]
TIMES = ["seconds_per_clip", "seconds_per_clip_end_to_end"]


@pytest.fixture(scope="module")
def models(starter_root, tmp_path_factory):
    """Narrators that retrieve and write."""
    root = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYGRAFT_STARTER", str(starter_root))
        return {
            "retrieve": write_narrator(root / "retrieve"),
            "generate": write_narrator(root / "generate", answer="generate", body="frozen"),
        }


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(
        tmp_path_factory.mktemp("clips"), video0="test", video1="test", video2="test", video3="validation"
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def evaluate(polygraft, models, clips, cache):
    def call(*flags, model="retrieve", source=clips):
        always = ("--cache", cache, "--device", "cpu", "--timed", 2)
        return polygraft("evaluate", "narrate", models.get(model, model), source, *always, *flags)

    return call


@pytest.fixture
def vocabulary(polygraft, tmp_path):
    def build(*texts):
        (tmp_path / "narrations.txt").write_text("\n".join(texts), encoding="utf-8")
        flags = ("--out", tmp_path / "vocabulary", "--device", "cpu")
        assert polygraft("vocabulary", "build", tmp_path / "narrations.txt", *flags).code == 0
        return tmp_path / "vocabulary"

    return build


def one_sentence(called, told, code=1):
    assert [called.code, called.out, len(called.err)] == [code, [], 1]
    assert told in called.err[0]


def test_a_narrator_is_measured_among_the_narrations_of_the_clips(evaluate):
    called = evaluate("--json")
    found = json.loads(called.out[0])
    assert (called.code, called.err) == (0, [])
    assert [found[name] for name in ("split", "samples", "films", "texts", "vocabulary")] == ["test", 6, 3, 4, None]
    figures = found["figures"]
    assert set(figures) == {*RECALLS, *WORDS, *TIMES, "mean_rank"}
    assert all(0 <= figures[name] <= 1 for name in RECALLS)
    assert figures["plain_recall_1"] <= figures["deduplicated_recall_1"] <= figures["multi_positive_recall_1"]
    assert figures["deduplicated_recall_5"] == 1.0
    assert figures["seconds_per_clip"] > 0 and figures["seconds_per_clip_end_to_end"] > 0


def test_a_table_has_a_line_for_each_figure(evaluate):
    called = evaluate("--batch-size", 1, "--timed", 0)
    table = {line.split()[0]: line.split()[1] for line in called.out}
    assert (called.code, called.err) == (0, [])
    assert {*RECALLS, *WORDS, "seconds_per_clip"} < set(table)
    assert "seconds_per_clip_end_to_end" not in table
    assert table["samples"] == "6"


def test_batches_change_no_figure_but_the_time(evaluate):
    found = [json.loads(evaluate("--json", "--batch-size", size).out[0])["figures"] for size in (1, 4, 32)]
    kept = [{name: value for name, value in figures.items() if name not in TIMES} for figures in found]
    assert kept[0] == kept[1] == kept[2]


def test_a_vocabulary_is_retrieved_from(evaluate, vocabulary, tmp_path):
    folder = vocabulary(*DOES[:3], "something else", "paints the wall with a brush")
    flags = ("--vocabulary", folder, "--json", "--predictions", tmp_path / "said.jsonl")
    called = evaluate(*flags)
    found = json.loads(called.out[0])
    assert (called.code, found["vocabulary"]) == (0, str(folder))
    assert set(found["figures"]) == {*RECALLS[2:], *WORDS, *TIMES, "coverage"}
    assert found["figures"]["coverage"] == pytest.approx(5 / 6)
    rows = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["text"] for row in rows} <= {*DOES[:3], "something else", "paints the wall with a brush"}
    assert [row["reference"] for row in rows[:2]] == [DOES[0], DOES[1]]
    right = sum(row["text"] == row["reference"] for row in rows) / len(rows)
    assert found["figures"]["deduplicated_recall_1"] == pytest.approx(right)


def test_all_texts_of_a_moment_are_right(evaluate, clips):
    rows = [json.loads(line) for line in clips.read_text(encoding="utf-8").splitlines()][:6]
    other = [row | {"text": f"he {row['text']}"} for row in rows]
    source = write_lines(clips.parent / "voices.jsonl", [*rows, *other])
    figures = json.loads(evaluate("--json", source=source).out[0])["figures"]
    assert figures["multi_positive_recall_1"] >= figures["deduplicated_recall_1"]
    assert figures["multi_positive_recall_1"] in [0.0, *(n / 12 for n in range(2, 13, 2))]


def test_a_narrator_that_writes_is_measured_by_its_words(evaluate, tmp_path):
    called = evaluate("--json", "--predictions", tmp_path / "said.jsonl", model="generate")
    assert (called.code, called.err) == (0, [])
    assert set(json.loads(called.out[0])["figures"]) == {*WORDS, *TIMES}
    assert len((tmp_path / "said.jsonl").read_text(encoding="utf-8").splitlines()) == 6


@pytest.mark.parametrize(
    ("flags", "samples"), [((), 6), (("--split", "validation"), 2), (("--split", "all"), 24)], ids=str
)
def test_the_split_says_what_is_measured_on(evaluate, flags, samples):
    assert json.loads(evaluate("--json", *flags).out[0])["samples"] == samples


def test_without_marks_all_is_measured_and_a_share_can_be_drawn_again(evaluate, polygraft, tmp_path):
    source = write_clips(tmp_path / "clips")
    assert json.loads(evaluate("--json", source=source).out[0])["split"] == "all"
    for seed in (0, 1):
        flags = ("--split", "validation", "--val-share", 0.25, "--seed", seed, "--predictions", tmp_path / f"{seed}")
        assert evaluate(*flags, source=source).code == 0
    videos = [
        {json.loads(line)["film"] for line in (tmp_path / f"{seed}").read_text(encoding="utf-8").splitlines()}
        for seed in (0, 1)
    ]
    assert [len(each) for each in videos] == [3, 3] and videos[0] != videos[1]


def test_clips_that_show_nothing_are_told_and_the_rest_is_measured(evaluate, clips):
    (clips.parent / "broken.mp4").write_text("I am no video")
    rows = [{"film": "broken.mp4", "text": "x"}, {"film": "00.gif", "text": "paints", "stop": 1}]
    source = write_lines(clips.parent / "odd.jsonl", rows)
    called = evaluate("--json", source=source)
    assert [called.code, len(called.err), json.loads(called.out[0])["samples"]] == [0, 1, 1]
    assert "broken.mp4 holds no video" in called.err[0]


def test_what_cannot_be_measured_is_one_sentence(evaluate, vocabulary, tmp_path):
    source = write_clips(tmp_path / "clips", videos=2)
    one_sentence(evaluate("--split", "test", source=source), "no clip of")
    one_sentence(evaluate(model=str(tmp_path / "nowhere")), "there is no checkpoint folder")
    one_sentence(evaluate("--vocabulary", tmp_path / "nowhere"), "nowhere")
    folder = vocabulary(*DOES)
    one_sentence(evaluate("--vocabulary", folder, model="generate"), "writes narrations", code=2)
    one_sentence(evaluate("--predictions", tmp_path / "no" / "said.jsonl", "--timed", 0), "cannot be written")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--timed", -1), "timed is -1"),
        (("--batch-size", 0), "batch_size is 0"),
        (("--fps", "nan"), "fps is nan"),
        (("--val-share", 1), "val_share is 1.0"),
        (("--split", "train"), "train"),
    ],
)
def test_wrong_usage_leaves_with_two(evaluate, flags, told):
    called = evaluate(*flags)
    assert called.code == 2
    assert told in " ".join(called.err)
