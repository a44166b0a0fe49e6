"""What a captioner is: the record that builds it, is saved with it and gives its command its flags (torch-free)."""

from dataclasses import dataclass
from typing import Literal

import tyro

from backbone.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """The trained part of a captioner: a network that turns image features into a prefix for the language model."""

    mapper: Literal["mlp", "transformer"] = "mlp"
    """ClipCap's mapping network: mlp, or transformer (8 layers attending to the picture)."""
    prefix_length: int = 10
    """Prefix vectors that the language model reads before the caption."""
    clip_length: int = 10
    """Slots that the transformer mapper unfolds the picture into."""
    layers: int = 8
    """Layers of the transformer mapper."""
    heads: int = 8
    """Attention heads of the transformer mapper."""
    calibrate: bool = True
    """Give prefix vectors the length of word embeddings, by a norm and a learned gain; off: ClipCap's own form."""
    max_tokens: int = 40
    """Tokens of a caption that are learned, end of text included; longer ones are cut."""
    image_width: tyro.conf.Suppress[int] = 0
    """Width of the image features; read from the image encoder."""
    text_width: tyro.conf.Suppress[int] = 0
    """Width of the language model; read from it."""

    def __post_init__(self) -> None:
        for name in ("prefix_length", "clip_length", "layers", "heads", "max_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is 1 or more")
        for name in ("image_width", "text_width"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is 0 (not known yet) or more")
        if self.mapper == "transformer" and self.text_width % self.heads:
            raise UsageError(f"heads is {self.heads}, allowed is a divisor of the model's width {self.text_width}")
