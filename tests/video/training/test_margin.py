"""The line between known and new: drawn by held-out clips, kept with the narrator, absent where there are none."""

import pytest
import torch

from tests.video.tiny_narrator import TEXTS, clip_set, moved, parts, planted_set, tiny_narrator
from video.narrator import Narrator
from video.training.train import LEAST, TrainConfig, draw_line, train_narrator
from video.vocabulary.novelty import NEIGHBOURS, FixedThreshold, auroc
from video.vocabulary.vectors import search


@pytest.fixture(scope="module")
def trained():
    config = TrainConfig(steps=20, batch_size=36, lr=1e-2)
    return train_narrator(tiny_narrator(), planted_set(copies=3), config, validation=planted_set(seed=7)).narrator


def test_the_line_tells_what_the_vocabulary_lacks():
    narrator = tiny_narrator(body="none")  # its query is the mean frame
    vectors = narrator.text_encoder.half(TEXTS).float()
    line = draw_line(narrator, clip_set([row[None] for row in vectors], TEXTS), ())
    found = search(narrator.text_encoder.half(TEXTS[::2]), vectors, NEIGHBOURS).scores
    newness = line.novelty(found)
    assert auroc(newness[::2], newness[1::2]) == 1
    assert line.is_novel(found).tolist() == [False, True] * 18


def test_training_keeps_the_line_that_the_held_out_clips_draw(trained, tmp_path):
    line = draw_line(trained, planted_set(seed=7), TEXTS)
    assert trained.config.novelty == pytest.approx((*line.weights, line.bias, line.threshold))
    encoder, backbone = parts()
    again = Narrator.from_pretrained(trained.save_pretrained(tmp_path / "n"), encoder=encoder, backbone=backbone)
    assert again.novelty == trained.novelty


def test_few_clips_draw_no_line():
    config = TrainConfig(steps=2, batch_size=4)
    few = planted_set(seed=7).take(range(LEAST - 1))
    for held in (None, few):
        narrator = train_narrator(tiny_narrator(), planted_set(), config, validation=held).narrator
        assert narrator.config.novelty == ()
        assert narrator.novelty == FixedThreshold()


def test_a_narration_is_left_out_whether_or_not_it_was_found():
    # more texts than are looked at: a clip whose own is not among its hits loses the last of these
    line = draw_line(moved(tiny_narrator()), planted_set(seed=3), ("one more", "and another"))
    assert all(map(torch.isfinite, torch.tensor([*line.weights, line.bias])))
