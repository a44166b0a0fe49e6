"""Videos that are cut short, damaged or none: what can be read is, and the rest is one sentence."""

import os
import random
from fractions import Fraction

import av
import pytest

from backbone.errors import PolygraftError, UsageError
from tests.video.tiny_videos import even, number_of, write_video
from video import read_frames
from video.frames.reader import duration

B_FRAMES = {"g": "12", "bf": "3"}


def frames(video, **options):
    return [frame for chunk in read_frames(video, **options) for frame in chunk]


def numbers(video, **options):
    return [number_of(frame.image) for frame in frames(video, **options)]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Two seconds at 30 frames a second."""
    file = tmp_path_factory.mktemp("films") / "film.mp4"
    write_video(file, even(60), options=B_FRAMES, container={"movflags": "faststart"})
    return file


# Videos that end early


def cut(video, share, path):
    data = video.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize(("form", "share"), [("mp4", 0.6), ("mkv", 0.6), ("ts", 0.6), ("avi", 0.5)])
def test_a_video_cut_short_gives_what_can_be_read_and_a_warning(tmp_path, form, share):
    times = even(300)
    write_video(
        tmp_path / f"whole.{form}",
        times,
        options=B_FRAMES,
        container={"movflags": "faststart"} if form == "mp4" else {},
        stream={"time_base": Fraction(1, 30)},
    )
    video = cut(tmp_path / f"whole.{form}", share, tmp_path / f"cut.{form}")
    said = []
    readable = frames(video, report=said.append)
    assert 120 < len(readable) < 240
    assert [number_of(frame.image) for frame in readable] == list(range(len(readable)))
    if form in ("mp4", "mkv"):  # the others do not say how long they should last
        assert len(said) == 1
        assert "is cut short: of 10.00 s only the first" in said[0]
    said.clear()
    end = len(readable) / 30
    for asked in ({"every": 0.5}, {"every": 3.0}, {"at": [0.5, 2.0, 9.0]}, {"at": [9.0, 2.0, 0.5]}):
        looks = frames(video, reader="pyav", report=said.append, **asked)
        assert looks
        assert all(look.time < end and number_of(look.image) == round(look.time * 30) for look in looks)
    assert len(said) == 4 if form in ("mp4", "mkv") else said
    with pytest.raises(PolygraftError, match=r"9\.00 s"):
        frames(video, at=[9.0])


def test_the_last_frames_inside_the_decoder_are_not_lost(tmp_path, video):
    readable = frames(cut(video, 0.8, tmp_path / "cut.mp4"))
    with av.open(str(tmp_path / "cut.mp4")) as container:
        packets = sum(1 for packet in container.demux(video=0) if packet.size and not packet.is_corrupt)
    assert len(readable) == packets


def test_times_beyond_the_end_are_left_out_and_said(video):
    said = []
    assert numbers(video, at=[0.5, 75.0, 0.1], report=said.append) == [15, 3]
    assert said == [f"video {video} ends at 2.00 s; what was asked at 75.00 s and later is left out"]
    assert len(frames(video, every=0.5, stop=60.0, report=said.append)) == 4
    assert said[1:] == [f"video {video} ends at 2.00 s"]
    assert numbers(video, at=[2.0]) == [59]  # durations are rounded
    for nothing in ({"at": [9.0]}, {"every": 1.0, "start": 9.0}, {"start": 9.0}):
        with pytest.raises(PolygraftError, match=r"2\.00 s; .* 9\.00 s"):
            frames(video, **nothing)


@pytest.mark.parametrize("seed", range(6))
def test_damage_inside_is_passed_over(tmp_path, capfd, video, seed):
    data = bytearray(video.read_bytes())
    dice = random.Random(seed)
    for _ in range(20):
        data[dice.randrange(len(data) // 2, len(data))] ^= 1 << dice.randrange(8)
    (tmp_path / "damaged.mp4").write_bytes(data)
    for asked in ({}, {"every": 0.5}, {"at": [0.1, 1.0, 1.9, 0.5]}):
        said = []
        looks = frames(tmp_path / "damaged.mp4", reader="pyav", report=said.append, **asked)
        assert 0 < len(looks) <= 60
        assert len(said) <= 1
        assert all("damaged" in sentence for sentence in said)
        assert len(frames(tmp_path / "damaged.mp4", **asked)) == len(looks)
    assert capfd.readouterr() == ("", "")


# No videos


def test_a_video_without_images_is_one_sentence(tmp_path):
    write_video(tmp_path / "sound.mp4", [], codec="", sound=1.0)
    for read in (frames, duration):
        with pytest.raises(PolygraftError, match="sound only"):
            read(tmp_path / "sound.mp4")


def test_a_video_of_no_frames_is_one_sentence(tmp_path, video):
    header = video.read_bytes().index(b"mdat") + 8
    (tmp_path / "header.mp4").write_bytes(video.read_bytes()[:header])
    with pytest.raises(PolygraftError, match="no frame that can be decoded"):
        frames(tmp_path / "header.mp4")


def bad_files(folder, video):
    whole = video.read_bytes()
    folder.joinpath("empty.mp4").touch()
    folder.joinpath("text.mp4").write_text("A video about a rabbit.\n")
    folder.joinpath("noise.mp4").write_bytes(random.Random(0).randbytes(5000))
    folder.joinpath("no-index.mp4").write_bytes(whole[:20] + whole[whole.index(b"mdat") - 4 :])
    # scripts of FFmpeg, which name other files
    folder.joinpath("script.mp4").write_text(f"ffconcat version 1.0\nfile '{video}'\n")
    folder.joinpath("list.m3u8").write_text(f"#EXTM3U\n#EXTINF:2,\n{video}\n#EXT-X-ENDLIST\n")
    folder.joinpath("link.mp4").symlink_to(folder / "gone.mp4")
    os.mkfifo(folder / "pipe.mp4")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.mp4", "does not exist: give the path of a video file"),
        (".", "is a folder, not a video: give the video files in it"),
        ("empty.mp4", r"is empty \(0 bytes\): fetch it again"),
        ("text.mp4", "holds no video in a known format .* fetch it again"),
        ("noise.mp4", "holds no video in a known format"),
        ("no-index.mp4", "or its beginning or index is missing"),
        ("script.mp4", "holds no video in a known format"),
        ("list.m3u8", "holds no video in a known format"),
        ("link.mp4", "is a broken link to .*gone.mp4"),
        ("pipe.mp4", "is no regular file"),
        ("text.mp4/film.mp4", "does not exist"),
        ("null\0.mp4", "cannot be read"),
    ],
)
def test_what_is_no_video_is_one_sentence(tmp_path, capfd, video, name, sentence):
    bad_files(tmp_path, video)
    for read in (frames, duration):
        with pytest.raises(PolygraftError, match=sentence) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"at": [1], "every": 1}, "`at` lists the times: give it alone"),
        ({"at": [1], "stop": 2}, "`at` lists the times"),
        ({"at": [-1]}, "`at` holds -1.0"),
        ({"at": [float("nan")]}, "`at` holds nan"),
        ({"at": ["soon"]}, "should be seconds"),
        ({"at": 3.0}, "should be seconds"),
        ({"every": 0}, "every is 0.0"),
        ({"every": float("inf")}, "every is inf"),
        ({"start": -1}, "start is -1.0"),
        ({"start": 2, "stop": 1}, "stop is 1.0 and start 2.0: give a later stop"),
        ({"longest_side": 0}, "longest_side is 0"),
        ({"chunk": 0}, "chunk is 0"),
        ({"reader": "opencv"}, "reader is 'opencv', allowed are 'auto', 'decord' and 'pyav'"),
    ],
)
def test_contradicting_settings_are_refused_before_anything_is_read(video, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        read_frames(video, **options)
