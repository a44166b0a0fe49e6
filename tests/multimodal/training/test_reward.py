"""Training towards CIDEr-D: rewards, their gradient, and what a few steps do to captions."""

from statistics import fmean

import pytest
import torch

from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.training.config import TrainConfig
from multimodal.captioner import Captioner
from multimodal.metrics import ptb
from multimodal.metrics.bleu_cider import CiderD
from multimodal.training.reward import ImageBatches, RewardObjective
from multimodal.training.train import train_captioner
from tests.multimodal.tiny_captioner import tiny_captioner, tiny_set

SMALL = {"words": 8, "past_posts": 2, "past_tokens": 8, "mapping_layers": 1, "fusion_layers": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_set(tmp_path_factory.mktemp("posts"), tiny_captioner())


@pytest.fixture(scope="module")
def learned(data):
    """A captioner that has learned a little: its samples differ and some are right."""
    torch.manual_seed(0)
    config = TrainConfig(steps=80, batch_size=16, lr=1e-2)
    return train_captioner(tiny_captioner(), data, config).captioner


def copied(captioner: Captioner) -> Captioner:
    fresh = tiny_captioner()
    fresh.mapper.load_state_dict(captioner.mapper.state_dict())
    return fresh


def sampled_cider(captioner, data):
    """Return the mean CIDEr-D of twenty samples of each image: what is maximised."""
    cider = CiderD([ptb.tokenize(texts) for texts in data.references(range(len(data.features)))])
    decoding = Decoding(temperature=1.0, num_return=20, seed=5, max_tokens=16)
    rows = captioner.caption(data.features.take(), decoding)
    return fmean(value for image, row in enumerate(rows) for value in cider.values(image, ptb.tokenize(row)))


def test_the_values_of_one_image_are_those_of_the_whole_set():
    references = [["a red cat", "the cat"], ["a dog runs fast"], ["a small bird sits here"]]
    cider = CiderD(references)
    texts = ["a red cat", "a dog runs", "a cat sits here"]
    assert [cider.values(at, [text])[0] for at, text in enumerate(texts)] == cider.each(texts)
    assert cider.values(0, texts) == [cider.values(0, [text])[0] for text in texts]
    with pytest.raises(ValueError, match="2 captions of 3 images"):
        cider.each(texts[:2])


def test_the_loss_is_that_of_the_samples_weighed_by_their_advantages(learned, data, monkeypatch):
    captioner = copied(learned)
    drawn = []
    generate = captioner.backbone.generate
    monkeypatch.setattr(captioner.backbone, "generate", lambda *a, **k: drawn.append(generate(*a, **k)) or drawn[-1])
    objective = RewardObjective(captioner, data)
    batch = ImageBatches(data).collate([3, 8])
    torch.manual_seed(0)
    loss, weight = objective(batch)
    cider = CiderD([ptb.tokenize(texts) for texts in data.references(range(len(data.features)))])
    expected = 0.0
    for image, pooled, row in zip(batch.images, batch.pooled, drawn[0], strict=True):
        rewards = [cider.values(image, ptb.tokenize([one.text]))[0] for one in row]
        for one, reward in zip(row, rewards, strict=True):
            others = (sum(rewards) - reward) / 4
            ids = torch.tensor([[*one.ids, captioner.backbone.eos_id][:16]])
            with torch.no_grad():
                tokens = captioner.token_scores(captioner.prefix(pooled[None]), ids, ids > -1)
            expected -= (reward - others) * float(tokens.sum())
    assert weight == 10
    assert any(len(set(row)) > 1 for row in drawn[0])
    assert loss.item() == pytest.approx(expected, rel=1e-3)


def test_a_few_steps_raise_cider_and_change_no_bit_of_the_frozen_parts(learned, data):
    captioner = copied(learned)
    frozen = [p.clone() for m in (captioner.backbone.model, captioner.encoder.model) for p in m.parameters()]
    before = sampled_cider(captioner, data)
    config = TrainConfig(steps=60, batch_size=32, lr=2e-3)
    first, again = (train_captioner(copied(learned), data, config, objective="cider") for _ in range(2))
    assert sampled_cider(first.captioner, data) > 1.25 * before
    after = [p for m in (captioner.backbone.model, captioner.encoder.model) for p in m.parameters()]
    assert all(torch.equal(old, new) for old, new in zip(frozen, after, strict=True))
    assert all(torch.equal(first.result.tensors[name], t) for name, t in again.result.tensors.items()), "same seed"


def test_images_without_captions_are_no_samples(data):
    part = data.take([row for row in range(len(data.rows)) if row not in (2, 5)])
    batches = ImageBatches(part)
    assert len(batches) == len(data.rows) - 2
    assert batches.collate([1, 2]).images == (1, 3)
    assert batches.digest != ImageBatches(data).digest


def test_a_captioner_that_knows_users_is_refused(data):
    captioner = tiny_captioner(**{"mapper": "user"} | SMALL)
    with pytest.raises(PolygraftError, match="knows users"):
        RewardObjective(captioner, data)
