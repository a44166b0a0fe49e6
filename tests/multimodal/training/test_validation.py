"""The collapse guard, and the figures by which a training is steered."""

import pytest
import torch

from backbone.errors import PolygraftError
from backbone.feature_cache import FeatureCache
from backbone.training.logger import read_log
from backbone.training.loop import TrainConfig
from multimodal.batches import gather
from multimodal.data.posts import Post
from multimodal.training.train import describe, train_captioner
from multimodal.training.validation import CaptionValidation, CollapseError, CollapseGuard, distinct_share
from tests.multimodal.tiny_captioner import TEXTS, tiny_captioner, tiny_set


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_set(tmp_path_factory.mktemp("posts"), tiny_captioner())


def collapsed_captioner():
    """Return a captioner whose mapper gives every image the same prefix, whatever the training does."""
    captioner = tiny_captioner()
    captioner.mapper.register_forward_hook(lambda _, __, prefix: prefix * 0 + prefix.mean(dim=0, keepdim=True))
    return captioner


def test_distinct_texts_are_counted_without_case_and_spacing():
    assert distinct_share(["A cat", "a  cat ", "a dog", "a bird"]) == 0.75
    assert distinct_share([]) == 0.0


def test_the_guard_lets_a_low_start_and_a_recovery_pass():
    guard = CollapseGuard(TEXTS, grace=2)
    for share in (0.03, 0.03, 0.5, 0.03, 0.03, 0.9):
        guard.check(share)


def test_the_guard_stops_what_stays_low():
    guard = CollapseGuard(TEXTS, grace=2)
    guard.check(0.1)
    guard.check(0.2)
    with pytest.raises(CollapseError, match="3 different captions for 32"):
        guard.check(0.1)


def test_the_guard_asks_for_no_more_captions_than_the_data_has():
    two = CollapseGuard(["cat", "dog"] * 16, grace=0)
    two.check(2 / 32)
    with pytest.raises(CollapseError):
        CollapseGuard(TEXTS, grace=0).check(2 / 32)


def test_a_collapsed_captioner_stops_its_training(data):
    config = TrainConfig(steps=50, batch_size=8, lr=1e-3, eval_every=2)
    with pytest.raises(CollapseError, match="1 different captions for 32"):
        train_captioner(collapsed_captioner(), data, config, validation=data)


def test_a_collapse_found_at_the_end_is_told_in_the_card(data):
    trained = train_captioner(collapsed_captioner(), data, TrainConfig(steps=2, batch_size=8), validation=data)
    assert trained.collapsed
    assert "It has collapsed" in describe(trained, title="t", source="s").limits


def test_a_healthy_training_passes_the_guard_and_improves(data, tmp_path):
    config = TrainConfig(steps=60, batch_size=32, lr=1e-2, eval_every=10)
    trained = train_captioner(tiny_captioner(), data, config, validation=data, folder=tmp_path)
    scores = [line["score"] for line in read_log(tmp_path / "log.jsonl") if "score" in line]
    assert not trained.collapsed
    assert trained.result.metrics["score"] == max(scores) > scores[0]


def test_the_validation_loss_is_the_mean_over_all_tokens(data):
    captioner = tiny_captioner()
    figures = CaptionValidation(captioner, data, batch_size=5)()
    assert figures["loss"] == pytest.approx(CaptionValidation(captioner, data, batch_size=32)()["loss"], rel=1e-5)


def test_equal_captions_are_ranked_by_their_loss(data):
    captioner = tiny_captioner()
    validation = CaptionValidation(captioner, data, grace=9)
    before = validation()
    with torch.no_grad():
        captioner.mapper.calibration.gain.mul_(1.001)
    after = validation()
    assert (after["loss"] != before["loss"]) and (after["cider_d"] == before["cider_d"])
    assert (after["score"] > before["score"]) == (after["loss"] < before["loss"])


def test_texts_are_compared_on_images_spread_over_the_data(data):
    validation = CaptionValidation(tiny_captioner(), data, images=8)
    assert validation._references == [[TEXTS[i]] for i in range(0, 32, 4)]


def test_the_card_names_data_and_figures(data):
    trained = train_captioner(tiny_captioner(), data, TrainConfig(steps=1, batch_size=8), validation=data)
    card = describe(trained, title="Tiny", source="posts.jsonl")
    assert "32 captions of 32 images from `posts.jsonl`" in card.data
    assert "| cider_d |" in card.metrics


def test_images_none_of_which_can_be_read_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    told = []
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    with pytest.raises(PolygraftError, match="none of the 1 "):
        gather([Post(image=tmp_path / "a.png", text="x")], cache, report=told.append)
    assert len(told) == 1
