"""Animated and still images as videos: times, colours, ends, damage."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbone.errors import PolygraftError
from tests.video.tiny_videos import animate
from video import read_frames
from video.frames.reader import duration

COLOURS = ["red", "lime", "blue", "white"]
LENGTHS = [100, 300, 100, 500]
RGB = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def frames(video, **options):
    return [frame for chunk in read_frames(video, **options) for frame in chunk]


def seen(video, **options):
    def name(image):
        pixel = image.getpixel((4, 4))
        return min(RGB, key=lambda colour: sum(abs(a - b) for a, b in zip(RGB[colour], pixel, strict=True)))

    return [(frame.time, name(frame.image)) for frame in frames(video, **options)]


@pytest.fixture(params=["gif", "webp", "png", "avif"])
def animation(request, tmp_path):
    file = tmp_path / f"animation.{request.param}"
    animate(file, COLOURS, LENGTHS)
    return file


def test_frames_of_an_animation(animation):
    assert seen(animation) == [(0.0, "red"), (0.1, "lime"), (0.4, "blue"), (0.5, "white")]
    assert seen(animation, start=0.1, stop=0.5) == [(0.1, "lime"), (0.4, "blue")]
    assert {frame.image.mode for frame in frames(animation)} == {"RGB"}


def test_looks_at_an_animation(animation):
    looks = frames(animation, every=0.25)
    assert [look.asked for look in looks] == [0, 0.25, 0.5, 0.75]
    assert seen(animation, every=0.25) == [(0.0, "red"), (0.1, "lime"), (0.5, "white"), (0.5, "white")]
    assert looks[2].image is looks[3].image
    said = []
    in_order = seen(animation, at=[0.6, 0.05, 0.39, 7.0, 0.45], report=said.append)
    assert [colour for _, colour in in_order] == ["white", "red", "lime", "blue"]
    assert said == [f"video {animation} ends at 1.00 s; what was asked at 7.00 s and later is left out"]
    with pytest.raises(PolygraftError, match=r"1\.00 s; .* 2\.00 s"):
        frames(animation, every=1, start=2)
    with pytest.raises(PolygraftError, match=r"1\.00 s; .* 2\.00 s"):
        frames(animation, start=2)


def test_the_length_of_an_animation(animation):
    assert duration(animation) == pytest.approx(1.0)


def test_frames_without_a_length_are_played_as_browsers_play_them(tmp_path):
    animate(tmp_path / "hasty.gif", COLOURS, [0] * 4)
    assert [time for time, _ in seen(tmp_path / "hasty.gif")] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_the_image_for_those_who_cannot_play_it_is_no_frame(tmp_path):
    still = Image.new("RGB", (16, 8), "white")
    rest = [Image.new("RGB", (16, 8), colour) for colour in ("red", "blue")]
    still.save(tmp_path / "default.png", save_all=True, append_images=rest, default_image=True, duration=200)
    assert seen(tmp_path / "default.png") == [(0.0, "red"), (0.2, "blue")]
    assert seen(tmp_path / "default.png", at=[0.3, 0.1]) == [(0.2, "blue"), (0.0, "red")]


def test_transparency_lies_on_white(tmp_path):
    clear = Image.new("RGBA", (16, 8), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.webp", save_all=True, append_images=[Image.new("RGBA", (16, 8), "red")], duration=100)
    assert seen(tmp_path / "clear.webp") == [(0.0, "white"), (0.1, "red")]


def test_an_animation_is_made_smaller(animation):
    assert {frame.image.size for frame in frames(animation, longest_side=8)} == {(8, 4)}
    assert {frame.image.size for frame in frames(animation, longest_side=100)} == {(16, 8)}


@pytest.mark.parametrize("name", ["still.jpg", "still.png", "still.gif", "still.webp", "still.tif", "still.mp4"])
def test_a_image_is_one_frame_at_zero(tmp_path, name):
    kind = {"options": {"format": "JPEG"}}.get("options") if name == "still.mp4" else {}
    Image.new("RGB", (16, 8), "lime").save(tmp_path / name, **kind)
    for asked in ({}, {"every": 0.5}, {"at": [0.0]}):
        assert seen(tmp_path / name, **asked) == [(0.0, "lime")]
    assert duration(tmp_path / name) == 0.0
    with pytest.raises(PolygraftError, match=r"0\.00 s; .* 3\.00 s"):
        frames(tmp_path / name, at=[3.0])


def test_pages_are_no_frames(tmp_path):
    first, *rest = (Image.new("RGB", (16, 8), colour) for colour in COLOURS)
    first.save(tmp_path / "pages.tif", save_all=True, append_images=rest)
    assert seen(tmp_path / "pages.tif") == [(0.0, "red")]


def test_a_image_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8), "red").save(tmp_path / "turned.jpg", exif=exif)
    assert frames(tmp_path / "turned.jpg")[0].image.size == (8, 16)


def noisy_gif(file: Path) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    first, *rest = map(Image.fromarray, noise)
    first.save(file, save_all=True, append_images=rest, duration=100)
    return file.read_bytes()


def test_an_animation_cut_short_gives_what_can_be_read_and_a_warning(tmp_path):
    whole = noisy_gif(tmp_path / "whole.gif")
    (tmp_path / "cut.gif").write_bytes(whole[: len(whole) * 5 // 8])
    said = []
    readable = frames(tmp_path / "cut.gif", report=said.append)
    assert [frame.time for frame in readable] == [0.0, 0.1]
    assert len(said) == 1
    assert f"video {tmp_path / 'cut.gif'} is damaged after 0.20 s: " in said[0]
    assert [frame.time for frame in frames(tmp_path / "cut.gif", at=[0.35, 0.15, 0.05, 0.15])] == [0.1, 0.0, 0.1]


@pytest.mark.parametrize("name", ["cut.gif", "cut.png", "cut.webp"])
def test_a_image_that_cannot_be_decoded_is_one_sentence(tmp_path, name):
    if name == "cut.gif":
        noisy_gif(tmp_path / name)
    else:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: min(len(data) // 8, 900)])
    for read in (frames, duration):
        with pytest.raises(PolygraftError, match="fetch it again"):
            read(tmp_path / name)


def test_images_beyond_all_bounds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("video.frames.files.MAX_PIXELS", 100)
    animate(tmp_path / "large.gif", COLOURS, LENGTHS)
    with pytest.raises(PolygraftError, match="16 x 8 .*100"):
        frames(tmp_path / "large.gif")


def test_an_animation_is_closed_when_nobody_reads_on(animation):
    before = len(list(Path("/proc/self/fd").iterdir()))
    stream = read_frames(animation, chunk=1)
    next(stream)
    stream.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
