"""Clips: what is read and what is refused, which side of time is shown, and parts that share no video."""

from pathlib import Path

import pytest

from backbone.errors import PolygraftError
from tests.video.tiny_narrator import write_lines
from video.data.clips import Clip, Span, mark_splits, read_clips, with_causal

VIDEO = Path("a.mp4")


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"a video, not opened here")
    return tmp_path


@pytest.fixture
def read(folder):
    """Read rows (or bytes); returns the clips and what was reported."""

    def call(*rows):
        file = folder / "clips.jsonl"
        if rows and isinstance(rows[0], bytes):
            file.write_bytes(b"\n".join(rows))
        else:
            write_lines(file, [{"film": "a.mp4", "text": "cut"} | row for row in rows])
        told = []
        return read_clips(file, report=told.append), told

    return call


# Reading


def test_a_line_is_a_clip(read, folder):
    row = {"start": 1, "stop": 2.5, "question": "next", "scenario": "Cooking", "id": 7, "split": "test"}
    (clip,), told = read(row | {"text": "#C C Cuts a potato."})
    assert clip == Clip(
        video=folder / "a.mp4", text="cuts a potato", start=1.0, stop=2.5, question="next", scenario="cooking", id="7",
        split="test",
    )  # fmt: skip
    assert told == []


def test_what_is_left_out_has_its_usual_value(read):
    (clip,), _ = read({"start": None, "question": None, "id": None})
    assert (clip.start, clip.stop, clip.question, clip.scenario, clip.split) == (None, None, "now", "", "")
    assert clip.id.startswith("a.mp4#")


def test_a_question_may_be_in_own_words_or_none(read):
    clips, _ = read({"question": "who is it?"}, {"question": ""}, {"question": "overall"})
    assert [clip.asked for clip in clips] == ["who is it?", "", "What is the overall activity in the video?"]


def test_ids_that_are_made_depend_on_the_contents_alone(read):
    clips, _ = read({"start": 1.0}, {"start": 2.0}, {"text": "wash"}, {"question": "overall"}, {"film": "b.mp4"})
    turned, _ = read({"film": "b.mp4"}, {"question": "overall"}, {"text": "wash"}, {"start": 2.0}, {"start": 1.0})
    assert len({clip.id for clip in clips}) == 5
    assert [clip.id for clip in clips] == [clip.id for clip in turned][::-1]


def test_a_byte_order_mark_and_blank_lines_are_passed_over(read):
    clips, _ = read(b'\xef\xbb\xbf{"film": "a.mp4", "text": "caf\xc3\xa9"}', b"", b"  ")
    assert [clip.text for clip in clips] == ["café"]


def test_repeats_lines_of_tags_and_unknown_keys_are_told(read):
    clips, told = read({"verb": "cut"}, {}, {"text": "#unsure"}, {"noun": 1})
    assert len(clips) == 1
    assert any("ignored noun, verb; what is read is film" in line for line in told)
    assert any("1 line left out, of nothing but tags" in line for line in told)
    assert any("2 lines left out, which repeat another" in line for line in told)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"start": float("nan")}, "'nan' for 'start', which must be seconds"),
        ({"stop": float("inf")}, "'inf' for 'stop'"),
        ({"start": -1}, "'-1' for 'start'"),
        ({"start": True}, "'True' for 'start'"),
        ({"start": "0:03"}, "'0:03' for 'start'"),
        ({"stop": 10**400}, "for 'stop'"),
        ({"start": 3, "stop": 3}, "stops at 3 s, but starts at 3 s"),
        ({"stop": 0}, "stops at 0 s"),
        ({"split": "val"}, "'val' for 'split': leave it out, or give one of train, validation, test"),
        ({"film": ""}, "has no film"),
        ({"film": 3}, "'3' for 'film', which must be a text"),
        ({"text": None}, "has no text"),
        ({"text": "x" * 3000}, "'text' has 3,000 characters"),
        ({"film": "a\0.mp4"}, "'film' holds"),
        ({"text": "\ud800"}, "'text' holds"),
        ({"question": ["now"]}, "for 'question'"),
        ({"film": "gone.mp4"}, r"names the video .*gone\.mp4, which is not there: paths"),
        ({"film": "x" * 300}, "which is not there"),
        ({"question": "next", "start": 0, "stop": 2}, "asks what comes next, but at the video's beginning"),
        ({"question": "next", "stop": 2}, "asks what comes next"),
        ({"question": "before", "start": 2}, "asks what was before, but at the video's end"),
    ],
)
def test_a_line_that_is_no_clip_is_named(read, row, told):
    with pytest.raises(PolygraftError, match=f"clips.jsonl(, line 1)? .*({told})"):
        read(row)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"film": "a.mp4"}', "line 2 has no text: each line"),
        (b'{"text": "cut"}', "line 2 has no film"),
        (b'{"film": "a.mp4", "text": "caf\xe9"}', "line 2 is not UTF-8"),
        (b'{"film": "a.mp4", ', "line 2 is not JSON"),
        (b'["a.mp4", "cut"]', "line 2 is a list, not an object"),
        (b'{"film": "a.mp4", "text": "x", "id": "one"}', "line 2 has the id 'one', which .*line 1 has"),
    ],
)
def test_a_broken_line_is_named(read, line, told):
    with pytest.raises(PolygraftError, match=told):
        read(b'{"film": "a.mp4", "text": "cut", "id": "one"}', line)


