"""User-aware mapper: image features and user features become a prefix for the frozen language model.

The design of Wang et al. (2023), "User-Aware Prefix-Tuning is a Good Learner for Personalized Image Captioning"
(arXiv 2312.04793): learned queries read the image (query-guided mapping), a transformer mixes them with the user's
words (fusion), and what becomes of the queries is the prefix. The paper's sizes are not published with code; the sizes
here are ours. Beyond the paper: past captions and style as further slots, and copying.

Shapes: B images, dv and dg widths of pooled and grid features, w width of the mapper, d of the language model,
q queries, m words, p past captions of S tokens together.

Attention blocks of the user-aware mapper: pre-norm, GELU, masked keys.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.gpt2 import Calibration
from multimodal.config import CaptionerConfig
from multimodal.model.steering import CopyHead, PastTokens, Prefix
from multimodal.profile.text_features import Style

_MLP_RATIO = 4


class Attention(nn.Module):
    """Multi-head attention: queries (B, q, w), keys and values (B, n, w) -> (B, q, w); ClipCap has no bias on those."""

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(width, width, bias=bias)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=bias)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from ``x`` to ``keys``; ``mask`` (B, n) is false at keys that are not seen, never at all of a row."""
        queries = self.to_queries(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        split = self.to_keys_values(keys).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None]
        mixed = F.scaled_dot_product_attention(queries, split[0], split[1], attn_mask=seen)
        projected: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return projected


def feed_forward(width: int, dropout: float) -> nn.Sequential:
    """Two layers, w -> 4 w -> w, with GELU and dropout."""
    inner = _MLP_RATIO * width
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width))


class QueryLayer(nn.Module):
    """Self-attention among queries, cross-attention to the image, feed-forward network; pre-norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attend = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.look = nn.LayerNorm(width), Attention(width, heads)
        self.norm_keys = nn.LayerNorm(width)
        self.norm3, self.feed = nn.LayerNorm(width), feed_forward(width, dropout)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Map queries (B, q, w), given keys (B, n, w), to (B, q, w)."""
        normed = self.norm1(queries)
        queries = queries + self.attend(normed, normed)
        queries = queries + self.look(self.norm2(queries), self.norm_keys(keys))
        fed: Tensor = queries + self.feed(self.norm3(queries))
        return fed


class FusionLayer(nn.Module):
    """Self-attention and feed-forward network; pre-norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attend = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.feed = nn.LayerNorm(width), feed_forward(width, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, n, w) to (B, n, w); ``mask`` (B, n) is false at padding."""
        normed = self.norm1(x)
        x = x + self.attend(normed, normed, mask)
        fed: Tensor = x + self.feed(self.norm2(x))
        return fed


_INIT = 0.02


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """Features of B images."""

    pooled: Tensor  # (B, dv) float32
    grid: Tensor | None = None  # (B, n, dg) float32


@dataclass(frozen=True, kw_only=True)
class UserInput:
    """Features of the users of B images, embedded by the frozen language model."""

    words: Tensor  # (B, m, d) float32
    word_weights: Tensor  # (B, m) float32
    word_mask: Tensor  # (B, m) bool
    past: PastTokens  # the past captions
    style: Tensor  # (B, `Style.SIZE`) float32


