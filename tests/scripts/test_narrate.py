"""`polygraft narrate` and `vocabulary update`: what is printed, what grows, and bad videos one sentence each."""

import json
import sys
from itertools import pairwise

import av
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.scripts.tiny_clips import DOES, write_narrator
from tests.video.tiny_narrator import write_lines, write_video
from tests.video.tiny_videos import even
from tests.video.tiny_videos import write_video as write_real_video


@pytest.fixture(scope="module")
def model(starter_root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYGRAFT_STARTER", str(starter_root))
        # new below a cosine of 2: everything is
        return write_narrator(tmp_path_factory.mktemp("models") / "narrator", novelty=(-100.0, 0.0, 200.0, 0.5))


@pytest.fixture
def vocabulary(polygraft, tmp_path):
    lines = [{"text": text, "scenario": "house" if number % 2 else "garden"} for number, text in enumerate(DOES)]
    file = write_lines(tmp_path / "narrations.jsonl", lines)
    assert polygraft("vocabulary", "build", file, "--out", tmp_path / "kitchen", "--device", "cpu").code == 0
    return tmp_path / "kitchen"


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "film.gif", ["red"] * 4 + ["blue"] * 4 + ["yellow"] * 4)


@pytest.fixture
def narrate(polygraft, model, vocabulary, tmp_path):
    def call(*arguments, model=model):
        always = ("--vocabulary", vocabulary, "--model", model, "--device", "cpu", "--cache", tmp_path / "cache")
        return polygraft("narrate", *arguments, *always)

    return call


def one_sentence(called, told, code=1):
    assert [called.code, called.out, len(called.err)] == [code, [], 1], called
    assert told in called.err[0]


# What is printed


def test_a_line_is_a_span(narrate, video):
    called = narrate(video)
    assert (called.code, called.err) == (0, [])
    rows = [line.split("\t") for line in called.out]
    assert rows[0][:2] == [str(video), "00:00:00.0"]
    assert rows[-1][2] == "00:00:12.0"
    assert all(row[3] in DOES and len(row) == 4 for row in rows)
    assert all(one[2] == other[1] and one[3] != other[3] for one, other in pairwise(rows))


def test_json_is_a_video(narrate, video):
    called = narrate(video, "--json", "--top", 2)
    (line,) = called.out
    told = json.loads(line)
    assert told["film"] == str(video)
    assert [told["spans"][0]["start"], told["spans"][-1]["stop"]] == [0, 12]
    for span in told["spans"]:
        assert set(span) == {"start", "stop", "text", "score", "confidence", "novel", "narrations"}
        assert [len(span["narrations"]), span["narrations"][0]["text"]] == [2, span["text"]]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_are_printed_or_lie_beside_the_video(narrate, video, form):
    printed = narrate(video, f"--{form}")
    assert (printed.code, printed.err) == (0, [])
    written = narrate(video, f"--{form}", "--write")
    assert written.out == [str(video.with_suffix(f".{form}"))]
    assert video.with_suffix(f".{form}").read_text().splitlines() == printed.out
    with av.open(video.with_suffix(f".{form}")) as opened:
        assert len(opened.streams.subtitles) == 1
    again = narrate(video, f"--{form}", "--write")
    one_sentence(again, "is not replaced: use --overwrite")
    assert narrate(video, f"--{form}", "--write", "--overwrite").code == 0


def test_subtitles_of_videos_that_share_a_name_do_not_replace_each_other(narrate, tmp_path):
    (tmp_path / "films").mkdir()
    for name in ("a.gif", "a.webp"):
        write_video(tmp_path / "films" / name, ["red", "blue"])
    called = narrate(tmp_path / "films", "--srt", "--write")
    assert [called.code, called.out, len(called.err)] == [1, [str(tmp_path / "films" / "a.srt")], 1]
    assert "shares a.srt with a.gif" in called.err[0]
    assert narrate(tmp_path / "films", "--srt").code == 2


def test_questions_are_answered_from_their_side_of_time(narrate, video):
    whole = narrate(video, "--question", "overall").out
    assert [line.split("\t")[1:3] for line in whole] == [["00:00:00.0", "00:00:12.0"]]
    later = narrate(video, "--question", "next").out
    assert [later[0].split("\t")[1], later[-1].split("\t")[2]] == ["00:00:01.0", "00:00:12.0"]
    earlier = narrate(video, "--question", "before").out
    assert earlier[-1].split("\t")[2] == "00:00:11.0"


