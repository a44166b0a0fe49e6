"""`polygraft caption`: what goes in, what comes out, and where."""

import io
import json
import sys

import pytest

from tests.multimodal.tiny_captioner import paint


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a.png", "b.jpg", "deep/c.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        paint(number).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def caption(polygraft):
    return lambda *arguments: polygraft("caption", *arguments, "--device", "cpu")


def paths(lines):
    return [line.partition("\t")[0] for line in lines]


def test_each_image_is_a_line_with_path_and_caption(caption, folder):
    called = caption(folder)
    assert paths(called.out) == [str(folder / name) for name in ("a.png", "b.jpg", "deep/c.png")]
    assert called.code == 0
    assert called.err == []


def test_files_folders_and_patterns_are_taken_in_order_and_once(caption, folder):
    called = caption(folder / "deep", folder / "*.png", folder / "a.png")
    assert paths(called.out) == [str(folder / "deep/c.png"), str(folder / "a.png")]


def test_a_list_is_read_from_standard_input(caption, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{folder / 'b.jpg'}\n\n{folder / 'a.png'}\r\n"))
    assert paths(caption("-").out) == [str(folder / "b.jpg"), str(folder / "a.png")]


def test_an_empty_list_is_a_failure(caption, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    called = caption("-")
    assert (called.code, called.err) == (1, ["polygraft: standard input names no image: give one path a line"])


def test_results_do_not_depend_on_the_batch_size(caption, folder):
    assert caption(folder, "--batch-size", 1).out == caption(folder, "--batch-size", 32).out


def test_several_captions_are_several_lines(caption, folder):
    called = caption(folder / "a.png", "--num-captions", 3, "--beams", 4, "--max-tokens", 6)
    assert paths(called.out) == [str(folder / "a.png")] * 3
    assert len(set(called.out)) == 3


def test_json_is_an_object_a_image(caption, folder):
    called = caption(folder, "--json", "--temperature", 1, "--num-captions", 2, "--seed", 3)
    first = json.loads(called.out[0])
    assert [len(called.out), first["path"]] == [3, str(folder / "a.png")]
    assert [set(one) for one in first["captions"]] == [{"text", "score"}] * 2


@pytest.mark.parametrize(
    "flags",
    [
        ("--temperature", 2, "--top-p", 0.9, "--seed", 1),
        ("--temperature", 1, "--top-k", 3),
        ("--contrastive", 0.6),
        ("--beams", 2, "--length-penalty", 0.5),
        ("--min-tokens", 5, "--max-tokens", 9, "--repetition-penalty", 1.5),
    ],
)
def test_every_way_of_decoding_can_be_asked_for(caption, folder, flags):
    assert len(caption(folder, *flags).out) == 3


def test_the_seed_decides_what_is_sampled(caption, folder):
    first, again, other = (caption(folder, "--temperature", 3, "--seed", seed).out for seed in (1, 1, 2))
    assert first == again != other


def test_captions_are_written_beside_the_images(caption, folder):
    called = caption(folder, "--write-txt", "--num-captions", 2, "--beams", 2)
    texts = [line.partition("\t")[2] for line in called.out[:2]]
    assert (folder / "a.txt").read_text(encoding="utf-8").splitlines() == texts
    assert (folder / "deep/c.txt").is_file()


def test_text_files_that_are_there_are_kept_unless_told_otherwise(caption, folder):
    (folder / "a.txt").write_text("mine")
    called = caption(folder, "--write-txt")
    assert paths(called.out) == [str(folder / "b.jpg"), str(folder / "deep/c.png")]
    assert (called.code, called.err) == (1, [f"polygraft: {folder / 'a.txt'} exists already: --overwrite replaces it"])
    assert (folder / "a.txt").read_text() == "mine"
    assert caption(folder, "--write-txt", "--overwrite").code == 0
    assert (folder / "a.txt").read_text() != "mine"


def test_two_images_never_share_a_text_file(caption, folder):
    paint(5).save(folder / "a.jpg")
    called = caption(folder / "a.jpg", folder / "a.png", "--write-txt", "--overwrite")
    assert called.code == 1
    assert "shares a.txt with a.jpg" in called.err[0]


def test_a_image_named_txt_is_not_replaced_by_its_caption(caption, folder):
    paint(1).save(folder / "odd.txt", format="png")
    called = caption(folder / "odd.txt", "--write-txt", "--overwrite")
    assert (called.code, called.out) == (1, [])
    assert (folder / "odd.txt").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_written_fails_for_its_images_alone(caption, folder):
    (folder / "a.txt").mkdir()
    called = caption(folder, "--write-txt", "--overwrite")
    assert [called.code, len(called.err), len(called.out)] == [1, 1, 3]
    assert (folder / "b.txt").is_file()


def test_odd_file_names_stay_in_their_column(caption, folder):
    (folder / "a.png").rename(folder / "a\tb\nc.png")
    (line,) = caption(folder / "a\tb\nc.png").out
    assert line.startswith(f"{folder}/a\\tb\\nc.png\t")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "no image named"),
        (("x.png", "--batch-size", 0), "batch_size is 0"),
        (("x.png", "--overwrite"), "--write-txt"),
        (("x.png", "--beams", 2, "--temperature", 1), "contradict"),
        (("x.png", "--beems", 2), "beems"),
    ],
)
def test_wrong_usage_leaves_with_two(caption, flags, told):
    called = caption(*flags)
    assert called.code == 2
    assert told in " ".join(called.err)
