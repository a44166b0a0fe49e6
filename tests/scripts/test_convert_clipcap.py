"""`polygraft convert clipcap`: from published weights to a folder that captions, and what is refused on the way."""

import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file

from backbone.gpt2 import Backbone
from tests.backbone.tiny import tiny_model
from tests.backbone.tiny_clip import WIDTH
from tests.multimodal.model.official_clipcap import ClipCaptionModel, old_state_dict
from tests.multimodal.tiny_captioner import paint


def official(kind, gpt, **sizes):
    return ClipCaptionModel(kind, 4, **({"clip_length": 5, "prefix_size": WIDTH, "num_layers": 2} | sizes), gpt=gpt)


@pytest.fixture
def write(starter, tmp_path):
    """Write a state dict of the authors' model on the starter's language model, tuned or not."""

    def call(kind="mlp", *, tuned=False, **sizes):
        gpt = tiny_model(seed=9) if tuned else Backbone.from_pretrained("starter", device="cpu").model
        torch.save(old_state_dict(official(kind, gpt, **sizes)), tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return call


@pytest.fixture
def convert(polygraft, tmp_path):
    def call(*flags, mapper="mlp", length=4, out=tmp_path / "out"):
        common = ("--backbone", "starter", "--clip", "starter", "--out", out)
        sizes = ("--mapper", mapper, "--prefix-length", length)
        return polygraft("convert", "clipcap", tmp_path / "weights.pt", *sizes, *common, *flags)

    return call


@pytest.fixture
def image(tmp_path):
    paint(0).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_published_weights_become_a_captioner(convert, write, polygraft, image, tmp_path, kind):
    write(kind)
    called = convert(mapper=kind)
    assert (called.code, called.err) == (0, [])
    assert {f"mapper\t{kind}", "prefix_length\t4", "image_width\t24", "language_model\tstarter"} < set(called.out)
    entries = {entry.name for entry in (tmp_path / "out").iterdir()}
    assert entries == {"config.json", "model.safetensors", "README.md", "training.json"}
    captioned = polygraft("caption", image, "--model", tmp_path / "out", "--device", "cpu")
    assert [captioned.code, len(captioned.out)] == [0, 1]


def test_a_tuned_language_model_is_kept_and_moves_with_the_folder(convert, write, polygraft, image, tmp_path):
    write(tuned=True)
    called = convert("--keep-language-model", "--json")
    assert (called.code, called.err, json.loads(called.out[0])["language_model"]) == (0, [], "of the weights")
    (tmp_path / "out").rename(tmp_path / "moved")
    kept = load_file(tmp_path / "moved" / "language_model" / "model.safetensors")
    assert torch.equal(kept["transformer.wpe.weight"], tiny_model(seed=9).transformer.wpe.weight)
    captioned = polygraft("caption", image, "--model", tmp_path / "moved", "--device", "cpu")
    assert [captioned.code, captioned.err, len(captioned.out)] == [0, [], 1]
    told = polygraft("info", tmp_path / "moved").out
    assert any("./language_model" in line for line in told)
    card = (tmp_path / "moved" / "README.md").read_text()
    assert "`./language_model`" in card
    assert "base_model" not in card


def test_a_kept_language_model_that_was_removed_is_one_sentence(convert, write, polygraft, image, tmp_path):
    write(tuned=True)
    convert("--keep-language-model")
    shutil.rmtree(tmp_path / "out" / "language_model")
    called = polygraft("caption", image, "--model", tmp_path / "out", "--device", "cpu")
    assert [called.code, len(called.err), "--backbone" in called.err[0]] == [1, 1, True]


def test_a_dropped_language_model_is_remarked(convert, write):
    write(tuned=True)
    called = convert()
    assert (called.code, len(called.err)) == (0, 1)
    assert "captions will be worse: --keep-language-model keeps it" in called.err[0]


def test_normalized_is_kept_in_the_config(convert, write, tmp_path):
    write()
    convert("--normalized")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["config"]["normalize"] is True


def test_a_folder_in_the_way_is_left_alone(convert, write, tmp_path):
    write()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    called = convert()
    assert (called.code, "is not replaced" in called.err[0]) == (1, True)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["thesis.txt"]


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this code must never run')",))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_language_model(path):
    tensors = torch.load(path, weights_only=True)
    torch.save({name: tensor for name, tensor in tensors.items() if name.startswith("clip_project.")}, path)


REFUSED = {
    "missing": (lambda path: path.unlink(), {}, "weights.pt cannot be read"),
    "truncated": (cut, {}, "truncated or damaged"),
    "code": (lambda path: path.write_bytes(pickle.dumps(Harmful())), {}, "could run any code"),
    "another model": (lambda path: torch.save({"fc.weight": torch.zeros(2)}, path), {}, "no ClipCap state dict"),
    "wrong length": (lambda path: None, {"length": 7}, "--prefix-length 7 was asked, but the weights have 4"),
    "wrong mapper": (lambda path: None, {"mapper": "transformer"}, "weights hold the mlp mapper"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_one_sentence(convert, write, tmp_path, case):
    make, options, told = REFUSED[case]
    make(write())
    called = convert(**options)
    assert [called.code, called.out, len(called.err), told in called.err[0]] == [1, [], 1, True]
    assert str(tmp_path / "weights.pt") in called.err[0]
    assert not (tmp_path / "out").exists()


def test_weights_without_a_language_model_have_none_to_keep(convert, write):
    without_language_model(write())
    called = convert("--keep-language-model")
    assert (called.code, "holds no language model" in called.err[0]) == (1, True)
    assert convert().code == 0


def test_another_image_encoder_is_named_with_both_widths(convert, write):
    write(prefix_size=48)
    called = convert()
    assert (called.code, "width 48, but 'starter' gives 24" in called.err[0]) == (1, True)


@pytest.mark.parametrize(
    ("flags", "told"),
    [(("--clip-length", 3), "does nothing with --mapper mlp"), (("--prefix-length", 0), "prefix_length is 0")],
)
def test_wrong_usage_leaves_with_two(convert, write, flags, told):
    write()
    called = convert(*flags)
    assert called.code == 2
    assert told in " ".join(called.err)
