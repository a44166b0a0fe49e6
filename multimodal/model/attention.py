"""Attention blocks of the user-aware mapper: pre-norm, GELU, masked keys."""

import torch.nn.functional as F
from torch import Tensor, nn

_MLP_RATIO = 4


class Attention(nn.Module):
    """Multi-head attention, every projection with a bias: queries (B, q, w), keys and values (B, n, w) -> (B, q, w)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(width, width)
        self.to_keys_values = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from ``x`` to ``keys``; ``mask`` (B, n) is false at keys that are not seen, never at all of a row."""
        queries = self.to_queries(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        split = self.to_keys_values(keys).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None]
        mixed = F.scaled_dot_product_attention(queries, split[0], split[1], attn_mask=seen)
        projected: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return projected


class FeedForward(nn.Sequential):
    """w -> 4 w -> w with GELU and dropout."""

    def __init__(self, width: int, dropout: float) -> None:
        inner = _MLP_RATIO * width
        super().__init__(nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width))


class QueryLayer(nn.Module):
    """Self-attention among queries, cross-attention to the picture, feed-forward network; pre-norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attend = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.look = nn.LayerNorm(width), Attention(width, heads)
        self.norm_keys = nn.LayerNorm(width)
        self.norm3, self.feed = nn.LayerNorm(width), FeedForward(width, dropout)

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
        self.norm2, self.feed = nn.LayerNorm(width), FeedForward(width, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, n, w) to (B, n, w); ``mask`` (B, n) is false at padding."""
        normed = self.norm1(x)
        x = x + self.attend(normed, normed, mask)
        fed: Tensor = x + self.feed(self.norm2(x))
        return fed
