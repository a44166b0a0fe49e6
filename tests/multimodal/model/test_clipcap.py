"""ClipCap's weights in a captioner: the same prefixes, logits and captions as the authors' own classes give."""

import json
import pickle

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from backbone.clip import Features
from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.gpt2 import Backbone
from multimodal.batches import CaptionBatch
from multimodal.captioner import Captioner
from multimodal.model.clipcap import Expected, load_state_dict, read_clipcap, tuned_backbone
from multimodal.model.mapper import build_mapper
from multimodal.training.train import CaptionObjective
from tests.backbone.tiny import predicted_logits, tiny_backbone, tiny_model, tiny_tokenizer
from tests.backbone.tiny_clip import WIDTH, tiny_clip, tiny_image_encoder
from tests.multimodal.model.official_clipcap import ClipCaptionModel, old_state_dict
from tests.multimodal.tiny_captioner import paint

KINDS = ("mlp", "transformer")
SIZES = {"clip_length": 5, "prefix_size": WIDTH, "num_layers": 2}


def official(kind="mlp", prefix_length=4, **sizes):
    torch.manual_seed(3)
    return ClipCaptionModel(kind, prefix_length, **(SIZES | sizes)).eval()


def expected(kind="mlp", **changes):
    return Expected(**({"mapper": kind, "prefix_length": 4, "text_width": 32} | changes))


def converted(model, kind="mlp", **changes):
    found = read_clipcap(old_state_dict(model), expected(kind, **changes))
    mapper = build_mapper(found.config)
    mapper.load_state_dict(found.mapper)
    return Captioner(tiny_image_encoder(), tuned_backbone(tiny_backbone(), found.language_model), mapper, found.config)


def raw_features(images):
    """What the authors feed: CLIP's embedding as it is."""
    encoder = tiny_image_encoder()
    with torch.no_grad():
        return tiny_clip().eval().encode_image(torch.stack([encoder.prepare(image) for image in images]))


# Parity


@pytest.mark.parametrize("kind", KINDS)
def test_prefixes_and_logits_equal_the_authors(kind):
    model = official(kind)
    captioner, features, tokens = converted(model, kind), torch.randn(3, WIDTH), torch.randint(300, (3, 6))
    with torch.no_grad():
        torch.testing.assert_close(captioner.prefix(features).embeds, model.project(features), rtol=0, atol=1e-5)
        theirs = model(tokens, features, labels=tokens).logits[:, 3:-1]
        ours = predicted_logits(captioner.backbone, captioner.prefix(features).embeds, tokens)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_and_moved_captioner_says_of_images_what_the_authors_code_says(kind, tmp_path):
    model = official(kind, gpt=tiny_model(seed=9))
    for parameter in model.clip_project.parameters():
        parameter.data.mul_(3)  # so that images get captions of their own
    images = [paint(seed) for seed in range(4)]
    converted(model, kind).save_pretrained(tmp_path / "here", with_language_model=True)
    (tmp_path / "here").rename(tmp_path / "there")
    captioner = Captioner.from_pretrained(tmp_path / "there", encoder=tiny_image_encoder(), device="cpu")
    stop = tiny_tokenizer()(".")["input_ids"][0]
    theirs = [tuple(model.generate2(model.project(row[None]), stop)) for row in raw_features(images)]
    assert [row[0].ids for row in captioner.generate(images, Decoding(max_tokens=24))] == theirs
    assert len(set(theirs)) > 1


def test_weights_for_normalised_features_get_them():
    model, images = official(), [paint(0)]
    features = tiny_image_encoder().encode(images)
    raw = raw_features(images)
    torch.testing.assert_close(converted(model).image(features).pooled, raw)
    normalised = converted(model, normalized=True).image(features).pooled
    torch.testing.assert_close(normalised, raw / raw.norm(2, -1, keepdim=True))


def test_a_caption_ends_with_its_first_full_stop():
    captioner = converted(official())
    stop = captioner.backbone.tokenizer(".")["input_ids"][0]
    head = captioner.backbone.model.transformer.wte.weight
    head.data[stop] = head.data.mean(dim=0)
    for row in captioner.generate([paint(seed) for seed in range(6)], Decoding(max_tokens=30)):
        assert stop not in row[0].ids[:-1]


