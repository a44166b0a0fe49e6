"""A tiny captioner that knows users, what is shown of a few of them, and posts with times and groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.gpt2 import Backbone
from multimodal.captioner import Captioner
from multimodal.profile.profile import NOBODY, Context, Profile, normalised
from multimodal.profile.text_features import WordTable
from tests.backbone.tiny import PARAGRAPH, tiny_backbone
from tests.backbone.tiny_clip import WIDTH, tiny_image_encoder
from tests.multimodal.tiny_captioner import tiny_config

TABLE = WordTable.fit({str(number): [line] for number, line in enumerate(PARAGRAPH.split("."))})
CONTEXTS = (
    Context(
        words=((0, 1.0), (7, 0.5), (3, 0.25)),
        posts=(("A red balloon!", 0.9), ("The sea is blue", 0.4)),
        style=(0.1, 0.2, 0.0, 0.3, 0.5, 0.0, 0.0, 0.1),
        known=True,
    ),
    NOBODY,
    Context(words=((5, 1.0),), posts=(("dogs run", 0.7),), style=(0.5,) * 8, known=True),
    Context(words=((2, 1.0), (9, 0.9)), known=True),
)
"""Ragged: two past captions, none, one, and words alone; one of nobody."""

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "copying": {"copy": True},
}
"""With and without something to copy from."""


def user_captioner(backbone: Backbone | None = None, table: WordTable = TABLE, **changes: Any) -> Captioner:
    """Return an untrained captioner without dropout that plainly shows each way of steering."""
    config = tiny_config(
        **{
            "mapper": "user", "width": 16, "mapping_layers": 1, "fusion_layers": 1, "words": 4, "past_posts": 2,
            "past_tokens": 8, "copy": False, "dropout": 0.0,
        }
        | changes
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        captioner = Captioner.build(tiny_image_encoder(), backbone or tiny_backbone(), config, table)
        _stir(captioner.mapper)
    return captioner


def _stir(mapper: Any) -> None:
    """Give weight to what begins near nothing, so that no test passes for want of an effect."""
    with torch.no_grad():
        if mapper.copying is not None:
            mapper.copying.gate.bias.zero_()
            mapper.copying.gate.weight.normal_(std=0.2)
            mapper.copying.to_queries.weight.mul_(3)
        for name, parameter in mapper.slots.named_parameters():
            if "rank" in name or "kinds" in name or "nobody" in name:
                parameter.normal_(std=1.0)


def ending_backbone() -> Backbone:
    """Return a backbone whose end-of-text token is one that it often takes, so that texts end at all lengths."""
    made = tiny_backbone()
    made.eos_id = 30
    return made


def random_rows(count: int, width: int = WIDTH, seed: int = 0) -> Tensor:
    """Return rows of length 1."""
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return torch.from_numpy(normalised(rows))


def axes_profile(texts: Sequence[str], **changes: Any) -> Profile:
    """Return a profile whose n-th image lies on the n-th axis."""
    pooled = np.eye(max(6, len(texts)), dtype=np.float32)[: len(texts)]
    return Profile(**{"user": "ann", "texts": tuple(texts), "pooled": pooled, "encoder": "e"} | changes)
