"""Videos become frames at exact times: the right frame, whoever reads it, in whatever container, whole or damaged."""

import importlib.util
import random
import subprocess
import sys
import textwrap
from bisect import bisect_right
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbone.errors import PolygraftError
from tests.video.tiny_videos import TICKS, even, four_corners, number_of, numbered, uneven, write_video
from video import read_frames
from video.frames.reader import duration

needs_decord = pytest.mark.skipif(importlib.util.find_spec("decord") is None, reason="decord has no wheel here")
B_FRAMES = {"g": "12", "bf": "3"}


def frames(video, **options):
    return [frame for chunk in read_frames(video, **options) for frame in chunk]


def numbers(video, **options):
    return [number_of(frame.image) for frame in frames(video, **options)]


def seen(video, **options):
    return [(frame.asked, frame.time, number_of(frame.image)) for frame in frames(video, **options)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def video(folder):
    """Two seconds at 30 frames a second."""
    write_video(folder / "film.mp4", even(60), options=B_FRAMES, container={"movflags": "faststart"})
    return folder / "film.mp4"


@pytest.fixture(scope="module")
def slideshow(folder):
    """Sixty frames, each shown for a time of its own."""
    write_video(folder / "uneven.mp4", uneven(60), options=B_FRAMES)
    return folder / "uneven.mp4"


# Which frame, and when


def test_a_look_every_so_often(video):
    assert seen(video, every=0.5) == [(0.0, 0.0, 0), (0.5, 0.5, 15), (1.0, 1.0, 30), (1.5, 1.5, 45)]
    assert seen(video, every=0.25, start=0.9, stop=1.4) == [(0.9, 0.9, 27), (1.15, 34 / 30, 34)]


def test_all_frames_come_with_their_own_times(video):
    assert seen(video) == [(number / 30, number / 30, number) for number in range(60)]
    assert numbers(video, start=0.5, stop=0.7) == [15, 16, 17, 18, 19, 20]


@pytest.mark.parametrize("reader", ["auto", "decord", "pyav"])
def test_listed_times_come_in_the_order_asked_for(video, reader):
    assert numbers(video, at=[1.5, 0.1, 1.999, 0.1, 0], reader=reader) == [45, 3, 59, 3, 0]
    assert frames(video, at=[], reader=reader) == []


def test_a_frame_is_found_again_by_its_own_time(slideshow):
    own = [frame.time for frame in frames(slideshow)]
    assert [frame.time for frame in frames(slideshow, at=own, reader="pyav")] == own
    assert [frame.time for frame in frames(slideshow, at=[time - 1e-5 for time in own[1:]], reader="pyav")] == own[:-1]


def test_looks_at_one_frame_share_its_image(video):
    first, second, third = frames(video, at=[0.5, 0.51, 0.6], reader="pyav")
    assert first.image is second.image
    assert first.image is not third.image


@pytest.mark.parametrize("name", ["even.mp4", "even.mkv", "even.ts", "even.avi", "even.mpg", "even.flv", "even.h264"])
def test_every_container_begins_at_zero_and_keeps_time(folder, name):
    codec = "mpeg2video" if name == "even.mpg" else "libx264"
    write_video(folder / name, even(50, 25), codec=codec, options=B_FRAMES, stream={"time_base": Fraction(1, 25)})
    looks = seen(folder / name, at=[0.0, 0.5, 1.0, 1.5, 1.96, 0.2], reader="pyav")
    assert [number for *_, number in looks] == [0, 12, 25, 37, 49, 5]
    assert [time for _, time, _ in looks] == pytest.approx([0, 0.48, 1, 1.48, 1.96, 0.2], abs=1e-3)


def test_before_the_first_frame_the_first_is_shown(folder):
    late = [time + TICKS for time in even(30)]
    write_video(folder / "late.mp4", late, sound=3.0)
    assert seen(folder / "late.mp4", at=[0.25, 1.5, 0.25], reader="pyav") == [
        (0.25, 1.0, 0),
        (1.5, 1.5, 15),
        (0.25, 1.0, 0),
    ]


def test_nothing_drifts_in_ten_minutes_at_29_97(folder):
    rate = Fraction(30000, 1001)
    write_video(folder / "ntsc.mp4", even(17982, rate), options={"preset": "ultrafast"})
    looks = frames(folder / "ntsc.mp4", every=0.5)
    assert len(looks) == 1200
    for look in looks:
        number = int(Fraction(look.asked) * rate)
        assert (number_of(look.image), look.time) == (number, number * 1001 / 30000)


# Whoever reads


@pytest.fixture(scope="module", params=["even", "uneven"])
def times(request):
    return even(45, Fraction(30000, 1001)) if request.param == "even" else uneven(45)


CODECS = {
    "b-frames.mp4": {"options": B_FRAMES},
    "pyramid.mkv": {"options": {"g": "30", "bf": "3", "x264-params": "b-pyramid=normal"}},
    "one-group.mp4": {"options": {"g": "250", "bf": "2"}},
    "keys-only.mp4": {"options": {"g": "1"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "g": "12"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12:open-gop=0"}},
}


@needs_decord
@pytest.mark.parametrize("name", CODECS)
def test_decord_and_pyav_give_the_same_frames(tmp_path, times, name):
    write_video(tmp_path / name, times, **CODECS[name])
    end = times[-1] / TICKS
    listed = [random.Random(number).uniform(0, end) for number in range(8)]
    for asked in ({"at": listed}, {"every": 0.13}, {}, {"every": end / 7, "longest_side": 32}):
        said = []
        ours = frames(tmp_path / name, reader="pyav", **asked)
        theirs = frames(tmp_path / name, reader="decord", chunk=7, report=said.append, **asked)
        assert said == []
        assert [(one.asked, one.time) for one in ours] == [(one.asked, one.time) for one in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert np.abs(np.asarray(one.image, int) - np.asarray(other.image, int)).max() <= 2
    if not name.endswith((".mkv", ".webm")):  # which round times
        shown = [times[number_of(frame.image)] / TICKS for frame in frames(tmp_path / name)]
        assert [frame.time for frame in frames(tmp_path / name)] == shown
        expected = [bisect_right(times, time * TICKS) - 1 for time in listed]
        assert numbers(tmp_path / name, at=listed, reader="pyav") == expected


DECORD_CANNOT = {
    "ten-bits.mp4": {"pixels": "yuv420p10le"},
    "open.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "fragmented.mp4": {"options": B_FRAMES, "container": {"movflags": "frag_keyframe+empty_moov"}},
    "turned.mp4": {"stream": {"turn": (180, False)}, "images": [numbered(n)[:, ::-1] for n in range(45)]},
    "stream.ts": {"options": B_FRAMES},
}


@pytest.mark.parametrize("name", DECORD_CANNOT)
def test_what_decord_cannot_be_trusted_with_falls_to_pyav(tmp_path, name):
    write_video(tmp_path / name, even(45), **DECORD_CANNOT[name])
    said = []
    for reader in ("auto", "decord"):  # that PyAV reads what nobody wanted of decord is no news
        assert numbers(tmp_path / name, at=[0.5, 1.0, 0.1], reader=reader, report=said.append) == [15, 30, 3]
    assert len(said) == 1
    assert f"video {tmp_path / name} is read with PyAV, since decord " in said[0]


def test_a_video_that_would_fill_the_memory_is_not_given_to_decord(video, tmp_path, monkeypatch):
    monkeypatch.setattr("video.frames.reader._MAX_DECODED", 60 * 64 * 32 * 3 - 1)
    (tmp_path / "long.mp4").write_bytes(video.read_bytes())
    said = []
    assert numbers(tmp_path / "long.mp4", at=[0.5], report=said.append) == [15]
    assert said == []  # that it streams is no surprise
    assert numbers(tmp_path / "long.mp4", at=[0.5], reader="decord", report=said.append) == [15]
    assert said == [
        f"video {tmp_path / 'long.mp4'} is read with PyAV, since decord might decode all of it into memory at once"
    ]


def test_videos_are_read_where_there_is_no_decord(video, tmp_path, monkeypatch):
    (tmp_path / "copy.mp4").write_bytes(video.read_bytes())
    monkeypatch.setitem(sys.modules, "decord", None)
    said = []
    for reader in ("auto", "decord"):
        assert numbers(tmp_path / "copy.mp4", at=[0.5, 1.0], reader=reader, report=said.append) == [15, 30]
    assert said == [f"video {tmp_path / 'copy.mp4'} is read with PyAV, since decord is not installed"]


@pytest.mark.parametrize("chunk", [1, 7, 16, 100])
@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_chunks_are_as_large_as_asked_for(video, chunk, reader):
    sizes = [len(chunk) for chunk in read_frames(video, every=1 / 30, chunk=chunk, reader=reader)]
    assert sum(sizes) == 60
    assert set(sizes[:-1]) <= {chunk}


def test_sparse_looks_find_what_all_frames_show(folder):
    times = even(900)
    write_video(folder / "long.mp4", times, options={"g": "50", "bf": "3"})
    write_video(folder / "long.ts", times, options={"g": "50", "bf": "3"})
    asked = [random.Random(number).uniform(0, 29.9) for number in range(12)] + [29.9, 0.0, 14.0]
    expected = [bisect_right(times, time * TICKS) - 1 for time in asked]
    for name in ("long.mp4", "long.ts"):
        assert numbers(folder / name, at=asked, reader="pyav") == expected
        assert numbers(folder / name, at=sorted(asked), reader="pyav") == sorted(expected)
    assert numbers(folder / "long.mp4", every=3.0) == list(range(0, 900, 90))


# What a frame looks like


@pytest.mark.parametrize(
    ("degrees", "mirrored", "upright"),
    [
        (0, False, lambda image: image),
        (90, False, lambda image: np.rot90(image, 1)),
        (180, False, lambda image: np.rot90(image, 2)),
        (270, False, lambda image: np.rot90(image, 3)),
        (0, True, lambda image: image[:, ::-1]),
    ],
)
def test_frames_are_upright(tmp_path, degrees, mirrored, upright):
    write_video(tmp_path / "turned.mp4", even(30), images=[four_corners()] * 30, stream={"turn": (degrees, mirrored)})
    expected = upright(four_corners())
    for frame in frames(tmp_path / "turned.mp4", every=0.4):
        shown = np.asarray(frame.image)
        assert shown.shape == expected.shape
        for row, column in ((4, 4), (4, -5), (-5, 4), (-5, -5)):
            assert np.abs(shown[row, column].astype(int) - expected[row, column]).max() < 24


def test_pixels_are_square(tmp_path):
    write_video(tmp_path / "wide.mp4", even(5), stream={"sample_aspect_ratio": Fraction(2)})
    (frame,) = frames(tmp_path / "wide.mp4", at=[0.1])
    assert frame.image.size == (128, 32)
    assert number_of(frame.image) == 3


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [
        ("libx264", "yuv420p10le"),
        ("libx264", "yuv444p"),
        ("libx264", "gray"),
        ("prores_ks", "yuv422p10le"),
        ("png", "rgb24"),
    ],
)
def test_deep_and_odd_pixels_become_rgb(tmp_path, codec, pixels):
    image = numbered(1) if pixels == "gray" else four_corners()
    write_video(tmp_path / "deep.mov", even(5), codec=codec, pixels=pixels, images=[image] * 5)
    (frame,) = frames(tmp_path / "deep.mov", at=[0.1])
    expected = np.asarray(Image.fromarray(image).convert("RGB"), int)
    assert frame.image.mode == "RGB"
    assert np.abs(np.asarray(frame.image, int) - expected)[4, 4].max() < 24


def test_large_frames_are_made_smaller_as_they_are_decoded(tmp_path):
    write_video(
        tmp_path / "8k.mp4",
        even(1),
        images=[numbered(5, (7680, 4320))],
        options={"preset": "ultrafast", "threads": "1"},
    )
    (frame,) = frames(tmp_path / "8k.mp4", longest_side=640)
    assert frame.image.size == (640, 360)
    assert number_of(frame.image) == 5


def test_frames_beyond_all_bounds_are_refused(tmp_path, video, monkeypatch):
    monkeypatch.setattr("video.frames.files.MAX_PIXELS", 1000)
    with pytest.raises(PolygraftError, match="64 x 32 .*1000"):
        frames(video)


# What a video says of itself


def test_the_end_by_the_header(video, slideshow, folder):
    assert duration(video) == 2.0
    assert uneven(60)[-1] / TICKS < duration(slideshow) < uneven(60)[-1] / TICKS + 0.6
    write_video(folder / "film.mkv", even(48, 24), sound=4.0)
    assert duration(folder / "film.mkv") == pytest.approx(2.0, abs=0.05)


# What it costs

SLOW_CONSUMER = """
    import sys, time
    from video import read_frames

    def peak():
        status = open("/proc/self/status").read()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    video, reader = sys.argv[1:]
    list(read_frames(video, at=[0.0], reader=reader))  # so that libraries are loaded
    before = peak()
    count = 0
    for number, chunk in enumerate(read_frames(video, every=1 / 30, stop=6.0, reader=reader)):
        count += len(chunk)
        time.sleep(0.7 if number == 1 else 0.0)
    print(count, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("reader", ["pyav", pytest.param("decord", marks=needs_decord)])
def test_memory_stays_bounded_however_slow_the_consumer_is(folder, reader):
    video = folder / "720p.mp4"
    if not video.exists():
        images = (numbered(number, (1280, 720)) for number in range(180))
        write_video(video, even(180), images=images, options={"preset": "ultrafast", "g": "60"})
    code = textwrap.dedent(SLOW_CONSUMER)
    done = subprocess.run([sys.executable, "-c", code, str(video), reader], capture_output=True, text=True, check=True)
    count, above = done.stdout.split()
    assert int(count) == 180
    assert float(above) < 350  # MiB; all frames are 630


def test_a_video_is_closed_when_nobody_reads_on(video):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for reader in ("pyav", "decord"):
        stream = read_frames(video, every=1 / 30, chunk=2, reader=reader)
        next(stream)
        stream.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_reading_frames_needs_no_torch():
    code = "import sys, video; video.read_frames; sys.exit('torch' in sys.modules or 'decord' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
