"""Batches of user contexts as tensors: words, past captions, style.

Shapes: B images, m words, S tokens of past captions, the most similar post's first.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from backbone.gpt2 import Backbone
from multimodal.model.steering import PastTokens
from multimodal.model.user_mapper import UserInput
from multimodal.profile.profile import NOBODY, Context
from multimodal.profile.text_features import Style, WordTable


@dataclass(frozen=True, kw_only=True)
class UserBatch:
    """What is shown of the user for each of B images."""

    words: Tensor  # (B, m) int64, numbers in the word table, by weight
    word_weights: Tensor  # (B, m) float32 in 0..1
    word_mask: Tensor  # (B, m) bool, false at padding
    past: Tensor  # (B, S) int64, tokens of past captions, each caption ended by the end of text
    before: Tensor  # (B, S) int64, the token before each; before the first of a caption the end of text
    rank: Tensor  # (B, S) int64, which past caption a token is of: 0 is that of the most similar image
    similarity: Tensor  # (B, S) float32, the cosine of that image with this one
    past_mask: Tensor  # (B, S) bool, false at padding
    style: Tensor  # (B, `Style.SIZE`) float32
    known: Tensor  # (B,) bool, whether anything is known of the user

    def to(self, device: torch.device) -> "UserBatch":
        """Return the batch on ``device``."""
        return UserBatch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def only(self, kept: Tensor) -> "UserBatch":
        """Return the batch with nobody where ``kept`` (B,) is false."""
        return replace(
            self,
            word_mask=self.word_mask & kept[:, None],
            past_mask=self.past_mask & kept[:, None],
            style=self.style * kept[:, None],
            known=self.known & kept,
        )


class UserTensors:
    """The contexts of many images, ready to be cut into batches; kept as flat integers, so that many fit.

    Args:
        contexts: The context of each image.
        backbone: The language model whose tokens are counted.
        past_tokens: The tokens of a past caption that are kept, its end counted.
    """

    def __init__(self, contexts: Sequence[Context], backbone: Backbone, past_tokens: int) -> None:
        self._contexts = contexts
        self._eos = backbone.eos_id
        self._tokens = _tokens_by_text(contexts, backbone, past_tokens)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is shown."""
        digest = hashlib.sha256()
        for context in self._contexts:
            digest.update(repr(context).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def batch(self, indices: Sequence[int]) -> UserBatch:
        """Return the contexts of these images, padded to the longest, on the CPU."""
        chosen = [self._contexts[index] for index in indices]
        words = [[number for number, _ in context.words] for context in chosen]
        weights = [[weight for _, weight in context.words] for context in chosen]
        rows = [self._past(context) for context in chosen]
        past, before, rank, similarity = (_pad([[token[at] for token in row] for row in rows]) for at in range(4))
        return UserBatch(
            words=_pad(words).long(),
            word_weights=_pad(weights),
            word_mask=_mask(words),
            past=past.long(),
            before=before.long(),
            rank=rank.long(),
            similarity=similarity,
            past_mask=_mask(rows),
            style=torch.tensor([context.style for context in chosen], dtype=torch.float32).view(-1, Style.SIZE),
            known=torch.tensor([context.known for context in chosen], dtype=torch.bool),
        )

    def _past(self, context: Context) -> list[tuple[int, int, int, float]]:
        """Return each token of the past captions, the token before it, the caption's rank and its similarity."""
        captions = [(rank, self._tokens[text], cosine) for rank, (text, cosine) in enumerate(context.posts)]
        return [
            (token, previous, rank, cosine)
            for rank, ids, cosine in captions
            for token, previous in zip(ids, [self._eos, *ids[:-1]], strict=True)
        ]


def _tokens_by_text(contexts: Sequence[Context], backbone: Backbone, past_tokens: int) -> dict[str, list[int]]:
    texts = list(dict.fromkeys(text for context in contexts for text, _ in context.posts))
    encoded = backbone.encode(texts, max_tokens=past_tokens)
    lengths = encoded.mask.sum(dim=1).tolist()
    return {text: row[:length] for text, row, length in zip(texts, encoded.ids.tolist(), lengths, strict=True)}


def nobody(count: int, backbone: Backbone) -> UserBatch:
    """Return ``count`` rows of which nothing is known."""
    return UserTensors([NOBODY] * count, backbone, 1).batch(range(count))


def embedded(user: UserBatch, backbone: Backbone, vectors: Tensor) -> UserInput:
    """Return what is shown of users as the mapper reads it; ``vectors`` (W + 1, d) are those of the table's words."""
    return UserInput(
        words=vectors[user.words.clamp(max=len(vectors) - 1)],
        word_weights=user.word_weights,
        word_mask=user.word_mask,
        past=PastTokens(
            embeds=backbone.embed(user.past).float(),
            before=backbone.embed(user.before).float(),
            ids=user.past,
            rank=user.rank,
            similarity=user.similarity,
            mask=user.past_mask,
        ),
        style=user.style,
    )


def _pad(rows: Sequence[Sequence[float]]) -> Tensor:
    width = max(1, max(map(len, rows), default=1))
    return torch.tensor([[*row, *[0.0] * (width - len(row))] for row in rows], dtype=torch.float64).float()


def _mask(rows: Sequence[Sequence[object]]) -> Tensor:
    width = max(1, max(map(len, rows), default=1))
    return torch.arange(width) < torch.tensor([len(row) for row in rows])[:, None]


@torch.no_grad()
def word_vectors(table: WordTable, backbone: Backbone, *, chunk: int = 1024) -> Tensor:
    """Return a vector for each word, (W, d) float32 on the backbone's device, from the frozen model alone.

    Args:
        table: The words; each is tokenised as it stands within a text.
        backbone: The frozen language model.
        chunk: The number of words at a time.
    """
    rows = []
    for start in range(0, len(table), chunk):
        tokens = backbone.encode([f" {word}" for word in table.words[start : start + chunk]], max_tokens=16, eos=False)
        mask = tokens.mask.to(backbone.device)
        real = mask[..., None].float()
        rows.append((backbone.embed(tokens.ids).float() * real).sum(dim=1) / real.sum(dim=1).clamp(min=1))
    return torch.cat(rows) if rows else torch.zeros(0, backbone.width, device=backbone.device)
