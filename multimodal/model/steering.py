"""The frozen language model steered by a user: copying and guidance.

Copying is a pointer beside the language model's own distribution, as in See et al. (2017), "Get To The Point:
Summarization with Pointer-Generator Networks", section 2.2: each step has a probability of copying, and attention over
the tokens of the user's past captions says which. A frozen language model hardly ever says rare tags and names; a copy
can. The pointer begins as an induction rule, to go on where a past caption had the same token before, and to prefer the
captions of similar images; the rest it learns.

`Steered` and `Guided` stand in the backbone's place while texts are searched or scored. Nothing of the model changes.

Shapes: B images, R rows, T steps or t positions, S tokens that may be copied, a width of the pointer, d of the language
model, V tokens.
"""

from dataclasses import dataclass, fields, replace
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.generation.kv_cache import LanguageModel
from backbone.gpt2 import Backbone

_WIDTH = 64
_FIRST_GATE = -1.4  # at first one step in five is copied
# in units of a logit: the same token before against an unrelated one; the same image against an unlike one
_FIRST_MATCH, _FIRST_SIMILARITY = 5.0, 3.0


@dataclass(frozen=True, kw_only=True)
class PastTokens:
    """The tokens of past captions, embedded by the frozen language model; those of the most similar image first."""

    embeds: Tensor  # (B, S, d) float32
    before: Tensor  # (B, S, d) float32, of the tokens before them; before the first of a caption stands the end of text
    ids: Tensor  # (B, S) int64
    rank: Tensor  # (B, S) int64, which caption a token is of
    similarity: Tensor  # (B, S) float32, cosine of its image with the one to caption
    mask: Tensor  # (B, S) bool


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What may be copied for each of B images."""

    keys: Tensor  # (B, S, a), learned
    before: Tensor  # (B, S, d), direction of the embedding of the token before each
    similarity: Tensor  # (B, S), of the image that the token's caption is of
    ids: Tensor  # (B, S) int64
    mask: Tensor  # (B, S) bool

    def take(self, rows: Tensor) -> "Memory":
        """Return the memory of these rows."""
        return Memory(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What a mapper gives the language model."""

    embeds: Tensor  # (B, k, d)
    memory: Memory | None = None  # what may be copied


