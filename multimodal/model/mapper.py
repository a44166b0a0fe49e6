"""The mappers that know no user: image features become prefix embeddings of the frozen language model.

Two networks are ClipCap's (Mokady et al., 2021, "ClipCap: CLIP Prefix for Image Captioning", section 3.2). Their
parameters carry the names of the published weights below ``clip_project.``. The third is the image's part of the
user-aware mapper.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.gpt2 import Calibration
from multimodal.config import CaptionerConfig
from multimodal.model.user_mapper import Attention, ImageInput, QueryMapping, UserMapper

_MLP_RATIO = 2  # the published networks have no other


class MLPMapper(nn.Module):
    """One hidden layer of half the output's width, tanh: features (B, dv) to a prefix (B, k, d).

    Args:
        image_width: dv, the width of the features.
        text_width: d, the width of the language model.
        prefix_length: k, the number of prefix vectors.
        norm: The starting length of the prefix vectors; None: uncalibrated, ClipCap's own form.
    """

    def __init__(self, image_width: int, text_width: int, *, prefix_length: int, norm: float | None = None) -> None:
        super().__init__()
        self.prefix_length = prefix_length
        out = text_width * prefix_length
        self.model = nn.Sequential(nn.Linear(image_width, out // 2), nn.Tanh(), nn.Linear(out // 2, out))
        self.calibration = _calibration(text_width, norm)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, dv) to the prefix (B, k, d)."""
        prefix: Tensor = self.calibration(self.model(features).unflatten(1, (self.prefix_length, -1)))
        return prefix


class TransformerMapper(nn.Module):
    """Learned constants attend to the image: features (B, dv) to a prefix (B, k, d).

    The image is unfolded into slots; slots and constants pass through a transformer encoder together, and only what
    became of the constants is kept.

    Args:
        config: The widths, lengths, layers and heads.
        norm: The starting length of the prefix vectors; None: uncalibrated, ClipCap's own form.
    """

    def __init__(self, config: CaptionerConfig, *, norm: float | None = None) -> None:
        super().__init__()
        width = config.text_width
        self.clip_length = config.clip_length
        self.linear = nn.Linear(config.image_width, config.clip_length * width)
        self.prefix_const = nn.Parameter(torch.randn(config.prefix_length, width))
        self.transformer = _Transformer(width, config.heads, config.layers)
        self.calibration = _calibration(width, norm)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, dv) to the prefix (B, k, d)."""
        slots = self.linear(features).unflatten(1, (self.clip_length, -1))
        constants = self.prefix_const.expand(len(features), -1, -1)
        mixed = self.transformer(torch.cat([slots, constants], dim=1))
        prefix: Tensor = self.calibration(mixed[:, self.clip_length :])
        return prefix


class _Transformer(nn.Module):
    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, bias=False)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attn(normed, normed)
        fed: Tensor = x + self.mlp(self.norm2(x))
        return fed


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        fed: Tensor = self.fc2(F.relu(self.fc1(x)))
        return fed


class QueryMapper(nn.Module):
    """Learned queries read pooled or grid features: an image to a prefix (B, k, d).

    Args:
        config: The widths, queries and layers.
        norm: The starting length of the prefix vectors; None: uncalibrated.
    """

    def __init__(self, config: CaptionerConfig, *, norm: float | None = None) -> None:
        super().__init__()
        width = config.mapper_width
        self.mapping = QueryMapping(config, width)
        self.out = nn.Linear(width, config.text_width) if width != config.text_width else nn.Identity()
        self.calibration = _calibration(config.text_width, norm)

    def forward(self, image: ImageInput) -> Tensor:
        """Map features of B images to the prefix (B, k, d)."""
        prefix: Tensor = self.calibration(self.out(self.mapping(image)))
        return prefix


def build_mapper(config: CaptionerConfig, *, embedding_norm: float = 1.0) -> nn.Module:
    """Return the mapper that ``config`` describes, with fresh weights.

    Args:
        config: The config, with both widths known.
        embedding_norm: The mean length of the language model's word embeddings; no matter when weights are loaded.
    """
    norm = embedding_norm if config.calibrate else None
    if config.mapper == "mlp":
        return MLPMapper(config.image_width, config.text_width, prefix_length=config.prefix_length, norm=norm)
    if config.mapper == "transformer":
        return TransformerMapper(config, norm=norm)
    if config.mapper == "query":
        return QueryMapper(config, norm=norm)
    return UserMapper(config, norm=norm)


def _calibration(width: int, norm: float | None) -> nn.Module:
    return nn.Identity() if norm is None else Calibration(width, norm)
