"""Features of videos: which frames are sampled, that none is encoded twice, and what interruptions leave."""

import resource
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from backbone.errors import PolygraftError, UsageError
from tests.backbone.tiny_clip import tiny_image_encoder
from tests.video import tiny_videos as tiny_videos
from tests.video.tiny_narrator import write_video
from tests.video.tiny_videos import number_of
from video.data import feature_cache as video_cache_module
from video.data.clip_features import gather
from video.data.clips import Clip, Span
from video.data.feature_cache import VideoCache, grid

COLOURS = ("red", "lime", "blue", "white")


@pytest.fixture(scope="module")
def encoder():
    return tiny_image_encoder()


@pytest.fixture(scope="module")
def seen(encoder):
    """Return the feature of each colour."""
    features = encoder.encode([Image.new("RGB", (32, 24), colour) for colour in COLOURS]).pooled
    return dict(zip(COLOURS, features, strict=True))


@pytest.fixture
def video(tmp_path):
    """Four seconds, each of a colour."""
    return write_video(tmp_path / "film.gif", COLOURS)


@pytest.fixture
def cache(tmp_path, encoder):
    return VideoCache(tmp_path / "cache", encoder)


def colours_of(frames, seen):
    """Return the colour that each frame is nearest to."""
    table = torch.stack([seen[colour] for colour in COLOURS])
    assert torch.allclose((frames @ table.T).amax(dim=1), torch.ones(len(frames)), atol=1e-3)
    return [COLOURS[at] for at in (frames @ table.T).argmax(dim=1)]


# Times


@pytest.mark.parametrize(
    ("start", "stop", "fps", "times"),
    [
        (0, 2, 2, (0, 0.5, 1, 1.5)),
        (0.2, 1.2, 2, (0.5, 1)),
        (0.6, 0.9, 2, (0.75,)),
        (3, 3.5, 0.5, (3.25,)),
        (0.1 * 3, 0.4, 10, (0.3,)),
    ],
)
def test_spans_share_one_grid_and_have_a_frame_at_least(start, stop, fps, times):
    assert grid(start, stop, fps) == pytest.approx(times)


@pytest.mark.parametrize(
    ("start", "stop", "colours"),
    [
        (0.0, None, ["red", "red", "lime", "lime", "blue", "blue", "white", "white"]),
        (1.2, 2.2, ["lime", "blue"]),
        (2.9, None, ["white", "white"]),
        (3.0, 99.0, ["white", "white"]),
        (3.6, 3.9, ["white"]),
        (3.8, None, ["white"]),
        (3.8, 5.0, ["white"]),
    ],
)
def test_what_is_seen_is_what_the_video_shows_then(cache, video, seen, start, stop, colours):
    found = cache.features([Span(video=video, start=start, stop=stop)])
    assert colours_of(found.take(0), seen) == colours
    assert len(found.times[0]) == len(colours) and found.unreadable == {}
    again = cache.features([Span(video=video, start=start, stop=stop)])
    assert (again.encoded, again.times) == (0, found.times)


def test_an_image_that_stands_still_is_one_frame(cache, tmp_path, seen):
    Image.new("RGB", (32, 24), "blue").save(tmp_path / "still.png")
    found = cache.features([Span(video=tmp_path / "still.png")])
    assert colours_of(found.take(0), seen) == ["blue"]


def test_many_frames_a_second_are_the_frames_of_their_times(cache, video, seen):
    found = cache.features([Span(video=video, start=0.9, stop=1.1)], fps=20)
    assert colours_of(found.take(0), seen) == ["red", "red", "lime", "lime"]


@pytest.mark.parametrize("fps", [0, -1, float("nan"), 2000])
def test_frames_a_second_that_no_video_has_are_refused(cache, video, fps):
    with pytest.raises(UsageError, match="up to 1000"):
        cache.features([Span(video=video)], fps=fps)


