"""What follows a sequence that is computed already: the probabilities of several continuations in one pass.

Shapes: B sequences in the cache, P positions of each, n continuations, T tokens of the longest, d width of the model.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbone.generation.kv_cache import branched, positions_from_mask
from backbone.gpt2 import Backbone

_AT_ONCE = 1024  # tokens whose logits are in memory


class Computed(NamedTuple):
    """Sequences that the model has read."""

    cache: Any
    """Keys and values; not changed by `tail_scores`."""
    last: Tensor
    """(B, d) states that predict the next token."""
    mask: Tensor
    """(B, P) bool, False at padding."""


class TokenScores(NamedTuple):
    """How well tokens were predicted."""

    log_probability: Tensor
    """(m,) float64, nats."""
    greedy: Tensor
    """(m,) bool: no other token is more likely."""

    @classmethod
    def none(cls) -> "TokenScores":
        """Return the scores of no token."""
        return cls(torch.zeros(0, dtype=torch.float64), torch.ones(0, dtype=torch.bool))

    @classmethod
    def joined(cls, pieces: "Sequence[TokenScores]") -> "TokenScores":
        """Return the scores of tokens that follow each other."""
        return cls(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))


def score_tokens(backbone: Backbone, states: Tensor, targets: Tensor) -> TokenScores:
    """Return the log-probability of each target under the state that predicts it: (m, d) and (m,)."""
    found = []
    batches = (torch.split(tensor, _AT_ONCE) for tensor in (states, targets.to(states.device)))
    for part, wanted in zip(*batches, strict=True):
        logits = backbone.head(part)
        own = logits.gather(1, wanted[:, None]).squeeze(1)
        loss = F.cross_entropy(logits, wanted, reduction="none")
        found.append(TokenScores(-loss.double().cpu(), (own >= logits.amax(dim=1)).cpu()))
    return TokenScores.joined(found)


def tail_scores(
    backbone: Backbone, computed: Computed, owners: Sequence[int], tails: Sequence[Sequence[int]]
) -> list[TokenScores]:
    """Return how well each continuation is predicted, token by token.

    The first token of each needs no pass of the model, and what predicts nothing is not fed.

    Args:
        backbone: the model.
        computed: what they follow.
        owners: (n,) which sequence each follows.
        tails: (n,) tokens of each; at least one.
    """
    first = torch.tensor([tail[0] for tail in tails])
    scores = [[part] for part in _each(score_tokens(backbone, computed.last[list(owners)], first), [1] * len(tails))]
    longer = [number for number, tail in enumerate(tails) if len(tail) > 1]
    if longer:
        states, real = _read_on(backbone, computed, [owners[i] for i in longer], [tails[i][:-1] for i in longer])
        targets = torch.tensor([token for i in longer for token in tails[i][1:]])
        lengths = [len(tails[i]) - 1 for i in longer]
        for i, part in zip(longer, _each(score_tokens(backbone, states[real], targets), lengths), strict=True):
            scores[i].append(part)
    return [TokenScores.joined(pieces) for pieces in scores]


def _read_on(
    backbone: Backbone, computed: Computed, owners: Sequence[int], tails: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Feed continuations, padded right: their states, (n, T, d), and which are no padding, (n, T)."""
    rows = torch.tensor(owners, device=backbone.device)
    ids = pad_sequence([torch.tensor(tail) for tail in tails], batch_first=True, padding_value=backbone.pad_id)
    lengths = torch.tensor([len(tail) for tail in tails])
    real = (torch.arange(ids.shape[1]) < lengths[:, None]).to(backbone.device)
    mask = torch.cat([computed.mask[rows], real], dim=1)
    positions = positions_from_mask(mask)[:, -ids.shape[1] :]
    cache = branched(computed.cache, rows)
    return backbone.hidden(backbone.embed(ids), mask, positions=positions, cache=cache), real


def _each(scores: TokenScores, lengths: Sequence[int]) -> list[TokenScores]:
    columns = (torch.split(part, list(lengths)) for part in scores)
    return [TokenScores(*parts) for parts in zip(*columns, strict=True)]
