"""The captioner: its loss, frozen parts that stay frozen, folders that come back as they were, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.gpt2 import Backbone
from backbone.training.loop import TrainConfig, fit
from multimodal.batches import CaptionBatches
from multimodal.captioner import Captioner
from multimodal.config import CaptionerConfig
from multimodal.training.train import CaptionObjective, train_captioner
from tests.backbone.tiny import predicted_logits, tiny_backbone
from tests.backbone.tiny_clip import tiny_image_encoder
from tests.multimodal.tiny_captioner import paint, tiny_captioner, tiny_config, tiny_set, write_captioner, write_starter

KINDS = ("mlp", "transformer", "query")


@pytest.fixture(scope="module")
def captioner():
    return tiny_captioner()


@pytest.fixture(scope="module")
def data(tmp_path_factory, captioner):
    return tiny_set(tmp_path_factory.mktemp("posts"), captioner)


@pytest.fixture(scope="module")
def images():
    return [paint(seed) for seed in range(5)]


@pytest.fixture
def starter(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYGRAFT_STARTER", str(tmp_path / "starter"))
    (tmp_path / "starter").mkdir()
    return write_starter(tmp_path / "starter")


# The loss


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_equals_one_written_out_token_by_token(data, kind):
    captioner = tiny_captioner(mapper=kind)
    batch = CaptionBatches(data, captioner.backbone, 16).collate([3, 0, 7])
    total = 0.0
    for row in range(3):
        ids = batch.ids[row][batch.mask[row]]
        prefix = captioner.prefix(batch.pooled[row : row + 1]).embeds
        for position, target in enumerate(ids):
            embeds = torch.cat([prefix, captioner.backbone.embed(ids[None, :position])], dim=1)
            logits = captioner.backbone.model(inputs_embeds=embeds).logits[0, -1]
            total -= logits.log_softmax(dim=0)[target].item()
    loss, weight = captioner.loss(batch)
    assert loss.item() == pytest.approx(total, rel=1e-4)
    assert weight == batch.mask.sum()


def test_a_prompt_is_read_between_prefix_and_caption(data, images, tmp_path):
    plain, prompted = tiny_captioner(), tiny_captioner(prompt="red cat\n")
    prompted.mapper.load_state_dict(plain.mapper.state_dict())
    batch = CaptionBatches(data, plain.backbone, 16).collate([3, 0])
    ids = plain.backbone.encode(["red cat\n"], max_tokens=16, eos=False).ids
    prefix = plain.prefix(batch.pooled).embeds
    expected = torch.cat([prefix, plain.backbone.embed(ids).expand(2, -1, -1)], dim=1)
    assert torch.equal(prompted.prefix(batch.pooled).embeds, expected)
    total, _ = plain.backbone.loss(expected, batch.ids, batch.mask)
    torch.testing.assert_close(prompted.loss(batch)[0], total)
    frozen = {"backbone": plain.backbone, "encoder": plain.encoder}
    loaded = Captioner.from_pretrained(prompted.save_pretrained(tmp_path / "folder"), **frozen)
    assert loaded.caption(images) == prompted.caption(images)
    with pytest.raises(PolygraftError, match="tokens of prompt .* 64"):
        tiny_captioner(prompt="red cat\n" * 30)


def test_queries_that_read_the_grid_tell_images_apart_by_it(tmp_path, images):
    captioner = tiny_captioner(mapper="query", features="grid", width=8)
    features = captioner.encoder.encode(images, grid=True)
    one = captioner.prefix(features).embeds
    other = captioner.prefix(replace(features, grid=features.grid.flip(0))).embeds
    assert one.shape == (5, 3, captioner.backbone.width)
    assert (one - other).abs().amax(dim=(1, 2))[[0, 1, 3, 4]].min() > 1e-4 > (one - other)[2].abs().max()
    with pytest.raises(PolygraftError, match="grid features"):
        captioner.prefix(features.pooled)
    frozen = {"backbone": captioner.backbone, "encoder": captioner.encoder}
    loaded = Captioner.from_pretrained(captioner.save_pretrained(tmp_path / "folder"), **frozen)
    assert loaded.caption(images) == captioner.caption(features)


def test_padding_changes_no_loss(captioner, data):
    batches = CaptionBatches(data, captioner.backbone, 16)
    together, _ = captioner.loss(batches.collate(range(8)))
    alone = [captioner.loss(batches.collate([i]))[0] for i in range(8)]
    torch.testing.assert_close(together, torch.stack(alone).sum())


def test_captions_are_scored_to_the_end_of_text_and_cut_without_it(captioner, data):
    eos = captioner.backbone.eos_id
    for limit in (16, 4):
        batch = CaptionBatches(data, captioner.backbone, limit).collate([0])
        ids = batch.ids[0][batch.mask[0]].tolist()
        assert (ids[-1] == eos, len(ids) <= limit) == (limit == 16, True)


def test_the_objective_is_the_loss_and_trains_the_mapper_alone(captioner, data):
    objective = CaptionObjective(captioner)
    batch = CaptionBatches(data, captioner.backbone, 16).collate([1, 2])
    torch.testing.assert_close(objective(batch), captioner.loss(batch))
    assert {name.split(".")[0] for name in objective.state_dict()} == {"mapper"}
    assert objective.health()["prefix_over_embedding"] == pytest.approx(1.0, rel=0.1)


def test_batches_are_a_function_of_their_indices(captioner, data):
    batches = [CaptionBatches(data, captioner.backbone, 16) for _ in range(2)]
    first, second = (one.collate([4, 9]) for one in batches)
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.pooled, data.features.take([4, 9]).pooled)
    assert batches[0].digest == batches[1].digest != CaptionBatches(data, captioner.backbone, 5).digest


def test_images_that_are_held_out_leave_the_training_under_any_name(tmp_path, captioner):
    data = tiny_set(tmp_path, captioner, count=6)
    (tmp_path / "copy.png").write_bytes((tmp_path / "02.png").read_bytes())
    held = tiny_set(tmp_path, captioner, count=2)
    assert data.without(held).texts == data.texts[2:]


# Training


@pytest.fixture(scope="module")
def overfit(data):
    config = TrainConfig(steps=200, batch_size=32, lr=1e-2)
    return train_captioner(tiny_captioner(), data, config).captioner


def token_accuracy(captioner, data, shift=0):
    """Share of tokens that are the likeliest one after the true ones, with each image's own or another's features."""
    batch = CaptionBatches(data, captioner.backbone, 16).collate(range(32))
    with torch.no_grad():
        logits = predicted_logits(
            captioner.backbone, captioner.prefix(batch.pooled.roll(shift, dims=0)).embeds, batch.ids
        )
    right = logits.argmax(dim=-1) == batch.ids
    return right[batch.mask].float().mean().item()


def test_32_pairs_are_learned_by_heart_and_still_known_after_loading(overfit, data, tmp_path):
    overfit.save_pretrained(tmp_path / "folder")
    parts = {"backbone": overfit.backbone, "encoder": overfit.encoder}
    loaded = Captioner.from_pretrained(tmp_path / "folder", **parts)
    assert token_accuracy(loaded, data) > 0.95
    assert [row[0] for row in loaded.caption(data.features.take().pooled)] == list(data.texts)


def test_another_images_features_lose(overfit, data):
    assert token_accuracy(overfit, data, shift=1) < token_accuracy(overfit, data) - 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_training_changes_the_mapper_and_no_bit_of_the_frozen_parts(data, kind):
    captioner = tiny_captioner(mapper=kind)
    before = [p.clone() for m in (captioner.backbone.model, captioner.encoder.model) for p in m.parameters()]
    mapper = {name: p.clone() for name, p in captioner.mapper.named_parameters()}
    batches = CaptionBatches(data, captioner.backbone, 16)
    fit(CaptionObjective(captioner), batches, TrainConfig(steps=50, batch_size=4, lr=1e-3))
    after = [p for m in (captioner.backbone.model, captioner.encoder.model) for p in m.parameters()]
    assert all(torch.equal(old, new) and new.grad is None for old, new in zip(before, after, strict=True))
    assert all(not torch.equal(mapper[name], p) for name, p in captioner.mapper.named_parameters())


# Captions


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(beams=3, num_return=2), Decoding(contrastive=0.6)])
def test_a_batch_of_images_gives_what_each_gives_alone(captioner, images, decoding):
    together = captioner.caption(images, decoding)
    assert together == [captioner.caption([image], decoding)[0] for image in images]
    assert together == captioner.caption(images, decoding, batch_size=2)
    assert {len(row) for row in together} == {decoding.num_return}


def test_features_are_captioned_like_their_images(captioner, images):
    pooled = captioner.encoder.encode(images).pooled
    assert captioner.caption(pooled) == captioner.caption(images)


def test_files_and_bytes_are_captioned_like_images(captioner, images, tmp_path):
    images[0].save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    assert captioner.caption([path, str(path), path.read_bytes()]) == captioner.caption([images[0]]) * 3


def test_no_images_have_no_captions(captioner):
    assert captioner.caption([]) == []


# Folders


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("calibrate", [True, False])
def test_a_saved_captioner_comes_back_the_same(tmp_path, kind, calibrate, images):
    captioner = tiny_captioner(mapper=kind, calibrate=calibrate)
    captioner.save_pretrained(tmp_path / "folder")
    loaded = Captioner.from_pretrained(tmp_path / "folder", backbone=captioner.backbone, encoder=captioner.encoder)
    assert loaded.config == captioner.config
    assert loaded.caption(images) == captioner.caption(images)
    names = set(load_file(tmp_path / "folder" / "model.safetensors"))
    assert names == set(captioner.mapper.state_dict())


def test_the_starter_finds_its_frozen_parts_by_name(starter, images):
    write_captioner(starter)
    captioner = Captioner.from_pretrained(device="cpu")
    assert (captioner.backbone.name, captioner.encoder.name) == ("starter", "starter")
    assert len(captioner.caption(images)) == 5


def saved_on_folders(starter, folder):
    """Save a captioner whose frozen parts were loaded from folders named relative to the working directory."""
    encoder, backbone = (
        ImageEncoder.from_pretrained("clip", device="cpu"),
        Backbone.from_pretrained("gpt2", device="cpu"),
    )
    Captioner.build(encoder, backbone, tiny_config()).save_pretrained(folder)


def test_frozen_folders_are_found_from_another_working_directory(starter, tmp_path, monkeypatch):
    monkeypatch.chdir(starter)
    saved_on_folders(starter, tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    assert Captioner.from_pretrained(tmp_path / "folder", device="cpu").backbone.name == str(starter / "gpt2")


def test_a_frozen_folder_that_moved_is_named_with_the_option_that_helps(starter, tmp_path, monkeypatch):
    monkeypatch.chdir(starter)
    saved_on_folders(starter, tmp_path / "folder")
    (starter / "gpt2").rename(starter / "moved")
    with pytest.raises(PolygraftError, match="gpt2.*--backbone"):
        Captioner.from_pretrained(tmp_path / "folder", device="cpu")
    moved = Captioner.from_pretrained(tmp_path / "folder", device="cpu", backbone=str(starter / "moved"))
    assert moved.backbone.name == str(starter / "moved")


def test_another_frozen_base_is_refused_by_name(captioner, tmp_path):
    captioner.save_pretrained(tmp_path / "folder")
    own = {"backbone": captioner.backbone, "encoder": captioner.encoder}
    others = {"backbone": tiny_backbone(seed=1), "encoder": tiny_image_encoder(seed=1)}
    for option, named in (("backbone", "language_model 'tiny'"), ("encoder", "image_encoder 'tiny-0'.*'tiny-1'")):
        with pytest.raises(PolygraftError, match=f"trained on the {named}"):
            Captioner.from_pretrained(tmp_path / "folder", **own | {option: others[option]})


def damage_config(folder, **changes):
    content = json.loads((folder / "config.json").read_text())
    content["config"] |= changes
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"colour": 1}, "'colour'.*it knows mapper, prefix_length"),
        ({"mapper": "rnn"}, "mapper is 'rnn'"),
        ({"prefix_length": 4}, "weights do not fit"),
        ({"text_width": 64}, "weights do not fit"),
        ({"prefix_length": 0}, "prefix_length is 0"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(captioner, tmp_path, changes, told):
    captioner.save_pretrained(tmp_path / "folder")
    damage_config(tmp_path / "folder", **changes)
    with pytest.raises(PolygraftError, match=told):
        Captioner.from_pretrained(tmp_path / "folder", backbone=captioner.backbone, encoder=captioner.encoder)


def test_a_mapper_of_other_widths_is_refused(captioner):
    config = CaptionerConfig(image_width=99, text_width=32)
    with pytest.raises(PolygraftError, match="99, but 'tiny-0' has 24"):
        Captioner(captioner.encoder, captioner.backbone, captioner.mapper, config)


def test_a_prefix_longer_than_the_language_model_reads_is_refused():
    with pytest.raises(PolygraftError, match="96 positions.* 64"):
        tiny_captioner(prefix_length=80)


def test_weights_with_a_missing_name_are_refused(captioner, tmp_path):
    captioner.save_pretrained(tmp_path / "folder")
    file = tmp_path / "folder" / "model.safetensors"
    tensors = load_file(file)
    del tensors["calibration.gain"]
    save_file(tensors, file)
    with pytest.raises(PolygraftError, match=r"missing: calibration\.gain"):
        Captioner.from_pretrained(tmp_path / "folder", backbone=captioner.backbone, encoder=captioner.encoder)