def test_stretches_of_a_real_video_are_the_frames_of_their_times(tmp_path, monkeypatch):
    encoder = tiny_image_encoder()
    video = tmp_path / "film.mp4"
    tiny_videos.write_video(video, tiny_videos.even(40 * 30))
    prepare, numbers, _ = encoder.prepare, [], encoder.width  # which encodes a blank image
    monkeypatch.setattr(encoder, "prepare", lambda image: numbers.append(number_of(image)) or prepare(image))
    spans = [Span(video=video, start=at, stop=at + 1.1) for at in (30.0, 2.2, 2.6, 20.3, 39.5, 55.0)]
    found = VideoCache(tmp_path / "cache", encoder).features(spans)
    times = [(30.0, 30.5, 31.0), (2.5, 3.0), (3.0, 3.5), (20.5, 21.0), (39.5,), ()]
    assert list(found.times) == times
    sampled = sorted({time for own in times for time in own})
    assert numbers == [round(30 * time) for time in sampled]


# What is known


def test_spans_that_overlap_share_their_frames(cache, video):
    spans = [
        Span(video=video, start=0, stop=2),
        Span(video=video, start=1, stop=3),
        Span(video=video, start=0.5, stop=1.5),
    ]
    found = cache.features(spans)
    assert [len(times) for times in found.times] == [4, 4, 2]
    assert found.encoded == 6
    assert torch.equal(found.take(0)[2:], found.take(1)[:2])
    assert cache.features([Span(video=video)]).encoded == 2
    assert found.read(found.videos[0], (0.0,)).dtype == torch.float16


def test_a_copy_is_known_and_a_changed_video_is_not(cache, video, tmp_path):
    copy = tmp_path / "copy.webp"
    shutil.copy(video, copy)
    found = cache.features([Span(video=video), Span(video=copy)])
    assert found.encoded == 8 and found.videos[0] == found.videos[1]
    write_video(video, COLOURS[:2])
    changed = cache.features([Span(video=video)])
    assert changed.encoded == 4 and changed.videos[0] != found.videos[0]


def test_another_encoder_has_a_cache_of_its_own(tmp_path, video, encoder):
    one = VideoCache(tmp_path / "cache", encoder).features([Span(video=video)])
    two = VideoCache(tmp_path / "cache", tiny_image_encoder(seed=1)).features([Span(video=video)])
    assert (one.encoded, two.encoded) == (8, 8)


class StoppedError(Exception):
    """What stops a call in the middle."""


@pytest.mark.parametrize("stop", [None, 99.0])
def test_an_interrupted_call_goes_on_where_it_was(tmp_path, video, seen, monkeypatch, stop):
    encoder = tiny_image_encoder()
    cache, encode, calls = VideoCache(tmp_path / "cache", encoder), encoder.encode_pixels, []

    def stop_at_the_third(pixels, *, grid=False):
        calls.append(len(pixels))
        if len(calls) == 3:
            raise StoppedError
        return encode(pixels, grid=grid)

    monkeypatch.setattr(encoder, "encode_pixels", stop_at_the_third)
    span = Span(video=video, start=0.5, stop=stop)
    monkeypatch.setattr(video_cache_module, "_BATCH", 2)
    with pytest.raises(StoppedError):
        cache.features([span])
    found = cache.features([span])
    assert found.encoded == 3
    assert colours_of(found.take(0), seen) == ["red", "lime", "lime", "blue", "blue", "white", "white"]
    assert cache.features([span]).encoded == 0


def test_an_end_that_is_known_is_not_looked_for_again(cache, video, monkeypatch):
    spans = [Span(video=video), Span(video=video, start=2, stop=7), Span(video=video, start=50, stop=51)]
    found = cache.features(spans)
    assert [len(times) for times in found.times] == [8, 4, 0]

    def refuse(*_, **__):
        raise AssertionError("opened again")

    monkeypatch.setattr(video_cache_module, "read_frames", refuse)
    assert cache.features(spans).times == found.times


