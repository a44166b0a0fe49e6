"""The narrator: batches that equal their clips, starts that equal a mean pool, folders that come back as they were."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from backbone.errors import PolygraftError, UsageError
from backbone.generation.config import Decoding
from tests.backbone.tiny import tiny_backbone
from tests.backbone.tiny_clip import tiny_image_encoder
from tests.video.tiny_narrator import TEXTS, moved, parts, random_frames, tiny_config, tiny_narrator
from video.config import QUESTIONS, NarratorConfig
from video.model.projection import ClipBatch, NarrationBatch
from video.narrator import Narrator, evenly

ASKED = ["What is the action in the video?", "", "why"]
KINDS = [
    {"body": body, "retrieval": retrieval}
    for body, retrieval in product(("frozen", "low-rank", "full"), ("mean", "eos", "learned"))
]
KINDS += [{"body": "none"}, {"adapter_layers": 2}, {"body": "none", "adapter_layers": 1}, {"visual_tokens": 3}]
KINDS += [{"order": "frames-first", "retrieval": retrieval} for retrieval in ("mean", "eos", "learned")]


@pytest.fixture(scope="module")
def frames():
    return random_frames([2, 6, 1])


@pytest.fixture
def batch(frames):
    return tiny_narrator().batch(frames, ASKED)


def padded(batch: ClipBatch, left: int, right: int) -> ClipBatch:
    """Return the batch with padding of nonsense at both ends of frames and questions."""
    frames = F.pad(batch.frames, (0, 0, left, right))
    question = F.pad(batch.question, (right, left), value=7)
    mask, asked = F.pad(batch.mask, (left, right)), F.pad(batch.asked, (right, left))
    return ClipBatch(frames=frames.masked_fill(~mask[..., None], 3.0), mask=mask, question=question, asked=asked)


# Batches


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@torch.no_grad()
def test_a_batch_gives_what_each_clip_gives_alone_wherever_padding_stands(frames, kind):
    narrator = moved(tiny_narrator(**kind))
    batch = narrator.batch(frames, ASKED)
    together = narrator.query(batch)
    alone = [narrator.query(narrator.batch([one], [asked])) for one, asked in zip(frames, ASKED, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    for left, right in ((2, 1), (0, 3)):
        torch.testing.assert_close(narrator.query(padded(batch, left, right)), together, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    assert (together[0] - together[1]).norm() > 0.1


def test_a_generated_batch_gives_what_each_clip_gives_alone(frames):
    narrator = moved(tiny_narrator(answer="generate"))
    together = narrator.generate(narrator.batch(frames, ASKED))
    alone = [narrator.generate(narrator.batch([one], [asked]))[0] for one, asked in zip(frames, ASKED, strict=True)]
    assert [row[0].ids for row in together] == [row[0].ids for row in alone]
    assert len({row[0].ids for row in together}) == 3


@torch.no_grad()
def test_nothing_asked_is_a_question_too(frames):
    narrator = moved(tiny_narrator())
    batch = narrator.batch(frames, [""] * 3)
    assert batch.question.shape == (3, 0)
    unasked = narrator.query(batch)
    assert unasked.isfinite().all()
    asked = narrator.query(narrator.batch(frames, [QUESTIONS["next"]] * 3))
    assert ((asked - unasked).norm(dim=1) > 1e-3).all()


@torch.no_grad()
def test_the_order_of_frames_matters_to_the_language_model_and_not_to_the_mean(frames):
    clip, turned = frames[1:2], [frames[1].flip(0)]
    for narrator, differs in ((moved(tiny_narrator()), True), (moved(tiny_narrator(body="none")), False)):
        one, other = (narrator.query(narrator.batch(own, [""])) for own in (clip, turned))
        assert bool((one - other).norm() > 1e-3) == differs


def test_the_mean_token_is_that_of_the_real_frames(batch):
    narrator = tiny_narrator(order="frames-first")
    embeds, mask, _ = narrator.prompt(batch)
    visual = narrator.projection.calibration(narrator.projection.frames(batch.frames[0, :2]))
    torch.testing.assert_close(embeds[0, -1], visual.mean(dim=0))
    assert mask[:, -2:].all()
    assert mask.sum(dim=1).tolist() == (batch.mask.sum(dim=1) + batch.asked.sum(dim=1) + 2).tolist()
    end = narrator.backbone.embed(torch.tensor([narrator.backbone.eos_id]))[0]
    assert torch.equal(embeds[:, -2], end.expand(3, -1))


def test_as_published_frames_come_first_then_the_question_then_the_end(batch):
    narrator = tiny_narrator(retrieval="eos", visual_tokens=2, order="frames-first")
    embeds, mask, _ = narrator.prompt(batch)
    assert embeds.shape[1] == 2 * batch.frames.shape[1] + batch.question.shape[1] + 1
    asked = narrator.backbone.embed(batch.question)
    assert torch.equal(embeds[:, 12:-1], asked)
    assert mask[2].tolist() == [True] * 2 + [False] * 10 + batch.asked[2].tolist() + [True]


def test_the_question_comes_first_with_its_end_where_another_token_retrieves(batch):
    for kind, before in (("mean", 1), ("learned", 1), ("eos", 0)):
        narrator = tiny_narrator(retrieval=kind)
        embeds, mask, _ = narrator.prompt(batch)
        asked, frames = batch.question.shape[1], batch.frames.shape[1]
        assert embeds.shape[1] == asked + frames + 2 - (kind == "eos")
        assert torch.equal(embeds[:, :asked], narrator.backbone.embed(batch.question))
        end = narrator.backbone.embed(torch.tensor([narrator.backbone.eos_id]))[0]
        assert torch.equal(embeds[0, asked if before else -1], end)
        assert torch.equal(mask[:, asked + before :][:, :frames], batch.mask)
        assert mask[:, -1].all()


@pytest.mark.parametrize("body", ["frozen", "low-rank"])
@torch.no_grad()
def test_a_question_is_read_once_for_all_clips_that_are_asked_it(frames, body, monkeypatch):
    narrator = moved(tiny_narrator(body=body))
    lengths, hidden = [], narrator.backbone.hidden

    def counted(embeds, *args, **kwargs):
        lengths.append(tuple(embeds.shape[:2]))
        return hidden(embeds, *args, **kwargs)

    monkeypatch.setattr(type(narrator.backbone), "hidden", lambda own, *args, **kwargs: counted(*args, **kwargs))
    same = [QUESTIONS["now"]] * 3
    words = narrator.batch(frames, same).question.shape[1] + 1
    first = narrator.query(narrator.batch(frames, same))
    assert lengths == [(1, words), (3, 7)]
    assert torch.equal(narrator.query(narrator.batch(frames, same)), first)
    narrator.query(narrator.batch(frames[:1], same[:1]))
    assert lengths[2:] == [(3, 7), (1, 3)]
    narrator.query(narrator.batch(frames, ["why", *same[:2]]))
    assert lengths[4:] == [(2, words), (3, 7)]
    with torch.enable_grad():
        torch.testing.assert_close(narrator.query(narrator.batch(frames, same)), first, atol=1e-5, rtol=0)


@torch.no_grad()
def test_questions_are_read_again_by_changed_weights(frames):
    narrator = moved(tiny_narrator())
    batch = narrator.batch(frames, ASKED)
    narrator.query(batch)
    moved(narrator, seed=6)
    with torch.enable_grad():
        expected = narrator.query(batch)
    torch.testing.assert_close(narrator.query(batch), expected, atol=1e-5, rtol=0)


def test_long_clips_are_thinned_evenly_and_empty_ones_refused():
    assert evenly(torch.arange(10.0)[:, None], 4)[:, 0].tolist() == [0, 3, 6, 9]
    assert evenly(torch.arange(3.0)[:, None], 4).shape == (3, 1)
    narrator = tiny_narrator()
    assert narrator.batch(random_frames([40]), [""]).frames.shape == (1, 6, 24)
    assert narrator.batch(random_frames([1]), ["word " * 100]).question.shape == (1, 24)
    with pytest.raises(PolygraftError, match="a clip has no frame"):
        narrator.batch(random_frames([2, 0]), ["", ""])


# The start


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@torch.no_grad()
def test_a_residual_narrator_begins_as_the_mean_of_the_frames(frames, kind):
    narrator = tiny_narrator(**kind)
    means = torch.stack([F.normalize(own.mean(dim=0), dim=0) for own in frames])
    torch.testing.assert_close(narrator.query(narrator.batch(frames, ASKED)), means, atol=1e-6, rtol=0)


@torch.no_grad()
def test_without_the_residual_it_does_not(frames):
    narrator = tiny_narrator(residual=False)
    means = torch.stack([F.normalize(own.mean(dim=0), dim=0) for own in frames])
    assert ((narrator.query(narrator.batch(frames, ASKED)) - means).norm(dim=1) > 0.1).all()


def test_a_narrator_is_built_in_evaluation_mode(frames):
    narrator = moved(tiny_narrator(adapter_layers=1))
    batch = narrator.batch(frames, ASKED)
    assert not narrator.projection.training
    assert torch.equal(narrator.query(batch), narrator.query(batch))


@torch.no_grad()
def test_changed_weights_are_noticed_though_the_merged_ones_are_kept(frames):
    narrator = moved(tiny_narrator())
    batch = narrator.batch(frames, ASKED)
    before, merged = narrator.query(batch), narrator.language_model.weights
    assert all(narrator.language_model.weights[name] is merged[name] for name in merged)
    with torch.enable_grad():
        torch.testing.assert_close(narrator.query(batch), before)
    moved(narrator, seed=6)
    assert (narrator.query(batch) - before).norm() > 1e-3


# Losses


def narrations(narrator: Narrator, batch: ClipBatch, texts: list[str]) -> NarrationBatch:
    tokens = narrator.backbone.encode(texts, max_tokens=12)
    rows = torch.tensor([TEXTS.index(text) for text in texts])
    return NarrationBatch(clips=batch, rows=rows, ids=tokens.ids, mask=tokens.mask)


def test_the_generative_baseline_has_the_loss_of_the_language_model(batch):
    narrator = tiny_narrator(answer="generate", body="frozen")
    target = narrations(narrator, batch, [TEXTS[3], TEXTS[20], TEXTS[0]])
    prefix, mask, _ = narrator.prompt(batch)
    expected = narrator.backbone.loss(prefix, target.ids, target.mask, prefix_mask=mask)
    torch.testing.assert_close(narrator.loss(target, torch.zeros(0, 0)), expected)


@pytest.mark.parametrize("body", ["low-rank", "full"])
def test_a_tuned_baseline_begins_with_that_loss_and_learns(batch, body):
    loss = {}
    for kind in ("frozen", body):
        narrator = tiny_narrator(answer="generate", body=kind)
        target = narrations(narrator, batch, [TEXTS[3], TEXTS[20], TEXTS[0]])
        loss[kind] = narrator.loss(target, torch.zeros(0, 0))[0]
    torch.testing.assert_close(loss[body], loss["frozen"])
    parameters = list(narrator.projection.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        narrator.loss(target, torch.zeros(0, 0))[0].backward()
        assert all(parameter.grad is not None for parameter in parameters)
        optimizer.step()
    assert narrator.loss(target, torch.zeros(0, 0))[0] < 0.5 * loss["frozen"]


@pytest.mark.parametrize("kind", [*KINDS, {"loss": "batch"}], ids=lambda kind: "-".join(map(str, kind.values())))
def test_every_weight_of_a_retriever_gets_a_gradient(batch, kind):
    narrator = moved(tiny_narrator(**kind))
    vocabulary = parts()[0].encode_text(TEXTS).half()
    loss, weight = narrator.loss(narrations(narrator, batch, [TEXTS[3], TEXTS[20], TEXTS[3]]), vocabulary)
    loss.backward()
    assert weight == 3
    assert all(float(p.grad.norm()) > 0 for p in narrator.projection.parameters() if p.requires_grad)


def test_a_fixed_temperature_is_not_learned():
    narrator = tiny_narrator(learn_temperature=False, temperature=0.02)
    assert not narrator.projection.temperature.requires_grad
    assert float(narrator.projection.scale) == pytest.approx(50)
    colder = tiny_narrator(temperature=0.01).projection
    with torch.no_grad():
        colder.temperature -= 1
    assert float(colder.scale.detach()) == pytest.approx(100)


# Folders


@pytest.mark.parametrize(
    "kind", [{}, {"body": "full"}, {"body": "none"}, {"retrieval": "learned", "adapter_layers": 1}], ids=str
)
@torch.no_grad()
def test_a_saved_narrator_comes_back_the_same(tmp_path, frames, kind):
    narrator = moved(tiny_narrator(**kind))
    narrator.save_pretrained(tmp_path / "folder")
    encoder, backbone = parts()
    loaded = Narrator.from_pretrained(tmp_path / "folder", backbone=backbone, encoder=encoder)
    assert loaded.config == narrator.config
    batch = narrator.batch(frames, ASKED)
    assert torch.equal(loaded.query(batch), narrator.query(batch))
    assert set(load_file(tmp_path / "folder" / "model.safetensors")) == set(narrator.projection.state_dict())


def test_a_saved_baseline_writes_the_same(tmp_path, frames):
    narrator = moved(tiny_narrator(answer="generate"))
    narrator.save_pretrained(tmp_path / "folder")
    encoder, backbone = parts()
    loaded = Narrator.from_pretrained(tmp_path / "folder", backbone=backbone, encoder=encoder)
    batch = narrator.batch(frames, ASKED)
    decoding = Decoding(max_tokens=5)
    assert loaded.generate(batch, decoding) == narrator.generate(batch, decoding)


def test_another_frozen_base_is_refused_by_name(tmp_path):
    tiny_narrator().save_pretrained(tmp_path / "folder")
    encoder, backbone = parts()
    with pytest.raises(PolygraftError, match="language_model 'tiny'"):
        Narrator.from_pretrained(tmp_path / "folder", backbone=tiny_backbone(seed=1), encoder=encoder)
    with pytest.raises(PolygraftError, match=r"image_encoder 'tiny-0'.*'tiny-1'"):
        Narrator.from_pretrained(tmp_path / "folder", backbone=backbone, encoder=tiny_image_encoder(seed=1))


def test_weights_with_a_missing_name_are_refused(tmp_path):
    tiny_narrator().save_pretrained(tmp_path / "folder")
    file = tmp_path / "folder" / "model.safetensors"
    tensors = load_file(file)
    del tensors["temperature"]
    save_file(tensors, file)
    encoder, backbone = parts()
    with pytest.raises(PolygraftError, match="missing: temperature"):
        Narrator.from_pretrained(tmp_path / "folder", backbone=backbone, encoder=encoder)


# What is refused


def test_other_widths_are_refused():
    encoder, backbone = parts()
    narrator = tiny_narrator()
    for changes, told in (
        ({"image_width": 99, "text_width": 32}, "image encoder of width 99, but 'tiny-0' has 24"),
        ({"image_width": 24, "text_width": 99}, "language model of width 99, but 'tiny' has 32"),
    ):
        with pytest.raises(PolygraftError, match=told):
            Narrator(encoder, backbone, narrator.projection, NarratorConfig(**changes))


def test_more_than_the_language_model_reads_is_refused():
    tiny_narrator(max_frames=38)
    with pytest.raises(PolygraftError, match="65 positions.* 64"):
        tiny_narrator(max_frames=39)
    with pytest.raises(PolygraftError, match="need 67 positions"):
        tiny_narrator(max_frames=30, answer="generate")
    tiny_narrator(max_frames=99, body="none")


def test_who_retrieves_does_not_write_and_who_writes_does_not_retrieve(batch):
    with pytest.raises(PolygraftError, match="--answer generate"):
        tiny_narrator().generate(batch)
    with pytest.raises(PolygraftError, match="--answer retrieve"):
        tiny_narrator(answer="generate").query(batch)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rank": 0}, "rank is 0, allowed is at least 1"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"adapter_layers": -1}, "adapter_layers is -1"),
        ({"temperature": 0.001}, "temperature is 0.001, allowed is 0.01 to 1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"answer": "generate", "body": "none"}, "body none contradicts it"),
    ],
)
def test_settings_that_contradict_are_refused(changes, told):
    with pytest.raises(UsageError, match=told):
        tiny_config(**changes)


def test_the_questions_are_those_of_the_release():
    assert QUESTIONS == {
        "now": "What is the action in the video?",
        "next": "What is the next action in the video?",
        "before": "What is the previous action in the video?",
        "overall": "What is the overall activity in the video?",
    }