def test_features_without_their_length_are_refused():
    captioner = converted(official())
    with pytest.raises(PolygraftError, match="give it the images themselves"):
        captioner.image(Features(pooled=torch.randn(2, WIDTH)))
    with pytest.raises(PolygraftError, match="is not trained on"):
        CaptionObjective(captioner)


def test_the_loss_is_that_of_the_authors_training_loop():
    model, tokens = official(), torch.randint(1, 300, (2, 5))
    features = torch.randn(2, WIDTH)
    batch = CaptionBatch(pooled=features, ids=tokens, mask=torch.ones_like(tokens, dtype=torch.bool))
    loss, weight = converted(model).loss(batch)
    logits = model(tokens, features).logits[:, 3:-1]
    theirs = torch.nn.functional.cross_entropy(logits.reshape(10, -1), tokens.flatten(), ignore_index=0)
    torch.testing.assert_close(loss / weight, theirs)


# What is read


def test_sizes_are_read_from_the_tensors():
    model = official("transformer", num_layers=3, clip_length=7)
    config = read_clipcap(old_state_dict(model), expected("transformer")).config
    assert (config.layers, config.clip_length, config.heads, config.image_width) == (3, 7, 8, WIDTH)
    assert (config.calibrate, config.normalize, config.full_stop) == (False, False, True)


def test_the_published_sizes_are_accepted():
    with torch.device("meta"):
        gpt = tiny_model(n_layer=1, n_embd=768, n_head=12)
        mlp = ClipCaptionModel("mlp", 10, gpt=gpt).state_dict()
        large = ClipCaptionModel("transformer", 40, clip_length=40, prefix_size=640, gpt=gpt).state_dict()
    assert read_clipcap(mlp, expected(prefix_length=10, text_width=768)).config.image_width == 512
    found = read_clipcap(large, expected("transformer", prefix_length=40, clip_length=40, text_width=768))
    assert (found.config.image_width, found.config.layers) == (640, 8)


def test_half_precision_weights_become_float32():
    found = read_clipcap(official().half().state_dict(), expected())
    assert {tensor.dtype for tensor in found.mapper.values()} == {torch.float32}


def test_the_mapper_alone_is_enough():
    tensors = {f"clip_project.{name}": tensor for name, tensor in official().clip_project.state_dict().items()}
    assert read_clipcap(tensors, expected()).language_model == {}


@pytest.mark.parametrize(
    ("model", "asked", "told"),
    [
        (official(), expected(prefix_length=5), "--prefix-length 5 was asked, but the weights have 4 prefix vectors"),
        (official("transformer"), expected("transformer", prefix_length=3), "have 4 prefix vectors"),
        (official("transformer"), expected("transformer", clip_length=2), "--clip-length 2 was asked.* 5 slots"),
        (official("transformer"), expected("mlp"), "--mapper mlp was asked, but the weights hold the transformer"),
        (official("mlp"), expected("transformer"), "--mapper transformer was asked, but the weights hold the mlp"),
        (official("linear"), expected(), "one linear layer, as in ClipCap's predict.py"),
        (official(), expected(text_width=64), "language model of width 32, but --backbone has 64"),
        (torch.nn.Linear(2, 2), expected(), "no ClipCap state dict: .* it begins with weight"),
        (torch.nn.Identity(), expected(), "it holds no tensor"),
    ],
)
def test_what_does_not_fit_is_one_sentence(model, asked, told):
    with pytest.raises(PolygraftError, match=told) as caught:
        read_clipcap(model.state_dict(), asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "tensor"),
    [
        ("mlp", "model.0.weight", torch.zeros(3)),
        ("mlp", "model.0.bias", torch.zeros(3)),
        ("transformer", "transformer.layers.0.mlp.fc1.weight", torch.zeros(3, 32)),
        ("transformer", "transformer.layers.999999999.norm1.bias", torch.zeros(32)),
        ("transformer", "linear.weight", torch.zeros(33, WIDTH)),
    ],
)
def test_a_mapper_of_another_form_is_one_sentence(kind, name, tensor):
    tensors = official(kind).state_dict() | {f"clip_project.{name}": tensor}
    with pytest.raises(PolygraftError, match="ClipCap|slots"):
        read_clipcap(tensors, expected(kind))


# The language model