@pytest.mark.parametrize("stop", [None, 4.0])
def test_frames_are_encoded_together_and_few_are_held(tmp_path, monkeypatch, stop):
    encoder = tiny_image_encoder()
    video = write_video(tmp_path / "film.gif", COLOURS)
    encode, sizes, _ = encoder.encode_pixels, [], encoder.width
    monkeypatch.setattr(encoder, "encode_pixels", lambda p, **k: sizes.append(len(p)) or encode(p, **k))
    monkeypatch.setattr(video_cache_module, "_BATCH", 3)
    VideoCache(tmp_path / "cache", encoder).features([Span(video=video, stop=stop)])
    assert sizes == [3, 3, 2]


KILLED = """
import os, signal, sys
from backbone.io import files
from tests.backbone.tiny_clip import tiny_image_encoder
from video.data import feature_cache
from video.data.clips import Span
feature_cache._SAVED_FRAMES = feature_cache._BATCH = 2
encoder, writes = tiny_image_encoder(), []
cache = feature_cache.VideoCache(sys.argv[1], encoder)
write = cache.write
def write_twice(*content):
    write(*content)
    writes.append(0)
    if len(writes) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
cache.write = write_twice
cache.features([Span(video=sys.argv[2])])
"""


def test_a_killed_process_loses_what_it_has_not_written_and_leaves_a_valid_cache(tmp_path, cache, video, seen):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cache"), str(video)]
    assert subprocess.run(command, check=False, timeout=100).returncode == -signal.SIGKILL
    (cache.folder / ".half.saving-1.safetensors").write_bytes(b"half a file")
    found = cache.features([Span(video=video)])
    assert found.encoded == 4
    assert colours_of(found.take(0), seen)[::2] == list(COLOURS)
    assert sorted(file.suffix for file in cache.folder.iterdir()) == ["", ".safetensors"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-40]),
        lambda file: file.write_bytes(b""),
        lambda file: save_file({"features": torch.zeros(8, 3)}, file),
    ],
)
def test_a_damaged_file_is_told_and_its_video_is_encoded_anew(cache, video, seen, damage):
    before = cache.features([Span(video=video)])
    (file,) = cache.folder.glob("*.safetensors")
    damage(file)
    told = []
    found = cache.features([Span(video=video)], report=told.append)
    assert found.encoded == 8 and len(told) == 1 and str(file) in told[0]
    assert torch.equal(found.take(0), before.take(0))


SHARED = """
import sys, time
from pathlib import Path
from tests.backbone.tiny_clip import tiny_image_encoder
from video.data.clips import Span
from video.data.feature_cache import VideoCache
cache = VideoCache(sys.argv[1], tiny_image_encoder())
while not Path(sys.argv[4]).exists():
    time.sleep(0.01)
for at in range(4):
    found = cache.features([Span(video=Path(sys.argv[2]), start=at + float(sys.argv[3]), stop=at + 1)])
    assert len(found.take(0)) > 0
"""


def test_two_processes_fill_one_cache(tmp_path, cache, video):
    command = [sys.executable, "-c", SHARED, str(tmp_path / "cache"), str(video)]
    both = [subprocess.Popen([*command, start, str(tmp_path / "go")]) for start in ("0.0", "0.5")]
    (tmp_path / "go").touch()
    assert [process.wait(100) for process in both] == [0, 0]
    assert cache.features([Span(video=video, stop=4.0)]).encoded == 0


def test_what_another_process_removed_is_one_sentence(cache, video):
    found = cache.features([Span(video=video)])
    for file in cache.folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(PolygraftError, match="cannot be read"):
        VideoCache(cache.folder.parent, cache.encoder).read(found.videos[0], found.times[0])


