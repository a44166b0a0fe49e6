"""What a GPU must give as the CPU does; everything here is tested on the CPU elsewhere."""

import pytest
import torch

from backbone.decoding import Decoding
from backbone.gpt2 import Backbone
from backbone.training import TrainConfig, fit
from tests.backbone.tiny import tiny_backbone
from tests.backbone.tiny_clip import tiny_image_encoder
from tests.backbone.toy_training import toy, toy_rows

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(beams=3), Decoding(contrastive=0.6)])
def test_texts_are_those_of_the_cpu(decoding):
    here = tiny_backbone()
    prefix = torch.randn(3, 4, here.width, generator=torch.Generator().manual_seed(0))
    expected = here.generate(prefix, decoding)
    there = Backbone.from_parts(here.model, here.tokenizer, name="moved", device="cuda")
    assert [[g.ids for g in row] for row in there.generate(prefix, decoding)] == [
        [g.ids for g in row] for row in expected
    ]


def test_features_are_those_of_the_cpu(pictures):
    encoder = tiny_image_encoder()
    expected = encoder.encode(pictures).pooled
    encoder.model.to("cuda")
    assert torch.allclose(encoder.encode(pictures).pooled.cpu(), expected, atol=1e-3)


def test_training_lowers_the_loss_in_mixed_precision():
    result = fit(toy().to("cuda"), toy_rows(), TrainConfig(steps=40, batch_size=8, lr=1e-2))
    assert result.losses[-1] < 0.8 * result.losses[0]
