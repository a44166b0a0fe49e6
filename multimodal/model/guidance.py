"""The frozen language model under the conditions of each row: deep prefix, copying, and guidance.

An object here stands in the backbone's place while texts are searched or scored. Nothing of the model itself changes.

Shapes: R rows, t positions, d width of the model, V tokens.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.generation.kv_cache import LanguageModel, positions_from_mask
from backbone.gpt2 import Backbone
from multimodal.model.pointer import CopyHead, Memory
from multimodal.model.user_mapper import Prefix


@dataclass(frozen=True, kw_only=True)
class Steered(LanguageModel):
    """The backbone with a deep prefix and something to copy from, row by row.

    Where there is something to copy, hidden states are 2 d wide: behind each stands the embedding of its own position's
    token, which the pointer goes by; in place of the prefix's rows the end of text, which no caption has before it.
    """

    backbone: Backbone
    rows: int
    """k, of the prefix."""
    memory: Memory | None = None
    copying: CopyHead | None = None
    deep: tuple[tuple[Tensor, Tensor], ...] = ()

    def hidden(
        self, embeds: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """See `LanguageModel`; the deep prefix stands before the first position and is not counted in positions."""
        before = 0 if cache is None else max(0, int(cache.get_seq_length()) - self.deep_rows)
        if self.deep:
            states = self._hidden_deep(embeds, mask, positions, cache, before)
        else:
            states = self.backbone.hidden(embeds, mask, positions=positions, cache=cache)
        if self.memory is None:
            return states
        soft = torch.arange(before, before + embeds.shape[1], device=embeds.device) < self.rows
        end = self.backbone.embed(torch.tensor([self.eos_id], device=embeds.device)).to(embeds)
        return torch.cat([states, torch.where(soft[:, None], end, embeds).to(states)], dim=-1)

    def _hidden_deep(
        self, embeds: Tensor, mask: Tensor | None, positions: Tensor | None, cache: Any, before: int
    ) -> Tensor:
        cache = self.backbone.new_cache() if cache is None else cache
        if not cache.get_seq_length():
            for layer, (keys, values) in enumerate(self.deep):
                cache.update(keys.to(embeds), values.to(embeds), layer)
        count = embeds.shape[1]
        if mask is None:
            mask = torch.ones(len(embeds), before + count, dtype=torch.bool, device=embeds.device)
        if positions is None:
            positions = positions_from_mask(mask)[:, -count:]
        seen: bool | float = True if mask.dtype == torch.bool else 0.0
        return self.backbone.hidden(
            embeds, F.pad(mask, (self.deep_rows, 0), value=seen), positions=positions, cache=cache
        )

    @property
    def deep_rows(self) -> int:
        """Rows of the deep prefix."""
        return self.deep[0][0].shape[2] if self.deep else 0

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits, or log-probabilities where copies are mixed in: (R, d) or (R, 2 d) -> (R, V)."""
        logits = self.backbone.head(hidden[..., : self.backbone.width])
        if self.memory is None or self.copying is None:
            return logits
        return self.copying.mix(logits, hidden, self.memory)

    def meaning(self, hidden: Tensor) -> Tensor:
        """See `LanguageModel`; (R, c, d) or (R, c, 2 d) -> (R, c, d), those of the language model itself."""
        return hidden[..., : self.backbone.width]

    def select(self, rows: Tensor) -> "Steered":
        """See `LanguageModel`."""
        return replace(
            self,
            memory=self.memory.take(rows) if self.memory is not None else None,
            deep=tuple((keys[rows], values[rows]) for keys, values in self.deep),
        )


@dataclass(frozen=True, kw_only=True)
class _TwoCaches:
    """The caches of two models that go through the same tokens."""

    first: Any
    second: Any

    @property
    def layers(self) -> list[Any]:
        """The layers of both."""
        return [*self.first.layers, *self.second.layers]

    def batch_select_indices(self, rows: Tensor) -> None:
        """Keep these rows in both."""
        self.first.batch_select_indices(rows)
        self.second.batch_select_indices(rows)