def test_videos_that_cannot_be_read_are_told_and_the_rest_is_done(cache, video, tmp_path):
    (tmp_path / "text.mp4").write_text("I am no video")
    (tmp_path / "empty.mp4").touch()
    bad = [tmp_path / "text.mp4", tmp_path / "empty.mp4", tmp_path / "gone.mp4"]
    for span in ({}, {"stop": 2.0}):
        found = cache.features([*(Span(video=path, **span) for path in bad), Span(video=video, **span)])
        assert list(found.unreadable) == bad
        assert [
            told in found.unreadable[path]
            for told, path in zip(("no video", "is empty", "not exist"), bad, strict=True)
        ]
        assert [len(times) > 0 for times in found.times] == [False, False, False, True]
        assert found.videos[:3] == ("", "", "")


def test_what_begins_after_the_end_shows_nothing_and_is_no_fault_of_the_video(cache, video):
    found = cache.features([Span(video=video, start=40, stop=41), Span(video=video, start=77)])
    assert (found.times, found.unreadable) == (((), ()), {})


def test_a_full_disk_is_no_fault_of_the_videos_and_leaves_a_valid_cache(cache, video, seen, monkeypatch):
    monkeypatch.setattr(video_cache_module, "_BATCH", 1)
    assert cache.features([Span(video=video, stop=1.0)]).encoded == 2
    size = next(cache.folder.glob("*.safetensors")).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 7, hard))
    try:
        with pytest.raises(PolygraftError, match=r"cannot be written .*; what it held before is kept"):
            cache.features([Span(video=video)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found = cache.features([Span(video=video)])
    assert found.encoded == 6
    assert colours_of(found.take(0), seen)[::2] == list(COLOURS)


def test_a_folder_of_something_else_is_refused(tmp_path, encoder):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PolygraftError, match="cannot be written"):
        VideoCache(tmp_path / "file", encoder)


# Clips


def clip(video, **changes):
    told = {"start": 1.0, "stop": 2.0, "text": "cut"} | changes
    return Clip(video=video, id="-".join(map(str, [video.name, *told.values()])), **told)


def test_clips_are_shown_their_side_of_time(cache, video, seen):
    clips = [
        clip(video),
        clip(video, question="next"),
        clip(video, question="before"),
        clip(video, start=None, stop=None),
    ]
    data = gather(clips, cache)
    assert [colours_of(data.frames(at), seen)[::2] for at in range(4)] == [["lime"], ["red"], ["blue"], list(COLOURS)]
    assert data.videos == 1 and data.texts == ("cut",) * 4


def test_clips_without_frames_are_told_and_left_out(cache, video, tmp_path):
    (tmp_path / "text.mp4").write_text("I am no video")
    clips = [
        clip(video),
        clip(tmp_path / "text.mp4"),
        clip(video, start=8.0, stop=9.0),
        clip(video, start=9.0, stop=9.5),
    ]
    told = []
    data = gather(clips, cache, report=told.append)
    assert data.clips == (clips[0],)
    assert sum("text.mp4" in line for line in told) == 1
    assert any(line.startswith("2 clips left out, beyond the end of their videos: film.gif-8.0") for line in told)
    with pytest.raises(PolygraftError, match="none of the 2 clips shows anything"):
        gather(clips[1:3], cache)


def test_a_digest_names_videos_times_questions_and_texts(cache, video, tmp_path):
    copy = tmp_path / "copy.gif"
    shutil.copy(video, copy)
    first = gather([clip(video)], cache).digest
    assert gather([clip(copy)], cache).digest == first
    changes = ({"start": 1.5}, {"text": "wash"}, {"question": "overall"})
    assert len({first, *(gather([clip(video, **change)], cache).digest for change in changes)}) == 4
    assert gather([clip(video)], cache, fps=4).digest != first


def test_copies_of_videos_that_are_held_out_leave_the_training(cache, video, tmp_path):
    copy, other = tmp_path / "copy.gif", write_video(tmp_path / "other.gif", ("white", "red"))
    shutil.copy(video, copy)
    data = gather([clip(copy), clip(other), clip(copy, text="wash")], cache)
    assert [own.video for own in data.without(gather([clip(video)], cache)).clips] == [other]