def test_an_unchanged_language_model_is_the_backbone_itself():
    backbone = tiny_backbone()
    found = read_clipcap(old_state_dict(official()), expected())
    assert tuned_backbone(backbone, found.language_model) is backbone
    assert tuned_backbone(backbone, {}) is backbone


def test_a_tuned_language_model_leaves_the_backbone_as_it_is():
    backbone = tiny_backbone()
    before = backbone.digest
    tensors = read_clipcap(old_state_dict(official(gpt=tiny_model(seed=9))), expected()).language_model
    tuned = tuned_backbone(backbone, {name: tensors[name] for name in tensors if name != "lm_head.weight"} | tensors)
    assert tuned.digest == tiny_backbone(seed=9).digest != before
    assert Backbone(backbone.model, backbone.tokenizer, name="again").digest == before


def test_a_head_that_was_not_saved_is_the_embedding():
    tensors = {name: t for name, t in official().state_dict().items() if name != "gpt.lm_head.weight"}
    found = read_clipcap(tensors, expected()).language_model
    assert found["lm_head.weight"] is found["transformer.wte.weight"]


def test_another_language_model_is_named():
    tensors = read_clipcap(old_state_dict(official()), expected()).language_model
    with pytest.raises(PolygraftError, match=r"transformer\.h\.1.* 9 more"):
        tuned_backbone(tiny_backbone(n_layer=1), tensors)


# Files


def test_torch_files_and_safetensors_are_read_alike(tmp_path):
    tensors = {name: tensor.clone() for name, tensor in official().state_dict().items()}
    save_file(tensors, tmp_path / "weights.safetensors")
    torch.save(tensors, tmp_path / "weights.pt")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("weights.safetensors", "weights.pt", "old.pt"):
        loaded = load_state_dict(tmp_path / name)
        assert loaded.keys() == tensors.keys()
        assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)


def test_safetensors_whose_header_length_looks_like_a_pickle_are_read(tmp_path):
    file = tmp_path / "weights.safetensors"
    for padding in range(400, 640):
        save_file({"a": torch.ones(2)}, file, metadata={"x": "x" * padding})
        if file.read_bytes().startswith(b"\x80\x02"):
            break
    assert file.read_bytes().startswith(b"\x80\x02")
    assert load_state_dict(file)["a"].tolist() == [1, 1]


def test_a_checkpoint_that_holds_its_language_model_is_not_replaced(tmp_path):
    captioner = converted(official(gpt=tiny_model(seed=9)))
    captioner.save_pretrained(tmp_path / "out", with_language_model=True)
    for again in (True, False):
        with pytest.raises(PolygraftError, match="is not replaced"):
            captioner.save_pretrained(tmp_path / "out", with_language_model=again)


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this code must never run')",))


def cut(path, share):
    torch.save(official().state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


FILES = {
    "missing": (lambda path: None, "cannot be read: No such file"),
    "a folder": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "empty": (lambda path: path.touch(), "neither a state dict"),
    "text": (lambda path: path.write_text("I am no weights"), "neither a state dict"),
    "an image": (lambda path: Image.new("RGB", (4, 4)).save(path, "PNG"), "neither a state dict"),
    "json": (lambda path: path.write_text(json.dumps({"a": 1})), "neither a state dict"),
    "cut early": (lambda path: cut(path, 0.01), "truncated or damaged"),
    "cut late": (lambda path: cut(path, 0.9), "truncated or damaged"),
    "bare pickle": (lambda path: path.write_bytes(pickle.dumps(Harmful())), "could run any code"),
    "code": (lambda path: torch.save({"clip_project.weight": Harmful()}, path), "could run any code"),
    "a module": (lambda path: torch.save(torch.nn.Linear(2, 2), path), r"save the model's state_dict\(\) alone"),
    "a list": (lambda path: torch.save([1], path), "holds a list"),
    "cut safetensors": (lambda path: path.write_bytes(b"\x90\0\0\0\0\0\0\0{"), "truncated or damaged"),
}


@pytest.mark.parametrize("damage", FILES)
def test_a_bad_file_is_one_sentence_and_runs_nothing(tmp_path, damage):
    make, told = FILES[damage]
    make(tmp_path / "weights.pt")
    with pytest.raises(PolygraftError, match=told) as caught:
        load_state_dict(tmp_path / "weights.pt")
    assert "\n" not in str(caught.value)