def test_a_folder_is_narrated_video_by_video(narrate, video, tmp_path):
    (tmp_path / "more").mkdir()
    write_video(tmp_path / "more" / "other.webp", ["red", "blue", "red"])
    (tmp_path / "more" / "notes.txt").write_text("no video")
    called = narrate(video, tmp_path / "more", tmp_path / "nowhere.mp4")
    assert [called.code, len(called.err)] == [1, 1]
    assert "nowhere.mp4 does not exist" in called.err[0]
    assert {line.split("\t")[0] for line in called.out} == {str(video), str(tmp_path / "more" / "other.webp")}


# What grows


def command(*lines):
    """Return a shell command that proposes these lines."""
    code = f"import json, sys; json.loads(sys.stdin.readline()); print({chr(10).join(lines)!r})"
    return f'"{sys.executable}" -c "{code}"'


@pytest.fixture
def shown(polygraft, vocabulary):
    def call():
        return json.loads(polygraft("vocabulary", "show", vocabulary, "--json").out[0])

    return call


def test_an_update_adds_what_comes_closer_and_is_taken_back(polygraft, model, vocabulary, video, shown, tmp_path):
    flags = ("--model", model, "--device", "cpu", "--cache", tmp_path / "cache", "--json")
    proposals = [f"sentence number {number}" for number in range(40)]
    called = polygraft(
        "vocabulary",
        "update",
        vocabulary,
        video,
        "--proposer-command",
        command(*proposals),
        "--per-film",
        3,
        "--gain",
        0,
        *flags,
    )
    assert called.code == 0
    rows = [json.loads(line) for line in called.out]
    admitted = [row for row in rows if row["fate"] == "admitted"]
    assert 1 <= len(admitted) <= 3
    assert all(row["score"] > row["beaten"] for row in admitted)
    assert shown()["narrations"] == len(DOES) + len(admitted)
    assert "segments without a narration: 1" in called.err[0]
    assert polygraft("vocabulary", "rollback", vocabulary).code == 0
    assert shown()["narrations"] == len(DOES)


def test_a_large_vocabulary_lends_its_closest_narrations(polygraft, model, vocabulary, video, shown, tmp_path):
    file = write_lines(tmp_path / "all.jsonl", [{"text": f"sentence number {number}"} for number in range(40)])
    assert polygraft("vocabulary", "build", file, "--out", tmp_path / "all", "--device", "cpu").code == 0
    flags = ("--model", model, "--device", "cpu", "--cache", tmp_path / "cache", "--json", "--gain", 0)
    called = polygraft("vocabulary", "update", vocabulary, video, "--proposer-vocabulary", tmp_path / "all", *flags)
    rows = [json.loads(line) for line in called.out]
    assert called.code == 0 and len(rows) == 8
    assert all(row["text"].startswith("sentence number") for row in rows)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert shown()["narrations"] == len(DOES) + sum(row["fate"] == "admitted" for row in rows)


def test_a_vocabulary_without_vectors_lends_nothing(narrate, polygraft, video, shown, tmp_path):
    file = write_lines(tmp_path / "all.jsonl", [{"text": "run"}])
    assert polygraft("vocabulary", "build", file, "--out", tmp_path / "all", "--no-vectors").code == 0
    one_sentence(narrate(video, "--update", "--proposer-vocabulary", tmp_path / "all"), "no vectors")
    one_sentence(narrate(video, "--update", "--proposer-vocabulary", tmp_path / "none"), "none")
    assert shown()["narrations"] == len(DOES)


def test_narrate_lets_the_vocabulary_grow_first(narrate, video, shown):
    proposals = command(
        *(f"new {word} {number}" for word in ("words", "dog", "sky blue", "run") for number in range(40))
    )
    one_moment = ("--every", 12, "--window", 12, "--no-cuts", "--scene-weight", 0, "--duplicate", 1.0, "--gain", 0)
    called = narrate(video, "--update", "--proposer-command", proposals, *one_moment)
    assert called.code == 0
    assert shown()["narrations"] > len(DOES)
    assert [line.split("\t")[3].startswith("new ") for line in called.out] == [True]


