"""The feature cache: what is encoded once stays, whatever interrupts, and nothing wrong is ever served."""

import mmap
import os
import resource
import signal
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from backbone import feature_cache as features_module
from backbone.errors import PolygraftError
from backbone.feature_cache import FeatureCache
from tests.backbone.tiny_clip import tiny_image_encoder


@pytest.fixture(scope="module")
def encoder():
    return tiny_image_encoder()


@pytest.fixture
def images(tmp_path):
    """Ten different images."""
    paths = [tmp_path / "pictures" / f"{i}.png" for i in range(10)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        Image.new("RGB", (20, 20), (20 * i, 100, 255 - 20 * i)).save(path)
    return paths


def direct(encoder, paths, *, grid=False):
    return encoder.encode([Image.open(path).convert("RGB") for path in paths], grid=grid)


def mapped(row):
    """Whether a row lies in a file that is mapped, not in memory."""
    base = row
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def test_cached_features_are_the_encoders_to_half_precision(tmp_path, encoder, images):
    cached = FeatureCache(tmp_path / "cache", encoder, grid=True).features(images, batch_size=3)
    taken, expected = cached.take(), direct(encoder, images, grid=True)
    assert len(cached) == cached.encoded == 10
    assert torch.allclose(taken.pooled, expected.pooled, atol=1e-3)
    assert torch.allclose(taken.grid, expected.grid, atol=5e-3)
    assert torch.allclose(taken.pooled.norm(dim=1), torch.ones(10))
    assert torch.equal(cached.take([7, 2]).pooled, taken.pooled[[7, 2]])
    assert taken.pooled.dtype == torch.float32


def test_a_second_call_encodes_nothing(tmp_path, encoder, images):
    first = FeatureCache(tmp_path / "cache", encoder).features(images)
    again = FeatureCache(tmp_path / "cache", encoder).features(images[::-1])
    assert (first.encoded, again.encoded) == (10, 0)
    assert torch.equal(again.take().pooled, first.take().pooled.flip(0))
    assert first.digest != again.digest
    assert mapped(again.pooled_table._parts[0]) and again.pooled_table[again.rows].dtype == np.float16


def test_copies_are_encoded_once_and_changes_anew(tmp_path, encoder, images):
    cache = FeatureCache(tmp_path / "cache", encoder)
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(images[3].read_bytes())
    first = cache.features([*images, copy, images[0]])
    assert first.encoded == 10
    assert first.rows[10] == first.rows[3]
    assert first.rows[11] == first.rows[0]
    Image.new("RGB", (20, 20), "black").save(images[3])
    changed = cache.features(images)
    assert changed.encoded == 1
    assert torch.allclose(changed.take([3]).pooled, direct(encoder, [images[3]]).pooled, atol=1e-3)


def test_another_model_has_a_cache_of_its_own(tmp_path, encoder, images):
    folder = tmp_path / "cache"
    one = FeatureCache(folder, encoder).features(images)
    two = FeatureCache(folder, tiny_image_encoder(seed=1)).features(images)
    grid = FeatureCache(folder, encoder, grid=True).features(images)
    assert (one.encoded, two.encoded, grid.encoded) == (10, 10, 10)
    assert one.take().grid is None
    assert not torch.allclose(one.take().pooled, two.take().pooled, atol=0.01)
    assert one.digest != two.digest


def test_unreadable_images_are_reported_and_the_rest_is_done(tmp_path, encoder, images):
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    gone = tmp_path / "gone.png"
    cached = FeatureCache(tmp_path / "cache", encoder).features([bad, *images[:2], gone, images[2]])
    assert cached.paths == tuple(images[:3])
    assert str(bad) in cached.unreadable[bad]
    assert "does not exist" in cached.unreadable[gone]


def test_nothing_readable_gives_no_rows(tmp_path, encoder):
    cached = FeatureCache(tmp_path / "cache", encoder, grid=True).features([tmp_path / "gone.png"])
    assert len(cached) == 0
    assert cached.take().pooled.shape == (0, 24)
    assert cached.take().grid.shape == (0, 5, 32)


# Interruptions


class StoppedError(Exception):
    """What stops a run in the middle."""


def test_a_run_goes_on_where_it_was_interrupted(tmp_path, images, monkeypatch):
    encoder = tiny_image_encoder()
    cache, encode, calls = FeatureCache(tmp_path / "cache", encoder), encoder.encode_pixels, []

    def stop_at_the_third(pixels, *, grid=False):
        calls.append(len(pixels))
        if len(calls) == 3:
            raise StoppedError
        return encode(pixels, grid=grid)

    monkeypatch.setattr(encoder, "encode_pixels", stop_at_the_third)
    with pytest.raises(StoppedError):
        cache.features(images, batch_size=2)
    assert cache.features(images, batch_size=2).encoded == 6
    assert torch.allclose(cache.features(images).take().pooled, direct(encoder, images).pooled, atol=1e-3)


def shards(cache):
    return sorted(cache.folder.glob("*.npy"))


@pytest.mark.parametrize("left", [0, 1, 100, 128, 400])
def test_a_shard_cut_anywhere_is_encoded_again_with_a_warning(tmp_path, encoder, images, left):
    whole = FeatureCache(tmp_path / "cache", encoder, grid=True).features(images, batch_size=4).take()
    cache = FeatureCache(tmp_path / "cache", encoder, grid=True)
    os.truncate(shards(cache)[1], left)
    with pytest.warns(UserWarning, match="is damaged and removed"):
        again = cache.features(images)
    assert again.encoded in (2, 4)
    assert torch.equal(again.take().pooled, whole.pooled) and torch.equal(again.take().grid, whole.grid)
    assert FeatureCache(tmp_path / "cache", encoder, grid=True).features(images).encoded == 0


def test_a_shard_of_something_else_is_encoded_again(tmp_path, encoder, images):
    cache = FeatureCache(tmp_path / "cache", encoder)
    np.save(cache.folder / "odd.npy", np.zeros(3))
    with pytest.warns(UserWarning, match=r"odd\.npy is damaged and removed"):
        assert cache.features(images).encoded == 10


def test_a_full_disk_leaves_a_valid_cache(tmp_path, encoder, images):
    cache = FeatureCache(tmp_path / "cache", encoder)
    cache.features(images[:4])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # less than a shard of one image
    try:
        with pytest.raises(PolygraftError, match="cannot be written"):
            cache.features(images, batch_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.suffix for path in cache.folder.iterdir() if path.name != "lock"] == [".npy"]
    after = FeatureCache(tmp_path / "cache", encoder).features(images)
    assert after.encoded == 6
    assert torch.allclose(after.take().pooled, direct(encoder, images).pooled, atol=1e-3)


@contextmanager
def other_process(folder, encoder, images):
    """A forked process that fills the cache slowly; yields (pid, a pipe with one byte per batch stored)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        cache = FeatureCache(folder, encoder)
        encode = cache._encode

        def slow(waiting):
            encode(waiting)
            os.write(writer, b".")
            time.sleep(0.03)

        cache._encode = slow
        cache.features(images, batch_size=1)
        os._exit(0)
    os.close(writer)
    try:
        yield pid, reader
    finally:
        os.close(reader)


def test_a_killed_process_leaves_what_it_had_done(tmp_path, encoder, images):
    with other_process(tmp_path / "cache", encoder, images) as (pid, progress):
        for _ in range(3):
            os.read(progress, 1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    cache = FeatureCache(tmp_path / "cache", encoder)
    half = cache.folder / ".0.saving-1.npy"  # what a process leaves that is killed while it writes
    half.write_text("half")
    cached = cache.features(images)
    assert 1 <= cached.encoded <= 7 and not half.exists()
    assert torch.allclose(cached.take().pooled, direct(encoder, images).pooled, atol=1e-3)


def test_two_processes_share_a_cache(tmp_path, encoder, images):
    with other_process(tmp_path / "cache", encoder, images) as (pid, progress):
        os.read(progress, 1)
        cached = FeatureCache(tmp_path / "cache", encoder).features(images)
        assert os.waitpid(pid, 0)[1] == 0
    assert cached.encoded == 0
    assert len(set(cached.rows.tolist())) == 10


# Refusals


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, encoder):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PolygraftError, match="cannot be written"):
        FeatureCache(tmp_path / "file", encoder)


def test_numbers_beyond_half_precision_are_refused(tmp_path, images):
    encoder = tiny_image_encoder()
    encoder.model.visual.ln_post.weight.data.fill_(1e6)
    with pytest.raises(PolygraftError, match="beyond half precision"):
        FeatureCache(tmp_path / "cache", encoder, grid=True).features(images)


def test_decoding_runs_ahead_but_not_far(tmp_path, images, monkeypatch):
    encoder = tiny_image_encoder()
    opened, seen = [], []
    real_open, real_encode = features_module.open_image, encoder.encode_pixels
    monkeypatch.setattr(features_module, "open_image", lambda *a, **k: opened.append(1) or real_open(*a, **k))

    def encode(pixels, *, grid=False):
        time.sleep(0.01)
        seen.append(len(opened))
        return real_encode(pixels, grid=grid)

    monkeypatch.setattr(encoder, "encode_pixels", encode)
    FeatureCache(tmp_path / "cache", encoder).features(images, batch_size=1)
    assert max(ahead - number for number, ahead in enumerate(seen)) <= 5
