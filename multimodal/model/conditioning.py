"""From features and users to conditions of the frozen language model, and what it says under them.

Shapes: B images, k positions of a prefix, d width of the language model, T tokens, N real tokens of a batch.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.generation.config import Decoding
from backbone.generation.kv_cache import flush_right
from backbone.gpt2 import Backbone, Generation
from multimodal.batches import CaptionBatch
from multimodal.config import CaptionerConfig
from multimodal.model.guidance import Guided, Steered, steer
from multimodal.model.pointer import CopyHead, PastTokens
from multimodal.model.user_mapper import ImageInput, Prefix, UserInput
from multimodal.profile.tensors import UserBatch, nobody, word_vectors
from multimodal.profile.tfidf import WordTable


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """Log-probabilities (nats) of the real tokens of a batch."""

    tokens: Tensor
    """(N,) float32."""
    rows: Tensor
    """(N,) int64, the row of each."""
    count: int
    """B."""

    def loss(self) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy and the number of tokens."""
        return -self.tokens.sum(), torch.tensor(len(self.tokens), device=self.tokens.device)

    def by_row(self) -> Tensor:
        """Return the log-probability of each row, (B,)."""
        return self.tokens.new_zeros(self.count).index_add(0, self.rows, self.tokens)


class Conditions:
    """Turns features and users into conditions of the language model, and asks it.

    Args:
        backbone: frozen.
        mapper: trained.
        config: what ``mapper`` was built from.
        table: the words of users.
    """

    def __init__(self, backbone: Backbone, mapper: nn.Module, config: CaptionerConfig, table: WordTable) -> None:
        self.backbone, self.mapper, self.config, self.table = backbone, mapper, config, table

    @cached_property
    def _words(self) -> Tensor:
        """(W + 1, d) a vector of each word; the last row stands where a table is empty."""
        vectors = word_vectors(self.table, self.backbone, hidden=self.config.user_encoder == "hidden")
        return torch.cat([vectors, vectors.new_zeros(1, self.backbone.width)])

    @property
    def _copying(self) -> CopyHead | None:
        return getattr(self.mapper, "copying", None)

    def prefix(self, image: ImageInput, user: UserBatch | None = None) -> Prefix:
        """Map features, and what is shown of users, to what the language model reads."""
        device = self.backbone.device
        pooled = image.pooled.to(device, torch.float32)
        if not self.config.knows_users:
            return Prefix(embeds=self.mapper(pooled))
        grid = None if image.grid is None else image.grid.to(device, torch.float32)
        user = (nobody(len(pooled), self.backbone) if user is None else user).to(device)
        made: Prefix = self.mapper(ImageInput(pooled=pooled, grid=grid), self._embedded(user))
        return self._with_prompt(made, user) if self.config.prompt_posts else made

    def _embedded(self, user: UserBatch) -> UserInput:
        return UserInput(
            words=self._words[user.words.clamp(max=len(self._words) - 1)],
            word_weights=user.word_weights,
            word_mask=user.word_mask,
            past=PastTokens(
                embeds=self.backbone.embed(user.past).float(),
                before=self.backbone.embed(user.before).float(),
                ids=user.past,
                rank=user.rank,
                similarity=user.similarity,
                mask=user.past_mask,
            ),
            style=user.style,
        )

    def _with_prompt(self, prefix: Prefix, user: UserBatch) -> Prefix:
        """Put past captions after the prefix, as text."""
        shown = user.past_mask & (user.rank < self.config.prompt_posts)
        text = self.backbone.embed(user.past).to(prefix.embeds)
        soft = prefix.mask
        if soft is None:
            soft = torch.ones_like(prefix.embeds[..., 0], dtype=torch.bool)
        # the end of each caption parts it from the next; the most similar image's comes first
        return replace(prefix, embeds=torch.cat([prefix.embeds, text], dim=1), mask=torch.cat([soft, shown], dim=1))

    # Scoring

    def likelihoods(self, batch: CaptionBatch) -> Likelihoods:
        """Return the log-probabilities of the captions of a batch."""
        batch = batch.to(self.backbone.device)
        prefix = self.prefix(ImageInput(pooled=batch.pooled, grid=batch.grid), batch.user)
        return self.score(prefix, batch.ids, batch.mask)

    def score(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Likelihoods:
        """Return the log-probabilities of the real tokens of ``ids`` (B, T) under ``mask`` after a prefix."""
        model = steer(self.backbone, prefix, self._copying)
        states = self.backbone.predicting(prefix.embeds, ids, prefix_mask=prefix.mask, model=model)
        # logits for the real tokens alone: those of a batch are far larger than anything else in memory
        spoken = -F.cross_entropy(
            self.backbone.head(states[mask][:, : self.backbone.width]), ids[mask], reduction="none"
        )
        if prefix.memory is not None and self._copying is not None:
            own = states.new_zeros(ids.shape, dtype=torch.float32).masked_scatter(mask, spoken)
            spoken = self._copying.target(own, ids, states, prefix.memory)[mask]
        return Likelihoods(tokens=spoken, rows=mask.nonzero()[:, 0], count=len(ids))

    # Searching

    def generate(
        self, image: ImageInput, user: UserBatch | None, decoding: Decoding, personal: float
    ) -> list[list[Generation]]:
        """Search for texts; ``personal`` as in `Captioner.generate`."""
        guided = user is not None and personal not in (0.0, 1.0)
        prefix = _flushed(self.prefix(image, user if personal else None))
        if not guided:
            model = steer(self.backbone, prefix, self._copying)
            return self.backbone.generate(prefix.embeds, decoding, prefix_mask=prefix.mask, model=model)
        assert user is not None
        without = _flushed(self.prefix(image, user.only(torch.zeros_like(user.known))))
        return self._guided(prefix, without, decoding, personal)

    def _guided(self, prefix: Prefix, without: Prefix, decoding: Decoding, personal: float) -> list[list[Generation]]:
        """Search under two conditions whose prefixes, real rows last, are equally long and differ in what is masked."""
        hidden = torch.zeros_like(prefix.embeds[..., 0], dtype=torch.bool)
        if prefix.mask is not None and without.mask is not None:
            hidden = prefix.mask & ~without.mask
        first, second = (
            Steered(
                backbone=self.backbone,
                rows=one.embeds.shape[1],
                memory=one.memory,
                copying=self._copying,
                deep=one.deep,
            )
            for one in (prefix, without)
        )
        model = Guided(user=first, nobody=second, strength=personal, hidden_from_nobody=hidden)
        embeds = torch.cat([prefix.embeds, without.embeds], dim=-1)
        return self.backbone.generate(embeds, decoding, prefix_mask=prefix.mask, model=model)


def _flushed(prefix: Prefix) -> Prefix:
    if prefix.mask is None:
        return prefix
    embeds, mask = flush_right(prefix.embeds, prefix.mask)
    return replace(prefix, embeds=embeds, mask=mask)