def test_a_proposer_that_fails_is_one_sentence_and_nothing_is_lost(narrate, video, shown):
    one_sentence(narrate(video, "--update", "--proposer-command", "exit 3"), "failed with exit code 3")
    assert shown()["narrations"] == len(DOES)


def test_the_vocabulary_of_the_package_is_not_changed(polygraft, starter, model, vocabulary, video):
    vocabulary.rename(starter / "vocabulary")
    try:
        called = polygraft("narrate", video, "--update", "--proposer-command", "c", "--model", model, "--device", "cpu")
        one_sentence(called, "comes with the package and is not changed")
    finally:
        (starter / "vocabulary").rename(vocabulary)


# What goes wrong


def cut(path):
    write_real_video(path, even(90), options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


VIDEOS = {
    "empty.mp4": (lambda path: path.touch(), "is empty"),
    "text.mp4": (lambda path: path.write_text("I am no video\n" * 99), "text.mp4"),
    "sound.mp4": (lambda path: write_real_video(path, [], codec="", sound=2.0), "sound"),
    "link.mp4": (lambda path: path.symlink_to("nowhere"), "broken link"),
    "noise.avi": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(4096)), "noise.avi"),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_bad_video_is_one_sentence_and_the_others_are_narrated(narrate, video, tmp_path, name):
    make, told = VIDEOS[name]
    make(tmp_path / name)
    called = narrate(tmp_path / name, video)
    assert [called.code, len(called.err)] == [1, 1], called.err
    assert told in called.err[0]
    assert {line.split("\t")[0] for line in called.out} == {str(video)}


def test_a_video_cut_short_is_narrated_as_far_as_it_goes(narrate, tmp_path):
    cut(tmp_path / "cut.mkv")
    called = narrate(tmp_path / "cut.mkv")
    assert called.code == 0
    assert len(called.out) >= 1
    assert 0.5 < float(called.out[-1].split("\t")[2].rsplit(":", 1)[1]) < 3


def test_a_video_of_one_frame_is_a_span(narrate, tmp_path):
    write_real_video(tmp_path / "one.mp4", [0])
    called = narrate(tmp_path / "one.mp4")
    assert [called.code, len(called.out)] == [0, 1]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(lambda rows: rows[:-1], "vectors"), (lambda rows: np.full_like(rows, np.nan), "NaN")],
)
def test_vectors_that_do_not_fit_or_hold_nan_are_one_sentence(narrate, vocabulary, video, spoil, told):
    file = vocabulary / "vectors.safetensors"
    save_file({name: spoil(rows) if rows.ndim == 2 else rows for name, rows in load_file(file).items()}, file)
    one_sentence(narrate(video), told)


def test_another_models_vocabulary_and_a_narrator_that_writes(polygraft, narrate, vocabulary, video, tmp_path):
    writes = write_narrator(tmp_path / "writes", answer="generate", body="frozen")
    one_sentence(narrate(video, model=writes), "--answer retrieve")
    config = json.loads((vocabulary / "config.json").read_text())
    config["text_encoder"]["sha256"] = "0" * 64
    (vocabulary / "config.json").write_text(json.dumps(config))
    one_sentence(narrate(video), "was made with the text encoder")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--every", 0), "every is 0.0, allowed is above 0"),
        (("--srt", "--vtt"), "choose one"),
        (("--write",), "--write needs --srt or --vtt"),
        (("--overwrite",), "nothing to overwrite"),
        (("--scene", "house"), "means nothing without --update"),
        (("--update",), "--proposer-vocabulary FOLDER, --proposer-command COMMAND or --proposer MODEL"),
        (("--update", "--proposer", "m", "--proposer-command", "c"), "choose one"),
        (("--update", "--proposer-vocabulary", "m", "--proposer-command", "c"), "choose one"),
    ],
)
def test_wrong_usage_is_one_sentence(narrate, video, flags, told):
    one_sentence(narrate(video, *flags), told, code=2)


def test_no_video_is_one_sentence(polygraft):
    one_sentence(polygraft("narrate"), "no video named", code=2)
