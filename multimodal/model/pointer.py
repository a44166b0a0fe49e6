"""Copying from past captions: a pointer beside the language model's own distribution.

As in See et al. (2017), "Get To The Point: Summarization with Pointer-Generator Networks", section 2.2: each step has
a probability of copying, and attention over the tokens of the user's past captions says which. A frozen language model
hardly ever says rare tags and names; a copy can. The pointer begins as an induction rule, to go on where a past caption
had the same token before, and to prefer the captions of similar images; the rest it learns.

Shapes: B images, T steps, S tokens that may be copied, a width of the pointer, d of the language model, V tokens.
"""

from dataclasses import dataclass
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTH = 64
# at first one step in five is copied
_FIRST_GATE = -1.4
# in units of a logit: the same token before against an unrelated one; the same image against an unlike one
_FIRST_MATCH, _FIRST_SIMILARITY = 5.0, 3.0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What may be copied for each of B images."""

    keys: Tensor
    """(B, S, a), learned."""
    before: Tensor
    """(B, S, d), direction of the embedding of the token before each."""
    similarity: Tensor
    """(B, S), of the image that the token's caption is of."""
    ids: Tensor
    """(B, S) int64."""
    mask: Tensor
    """(B, S) bool."""

    def take(self, rows: Tensor) -> "Memory":
        """Return the memory of these rows."""
        return Memory(
            keys=self.keys[rows],
            before=self.before[rows],
            similarity=self.similarity[rows],
            ids=self.ids[rows],
            mask=self.mask[rows],
        )


class CopyHead(nn.Module):
    """Where to copy from, and how much. Steps come as ``[hidden state ; embedding of the token before]``, 2 d wide.

    Args:
        text_width: d, width of the language model.
        posts: past captions at most.
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

    def remember(self, tokens: "PastTokens") -> Memory:
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
            steps: (B, T, 2 d) last hidden states and embeddings of the tokens before.
            memory: what may be copied.

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
            logits: (R, V), the language model's.
            steps: (R, 2 d), as in `forward`.
            memory: of R rows.
        """
        copied, spoken = (found[:, 0] for found in self(steps[:, None], memory))
        own = logits.log_softmax(dim=-1) + spoken[:, None]
        copies = torch.zeros_like(own).scatter_add_(1, memory.ids, copied.exp())
        # the smallest number keeps the logarithm of what is never copied finite
        return torch.logaddexp(own, copies.clamp(min=torch.finfo(own.dtype).tiny).log())

    def target(self, own: Tensor, targets: Tensor, steps: Tensor, memory: Memory) -> Tensor:
        """Return the log-probability of each target, (B, T); `mix` without all the other tokens.

        Args:
            own: (B, T), the language model's log-probability of it.
            targets: (B, T) int64.
            steps: (B, T, 2 d), as in `forward`.
            memory: what may be copied.
        """
        copied, spoken = self(steps, memory)
        other = (memory.ids[:, None] != targets[..., None]) | ~memory.mask[:, None]
        # large and negative, not infinite: the gradient of a sum of nothing would be NaN
        return torch.logaddexp(own + spoken, copied.masked_fill(other, -1e4).logsumexp(dim=-1))


@dataclass(frozen=True, kw_only=True)
class PastTokens:
    """The tokens of past captions, embedded by the frozen language model; those of the most similar image first."""

    embeds: Tensor
    """(B, S, d) float32."""
    before: Tensor
    """(B, S, d) float32, of the tokens before them; before the first of a caption stands the end of text."""
    ids: Tensor
    """(B, S) int64."""
    rank: Tensor
    """(B, S) int64, which caption a token is of."""
    similarity: Tensor
    """(B, S) float32, cosine of its image with the one to caption."""
    mask: Tensor
    """(B, S) bool."""