def test_a_file_that_is_no_file_is_one_sentence(tmp_path):
    for path, told in ((tmp_path / "none.jsonl", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(PolygraftError, match=f"cannot be read: {told}"):
            read_clips(path)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(PolygraftError, match="holds no clip"):
        read_clips(tmp_path / "empty.jsonl")


def test_several_missing_videos_are_counted(read):
    with pytest.raises(PolygraftError, match=r"line 2 .*x\.mp4.*1 other"):
        read({}, {"film": "x.mp4"}, {"film": "y.mp4"}, {"film": "x.mp4", "text": "wash"})


# What is shown


@pytest.mark.parametrize(
    ("question", "start", "stop", "shown"),
    [
        ("now", 4, 6, (4, 6)),
        ("overall", 4, None, (4, None)),
        ("what?", None, 6, (0, 6)),
        ("", None, None, (0, None)),
        ("next", 4, 6, (2, 4)),
        ("next", 1, 6, (0, 1)),
        ("next", 4, None, (0, 4)),
        ("next", None, None, (0, None)),
        ("before", 4, 6, (6, 8)),
        ("before", None, 6, (6, 12)),
        ("before", None, None, (0, None)),
    ],
)
def test_causal_questions_are_shown_the_other_side_of_time(question, start, stop, shown):
    clip = Clip(video=VIDEO, text="cut", question=question, start=start, stop=stop)
    assert clip.shown == Span(video=VIDEO, start=shown[0], stop=shown[1])


def test_timed_clips_are_asked_about_both_sides_where_there_is_one():
    clips = [
        Clip(video=VIDEO, text="cut", start=4, stop=6, id="a"),
        Clip(video=VIDEO, text="wash", stop=6, id="b"),
        Clip(video=VIDEO, text="open", id="c"),
        Clip(video=VIDEO, text="cook", start=4, stop=6, question="overall", id="d"),
    ]
    found = with_causal(clips)
    assert [clip.id for clip in found] == ["a", "a~next", "a~before", "b", "b~before", "c", "d"]
    assert [clip.shown.start for clip in found[:3]] == [4, 2, 6]
    assert {clip.text for clip in found[:3]} == {"cut"}


# Parting


def videos(count, *, each=3, folder="", **marks):
    return [
        Clip(video=Path(folder, f"{number}.mp4"), text=f"text {number}", start=at, id=f"{number}-{at}", **marks)
        for number in range(count)
        for at in range(each)
    ]


def held(clips, side="validation"):
    return {clip.video.name for clip in clips if clip.split == side}


def test_whole_videos_are_held_out():
    marked = mark_splits(videos(20), val_share=0.2)
    assert len(marked) == 60
    assert len(held(marked)) == 4
    assert not held(marked) & held(marked, "train")


def test_a_draw_depends_on_the_seed_and_on_neither_folder_nor_order():
    first = held(mark_splits(videos(20), val_share=0.2))
    assert held(mark_splits(videos(20, folder="/elsewhere")[::-1], val_share=0.2)) == first
    assert held(mark_splits(videos(20), val_share=0.2, seed=1)) != first


def test_marks_are_kept_and_tests_never_learned_from():
    clips = videos(6, each=1)
    marks = ["test", "", "", "train", "", ""]
    marked = [Clip(**(vars(clip) | {"split": mark})) for clip, mark in zip(clips, marks, strict=True)]
    found = mark_splits(marked, val_share=0.2)
    assert held(found, "test") == {"0.mp4"}
    assert len(held(found)) == 1 and not held(found) & {"0.mp4"}
    given = mark_splits([Clip(**(vars(clip) | {"split": "validation"})) for clip in clips[:2]] + clips[2:])
    assert held(given) == {"0.mp4", "1.mp4"}


def test_a_video_on_several_sides_stays_on_the_highest():
    clips = videos(2)
    marks = ["train", "test", "validation", "train", "", "train"]
    told = []
    marked = [Clip(**(vars(clip) | {"split": mark})) for clip, mark in zip(clips, marks, strict=True)]
    found = mark_splits(marked, val_share=0, report=told.append)
    assert [(clip.id, clip.split) for clip in found] == [
        ("0-1", "test"),
        ("1-0", "train"),
        ("1-1", "train"),
        ("1-2", "train"),
    ]
    assert told == ["2 clips left out: their videos are held out for validation or tests"]


def test_the_same_video_by_another_path_is_the_same_video():
    clips = [Clip(video=Path("x/../a.mp4"), text="cut", split="test"), Clip(video=VIDEO, text="wash")]
    assert [clip.text for clip in mark_splits(clips, val_share=0)] == ["cut"]


def test_too_few_videos_to_hold_one_out_is_one_sentence():
    with pytest.raises(PolygraftError, match="of 1 video"):
        mark_splits(videos(1))
    assert held(mark_splits(videos(1), val_share=0), "train") == {"0.mp4"}
    assert held(mark_splits(videos(3, split="test")), "test") == {"0.mp4", "1.mp4", "2.mp4"}
    with pytest.raises(PolygraftError, match=r"val_share is 1\.0"):
        mark_splits(videos(3), val_share=1.0)