class CopyHead(nn.Module):
    """Where to copy from, and how much. Steps come as ``[hidden state ; embedding of the token before]``, 2 d wide.

    Args:
        text_width: d, the width of the language model.
        posts: The largest number of past captions.
    """

    def __init__(self, text_width: int, posts: int) -> None:
        super().__init__()
        self.to_keys = nn.Linear(2 * text_width, _WIDTH)
        self.rank = nn.Parameter(torch.zeros(posts, _WIDTH))
        self.to_queries = nn.Linear(text_width, _WIDTH)
        self.match = nn.Parameter(torch.tensor([_FIRST_MATCH]))
        # the name under which checkpoints hold it
        self.likeness = nn.Parameter(torch.tensor([_FIRST_SIMILARITY]))
        self.gate = nn.Linear(text_width + _WIDTH + 1, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, _FIRST_GATE)

    def remember(self, tokens: PastTokens) -> Memory:
        """Return what may be copied."""
        keys = self.to_keys(torch.cat([tokens.embeds, tokens.before], dim=-1)) + self.rank[tokens.rank]
        return Memory(
            keys=keys,
            before=F.normalize(tokens.before, dim=-1),
            similarity=tokens.similarity,
            ids=tokens.ids,
            mask=tokens.mask,
        )

    def forward(self, steps: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the log-probability of copying each token and that of not copying.

        Args:
            steps: The last hidden states and the embeddings of the tokens before, (B, T, 2 d).
            memory: What may be copied.

        Returns:
            (B, T, S), summing to the probability of copying; (B, T), the log-probability that the model speaks itself,
            as it always does where there is nothing to copy.
        """
        hidden, before = steps.float().chunk(2, dim=-1)
        learned = self.to_queries(hidden) @ memory.keys.mT / sqrt(_WIDTH)
        same = F.normalize(before, dim=-1) @ memory.before.mT
        scores = learned + self.match * same + self.likeness * memory.similarity[:, None]
        mask = memory.mask[:, None]
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).log_softmax(dim=-1)
        shares = weights.exp()
        matched = (shares * same).sum(dim=-1, keepdim=True)
        gate = self.gate(torch.cat([hidden, shares @ memory.keys, matched], dim=-1))[..., 0]
        copied = (weights + F.logsigmoid(gate)[..., None]).masked_fill(~mask, -torch.inf)
        return copied, F.logsigmoid(-gate).masked_fill(~mask.any(dim=-1), 0.0)

    def mix(self, logits: Tensor, steps: Tensor, memory: Memory) -> Tensor:
        """Return the log-probabilities of the next token, (R, V): the language model's and the copies' together.

        Args:
            logits: The language model's, (R, V).
            steps: The states and embeddings of `forward`, (R, 2 d).
            memory: What may be copied, of R rows.
        """
        copied, spoken = (found[:, 0] for found in self(steps[:, None], memory))
        own = logits.log_softmax(dim=-1) + spoken[:, None]
        copies = torch.zeros_like(own).scatter_add_(1, memory.ids, copied.exp())
        # the smallest number keeps the logarithm of what is never copied finite
        return torch.logaddexp(own, copies.clamp(min=torch.finfo(own.dtype).tiny).log())

    def target(self, own: Tensor, targets: Tensor, steps: Tensor, memory: Memory) -> Tensor:
        """Return the log-probability of each target, (B, T); `mix` without all the other tokens.

        Args:
            own: The language model's log-probability of it, (B, T).
            targets: The token ids, (B, T) int64.
            steps: The states and embeddings of `forward`, (B, T, 2 d).
            memory: What may be copied.
        """
        copied, spoken = self(steps, memory)
        other = (memory.ids[:, None] != targets[..., None]) | ~memory.mask[:, None]
        # large and negative, not infinite: the gradient of a sum of nothing would be NaN
        return torch.logaddexp(own + spoken, copied.masked_fill(other, -1e4).logsumexp(dim=-1))


@dataclass(frozen=True, kw_only=True)
class Steered(LanguageModel):
    """The backbone with something to copy from, row by row.

    Where there is something to copy, hidden states are 2 d wide: behind each stands the embedding of its own position's
    token, which the pointer goes by; in place of the prefix's rows the end of text, which no caption has before it.
    """

    backbone: Backbone
    rows: int  # k, of the prefix
    memory: Memory | None = None
    copying: CopyHead | None = None

    def hidden(
        self, embeds: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """See `LanguageModel`; (R, t, d) -> (R, t, d) or (R, t, 2 d)."""
        before = 0 if cache is None else int(cache.get_seq_length())
        states = self.backbone.hidden(embeds, mask, positions=positions, cache=cache)
        if self.memory is None:
            return states
        soft = torch.arange(before, before + embeds.shape[1], device=embeds.device) < self.rows
        end = self.backbone.embed(torch.tensor([self.eos_id], device=embeds.device)).to(embeds)
        return torch.cat([states, torch.where(soft[:, None], end, embeds).to(states)], dim=-1)

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
        return replace(self, memory=self.memory.take(rows) if self.memory is not None else None)


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
        nobody = self.nobody.hidden(second, mask, positions=positions, cache=caches[1])
        return torch.cat([with_user, nobody], dim=-1)

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
        return replace(self, user=self.user.select(rows), nobody=self.nobody.select(rows))


def steer(backbone: Backbone, prefix: Prefix, copying: CopyHead | None) -> Steered:
    """Return the backbone under the conditions of ``prefix``."""
    rows = prefix.embeds.shape[1]
    return Steered(backbone=backbone, rows=rows, memory=prefix.memory, copying=copying)


def guide(backbone: Backbone, prefix: Prefix, nobody: Prefix, copying: CopyHead | None, strength: float) -> Guided:
    """Return guidance between two prefixes that are equally long; see `Guided`."""
    conditions = [steer(backbone, one, copying) for one in (prefix, nobody)]
    return Guided(user=conditions[0], nobody=conditions[1], strength=strength)