@dataclass(frozen=True, kw_only=True)
class Guided(LanguageModel):
    """Two conditions side by side, with and without the user, drawn apart: ``none + strength * (user - none)``.

    Classifier-free guidance (Ho and Salimans, 2022, equation 6) on log-probabilities. Embeddings and hidden states
    carry both conditions side by side, 2 d wide.
    """

    user: Steered
    nobody: Steered
    strength: float
    hidden_from_nobody: Tensor
    """(R, k) bool: rows of the prefix that only the first condition sees; those that both see stand after them."""

    @property
    def eos_id(self) -> int:
        """The end-of-text token."""
        return self.user.eos_id

    def embed(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`; (R, t) -> (R, t, 2 d)."""
        embedded = self.user.embed(ids)
        return torch.cat([embedded, embedded], dim=-1)

    def hidden(
        self, embeds: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """See `LanguageModel`; (R, t, 2 d) -> (R, t, 2 d)."""
        first, second = embeds.chunk(2, dim=-1)
        caches = (None, None) if cache is None else (cache.first, cache.second)
        with_user = self.user.hidden(first, mask, positions=positions, cache=caches[0])
        without, where = self._without_user(mask, positions, embeds, caches[1])
        nobody = self.nobody.hidden(second, without, positions=where, cache=caches[1])
        return torch.cat([with_user, nobody], dim=-1)

    def _without_user(
        self, mask: Tensor | None, positions: Tensor | None, embeds: Tensor, cache: Any
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the mask and the positions of the second condition, which does not see all of the prefix."""
        hidden = self.hidden_from_nobody
        if not bool(hidden.any()):
            return mask, positions
        length = self._past(cache) + embeds.shape[1]
        shift = hidden.sum(dim=1, keepdim=True)
        gone = F.pad(hidden, (0, length - hidden.shape[1]), value=False)
        if mask is not None and mask.dtype != torch.bool:  # candidates side by side: an additive mask
            assert positions is not None
            low = torch.finfo(mask.dtype).min
            return mask.masked_fill(gone[:, None, None, : mask.shape[-1]], low), (positions - shift).clamp(min=0)
        seen = ~gone if mask is None else mask & ~gone
        return seen, positions_from_mask(seen)[:, -embeds.shape[1] :]

    def _past(self, cache: Any) -> int:
        if cache is None:
            return 0
        return max(0, int(cache.get_seq_length()) - self.nobody.deep_rows)

    def head(self, hidden: Tensor) -> Tensor:
        """Return the guided log-probabilities, up to a constant: (R, 2 d) -> (R, V)."""
        first, second = hidden.chunk(2, dim=-1)
        with_user = self.user.head(first).log_softmax(dim=-1)
        nobody = self.nobody.head(second).log_softmax(dim=-1)
        return nobody + self.strength * (with_user - nobody)

    def meaning(self, hidden: Tensor) -> Tensor:
        """See `LanguageModel`; those of the first condition, which is the one that is asked for."""
        return self.user.meaning(hidden.chunk(2, dim=-1)[0])

    def new_cache(self) -> _TwoCaches:
        """See `LanguageModel`."""
        return _TwoCaches(first=self.user.new_cache(), second=self.nobody.new_cache())

    def select(self, rows: Tensor) -> "Guided":
        """See `LanguageModel`."""
        return replace(
            self,
            user=self.user.select(rows),
            nobody=self.nobody.select(rows),
            hidden_from_nobody=self.hidden_from_nobody[rows],
        )


def steer(backbone: Backbone, prefix: Prefix, copying: CopyHead | None) -> LanguageModel:
    """Return the backbone under the conditions of ``prefix``; itself where there are none."""
    if prefix.memory is None and not prefix.deep:
        return backbone
    rows = prefix.embeds.shape[1]
    return Steered(backbone=backbone, rows=rows, memory=prefix.memory, copying=copying, deep=prefix.deep)