class QueryMapping(nn.Module):
    """Learned queries read an image: features -> (B, q, w).

    Args:
        config: The widths, queries, layers.
        width: The width w.
    """

    def __init__(self, config: CaptionerConfig, width: int) -> None:
        super().__init__()
        self.slots = config.clip_length
        self.queries = nn.Parameter(_INIT * torch.randn(config.prefix_length, width))
        self.project_pooled = nn.Linear(config.image_width, self.slots * width)
        self.project_grid = nn.Linear(config.grid_width, width) if config.features == "grid" else None
        self.layers = nn.ModuleList(
            QueryLayer(width, config.heads, config.dropout) for _ in range(config.mapping_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, image: ImageInput) -> Tensor:
        """Map features to (B, q, w)."""
        keys = self.project_pooled(image.pooled).unflatten(1, (self.slots, -1))
        if self.project_grid is not None:
            assert image.grid is not None, "this mapper reads grid features"
            keys = torch.cat([keys, self.project_grid(image.grid)], dim=1)
        queries = self.queries.expand(len(keys), -1, -1)
        for layer in self.layers:
            queries = layer(queries, keys)
        normed: Tensor = self.norm(queries)
        return normed


class UserSlots(nn.Module):
    """User features as rows of width w, and the mask of real rows.

    There is always one real row, for "somebody or nobody", so that attention never sees an empty past.
    """

    def __init__(self, config: CaptionerConfig, width: int) -> None:
        super().__init__()
        self.config = config
        # what is not read is not there: training would leave it without gradients
        if config.words:
            self.project = nn.Linear(config.text_width, width) if width != config.text_width else nn.Identity()
            self.rank = nn.Parameter(_INIT * torch.randn(config.words, width))
            self.weight = nn.Linear(1, width, bias=False)
        if config.words or config.past_posts:
            self.kinds = nn.Parameter(_INIT * torch.randn(2, width))
        self.nobody = nn.Parameter(_INIT * torch.randn(1, width))
        if config.style:
            self.style = nn.Sequential(nn.Linear(Style.SIZE, width), nn.GELU(), nn.Linear(width, width))
        if config.past_posts:
            self.past = nn.Linear(config.text_width, width)
            self.past_rank = nn.Parameter(_INIT * torch.randn(config.past_posts, width))
            # the name under which checkpoints hold it
            self.likeness = nn.Linear(1, width)

    def forward(self, user: UserInput, count: int) -> tuple[Tensor, Tensor]:
        """Return rows (B, 1 + [1] + m + p, w), one for each of p past captions, and their mask."""
        rows, masks = [self.nobody.expand(count, -1, -1)], [torch.ones_like(user.word_mask[:, :1])]
        if self.config.style:
            rows.append(self.style(user.style)[:, None])
            masks.append(torch.ones_like(user.word_mask[:, :1]))
        if self.config.words:
            words = self.project(user.words) + self.rank[: user.words.shape[1]] + self.kinds[0]
            rows.append(words + self.weight(user.word_weights[..., None]))
            masks.append(user.word_mask)
        if self.config.past_posts:
            past, there = self._past_captions(user.past)
            rows.append(past)
            masks.append(there)
        return torch.cat(rows, dim=1), torch.cat(masks, dim=1)

    def _past_captions(self, past: PastTokens) -> tuple[Tensor, Tensor]:
        """Return a row for each past caption (B, p, w): the mean of its tokens, its rank and its similarity."""
        ranks = torch.arange(len(self.past_rank), device=past.rank.device)
        of = ((past.rank[:, None] == ranks[:, None]) & past.mask[:, None]).float()
        counts = of.sum(dim=-1, keepdim=True)
        share = of / counts.clamp(min=1)
        similarity = share @ past.similarity[..., None]
        rows = self.past(share @ past.embeds) + self.past_rank + self.likeness(similarity) + self.kinds[1]
        return rows, counts[..., 0] > 0


class Fusion(nn.Module):
    """A transformer encoder that mixes the image's rows with the user's."""

    def __init__(self, config: CaptionerConfig, width: int) -> None:
        super().__init__()
        self.image = nn.Parameter(_INIT * torch.randn(width))
        self.layers = nn.ModuleList(
            FusionLayer(width, config.heads, config.dropout) for _ in range(config.fusion_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.text_width) if width != config.text_width else nn.Identity()

    def forward(self, image: Tensor, user: Tensor, mask: Tensor) -> Tensor:
        """Mix rows (B, q, w) and (B, n, w), the latter under ``mask`` (B, n), into (B, q + n, w)."""
        mixed = torch.cat([image + self.image, user], dim=1)
        seen = F.pad(mask, (image.shape[1], 0), value=True)
        for layer in self.layers:
            mixed = layer(mixed, seen)
        normed: Tensor = self.norm(mixed)
        return normed


class UserMapper(nn.Module):
    """The whole trained part.

    Args:
        config: The config, with all widths known.
        norm: The starting length of the prefix vectors; None: uncalibrated.
    """

    def __init__(self, config: CaptionerConfig, *, norm: float | None = None) -> None:
        super().__init__()
        width = config.mapper_width
        self.config = config
        self.mapping = QueryMapping(config, width)
        self.slots = UserSlots(config, width)
        self.fusion = Fusion(config, width)
        self.calibration = nn.Identity() if norm is None else Calibration(config.text_width, norm)
        self.copying = CopyHead(config.text_width, config.past_posts) if config.copies else None

    def forward(self, image: ImageInput, user: UserInput) -> Prefix:
        """Return the prefix of each image."""
        queries = self.mapping(image)
        slots, mask = self.slots(user, len(queries))
        mixed = self.fusion(queries, slots, mask)[:, : queries.shape[1]]
        return Prefix(
            embeds=self.calibration(self.fusion.out(mixed)),
            memory=self.copying.remember(user.past) if self.copying is not None else None,
        )
