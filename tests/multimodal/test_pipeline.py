"""Captions for streams of files: order, laziness, and bad files that fail alone."""

import itertools

import pytest

from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from multimodal.data.posts import SidecarWriter, find_sidecar
from multimodal.pipeline import caption_files, one_line
from tests.multimodal.tiny_captioner import paint, tiny_captioner


@pytest.fixture(scope="module")
def captioner():
    return tiny_captioner()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for number in range(7):
        paint(number).save(folder / f"{number}.png")
    (folder / "3.png").write_text("no image")
    return [folder / f"{number}.png" for number in range(7)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_files_come_back_in_order_whatever_the_batch(captioner, files, batch_size):
    done = list(caption_files(captioner, files, Decoding(), batch_size=batch_size))
    assert [one.path for one in done] == files
    assert [one.path for one in done if one.error] == [files[3]]
    good = [path for path in files if path != files[3]]
    assert [one.captions[0].text for one in done if not one.error] == [row[0] for row in captioner.caption(good)]


def test_an_endless_stream_is_captioned_as_it_comes(captioner, files):
    asked = []
    endless = (asked.append(path) or path for path in itertools.cycle(files))
    stream = caption_files(captioner, endless, Decoding(), batch_size=2)
    assert [one.path for one in itertools.islice(stream, 5)] == files[:5]
    assert len(asked) < 12
    stream.close()


def test_nothing_but_bad_files_are_sentences(captioner, files):
    done = list(caption_files(captioner, [files[3]] * 3, Decoding()))
    assert ["holds no image" in one.error for one in done] == [True] * 3


def test_lines_have_no_control_characters_and_keep_emoji_whole():
    assert one_line("  a\tcat\n\x1b[31m sits\x00 \u2028here 👩‍🚀") == "a cat [31m sits here 👩‍🚀"


def test_a_sidecar_is_written_once_and_found_again(tmp_path):
    writer = SidecarWriter(overwrite=False)
    writer.write(tmp_path / "a.png", ["a cat", "ein Kätzchen"])
    assert find_sidecar(tmp_path / "a.png").read_text(encoding="utf-8") == "a cat\nein Kätzchen\n"
    with pytest.raises(PolygraftError, match="exists already"):
        SidecarWriter(overwrite=False).write(tmp_path / "a.png", [])
    with pytest.raises(PolygraftError, match=r"shares a\.txt with a\.png"):
        writer.write(tmp_path / "a.jpg", [])
