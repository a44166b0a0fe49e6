from pathlib import Path

import numpy as np
import torch

from backbone.feature_cache import CachedFeatures
from benchmarks.captioning.baselines import best_single_caption, nearest_captions
from multimodal.batches import CaptionSet


def caption_set(vectors, texts, rows=None):
    """Images with these feature vectors; ``texts[i]`` belongs to image ``rows[i]`` (the i-th by default)."""
    numbers = np.arange(len(vectors))
    features = CachedFeatures(
        paths=tuple(Path(f"{number}.png") for number in numbers), positions=tuple(numbers.tolist()), unreadable={},
        encoded=0, digest="", rows=numbers, pooled_table=np.array(vectors, dtype=np.float16), grid_table=None,
    )  # fmt: skip
    return CaptionSet(features=features, rows=tuple(rows or range(len(texts))), texts=tuple(texts))


def test_the_nearest_image_lends_its_first_caption():
    training = caption_set([[1, 0], [0, 1]], ["a hill", "the sea", "waves"], rows=[0, 1, 1])
    assert nearest_captions(training, torch.tensor([[0.1, 0.9], [0.9, 0.1]])) == ["the sea", "a hill"]


def test_images_without_a_caption_lend_nothing():
    training = caption_set([[1, 0], [0, 1]], ["a hill"], rows=[0])
    assert nearest_captions(training, torch.tensor([[0.0, 1.0]])) == ["a hill"]


def test_the_best_single_caption_is_the_one_that_fits_most_validation_images():
    training = caption_set(np.eye(4), ["a red dog", "a red dog", "a blue cat here", "something else"])
    validation = caption_set(np.eye(3), ["a blue cat here", "a blue cat here", "one more thing"])
    assert best_single_caption(training, validation) == "a blue cat here"
