"""Token sequences under construction, with their keys and values: what every search algorithm moves along.

Shapes: R sequences, t positions so far, c candidates, d width of the model.
"""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Found(NamedTuple):
    """A finished sequence."""

    ids: list[int]  # its tokens, without the end-of-text token
    score: float
    """Mean log-probability (nats) of its tokens under the model itself, the end-of-text token counted if there is one.

    Temperature, penalties and bans steer which tokens are taken and are not in it."""


class LanguageModel:
    """What decoding needs of a language model: `backbone.gpt2.Backbone`, or what stands in its place.

    What a class does not define, it leaves to its ``backbone``.
    """

    backbone: "LanguageModel"

    @property
    def eos_id(self) -> int:
        """The end-of-text token."""
        return self.backbone.eos_id

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings of token ids."""
        return self.backbone.embed(ids)

    def hidden(
        self, embeds: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """Return the last hidden states of embeddings that follow what is in the cache."""
        return self.backbone.hidden(embeds, mask, positions=positions, cache=cache)

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits for the token after each hidden state, in float32."""
        return self.backbone.head(hidden)

    def meaning(self, hidden: Tensor) -> Tensor:
        """Return of hidden states what tells whether two positions say the same: contrastive search compares it."""
        return hidden

    def new_cache(self) -> Any:
        """Return an empty cache of keys and values."""
        return self.backbone.new_cache()

    def select(self, rows: Tensor) -> "LanguageModel":
        """Return the model for the sequences with these numbers; a model that knows no rows is the same for all."""
        return self


def positions_from_mask(mask: Tensor) -> Tensor:
    """Return the position of each real token among the real ones, (R, t) int64; padding before the first is at 0."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)


def flush_right(prefix: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move the real rows of each prefix to its end, in order, so that padding is on the left.

    Args:
        prefix: The prefixes, (R, k, d).
        mask: A mask (R, k), True where a row is real; any pattern.
    """
    order = mask.long().argsort(dim=1, stable=True)
    return prefix.gather(1, order[..., None].expand_as(prefix)), mask.gather(1, order)


class Sequences:
    """Sequences that grow by one token at a time.

    Args:
        model: The language model.
        prefix: The embeddings (R, k, d) that they begin with.
        mask: A bool mask (R, k), padding on the left only; None: no padding.
        cache: Whether keys and values are kept. Without, every step computes all positions anew: the slow reference.
    """

    def __init__(self, model: LanguageModel, prefix: Tensor, mask: Tensor | None, *, cache: bool) -> None:
        self.model = model
        self.length = 0
        self._mask = None if mask is None else mask[:, :0]  # without padding none is kept: attention is quicker
        self._cache = model.new_cache() if cache else None
        self._past = prefix[:, :0]
        self._pending: Tensor | None = None
        self._branches: Tensor | None = None
        self._last = self._feed(prefix, mask)

    @property
    def rows(self) -> int:
        """Number of sequences."""
        return self._last.shape[0]

    def state(self) -> Tensor:
        """Return the hidden state that predicts the next token of each sequence, (R, d)."""
        if self._pending is not None:
            ids, self._pending = self._pending, None
            self._last = self._feed(self.model.embed(ids[:, None]), torch.ones_like(ids[:, None], dtype=torch.bool))
        return self._last

    def log_probabilities(self) -> Tensor:
        """Return those of the next token of each sequence, (R, V) float32."""
        return self.model.head(self.state()).log_softmax(dim=-1)

    def add(self, ids: Tensor) -> None:
        """Append a token to each sequence, (R,). It is computed when `state` is asked for, so possibly never."""
        self._pending = ids

    def select(self, rows: Tensor) -> None:
        """Keep the sequences with these numbers, in this order; a number may come up several times."""
        self.model = self.model.select(rows)
        if self._cache is not None:
            self._cache.batch_select_indices(rows)
        self._past = self._past[rows]
        self._last = self._last[rows]
        self._mask = None if self._mask is None else self._mask[rows]
        self._pending = None if self._pending is None else self._pending[rows]

    def branch(self, ids: Tensor) -> Tensor:
        """Try several next tokens in one pass, without copying keys and values.

        The candidates lie side by side after the sequence; a mask keeps them from seeing one another and all have
        the same position. `commit` must follow.

        Args:
            ids: The candidates (R, c) for the next token of each sequence.

        Returns:
            Their hidden states, (R, c, d).
        """
        self.state()
        count = ids.shape[1]
        real = self._real()
        here = real.sum(dim=1, keepdim=True).expand(-1, count)
        fresh = self._branches = self.model.embed(ids)
        if self._cache is not None:
            mask = tree_mask(real, count, fresh.dtype)[:, :, -count:]
            return self.model.hidden(fresh, mask, positions=here, cache=self._cache)
        positions = torch.cat([positions_from_mask(real), here], dim=1)
        everything = torch.cat([self._past, fresh], dim=1)
        return self.model.hidden(everything, tree_mask(real, count, fresh.dtype), positions=positions)[:, -count:]

    def commit(self, choice: Tensor, hidden: Tensor) -> None:
        """Append one of the candidates that `branch` tried: its number (R,) and its hidden state (R, d)."""
        assert self._branches is not None, "commit follows branch"
        each = torch.arange(self.rows, device=choice.device)
        if self._cache is not None:
            for layer in self._cache.layers:
                layer.keys = _keep_one(layer.keys, self._branches.shape[1], choice)
                layer.values = _keep_one(layer.values, self._branches.shape[1], choice)
        else:
            self._past = torch.cat([self._past, self._branches[each, choice, None]], dim=1)
        self._extend(1, torch.ones_like(choice[:, None], dtype=torch.bool))
        self._last, self._branches = hidden, None

    def _feed(self, fresh: Tensor, mask: Tensor | None) -> Tensor:
        """Append embeddings (R, n, d) and return the last hidden state, (R, d)."""
        count = fresh.shape[1]
        self._extend(count, mask)
        if self._cache is None:
            self._past = torch.cat([self._past, fresh], dim=1)
            return self.model.hidden(self._past, self._mask)[:, -1]
        positions = None if self._mask is None else positions_from_mask(self._mask)[:, -count:]
        return self.model.hidden(fresh, self._mask, positions=positions, cache=self._cache)[:, -1]

    def _extend(self, count: int, mask: Tensor | None) -> None:
        self.length += count
        if self._mask is not None and mask is not None:
            self._mask = torch.cat([self._mask, mask], dim=1)

    def _real(self) -> Tensor:
        if self._mask is not None:
            return self._mask
        return torch.ones(self.rows, self.length, dtype=torch.bool, device=self._last.device)


def tree_mask(real: Tensor, candidates: int, dtype: torch.dtype) -> Tensor:
    """Return the additive attention mask of sequences followed by candidates that do not see one another.

    Args:
        real: A bool mask (R, t), False at padding.
        candidates: The number c of candidates that follow.
        dtype: The dtype of the mask.

    Returns:
        (R, 1, t + c, t + c): 0 where a query (third dimension) sees a key (fourth), the lowest number elsewhere.
    """
    length = real.shape[1]
    itself = torch.eye(length + candidates, dtype=torch.bool, device=real.device)
    causal = torch.ones_like(itself).tril()
    causal[length:, length:] = itself[length:, length:]
    keys = torch.nn.functional.pad(real, (0, candidates), value=True)
    # padding sees itself, or its softmax would have no term and NaN would spread through the values
    seen = (causal & keys[:, None]) | itself
    zeros = torch.zeros(seen.shape, dtype=dtype, device=real.device)
    return zeros.masked_fill(~seen, torch.finfo(dtype).min)[:, None]  # and not -inf, of which sums would be NaN


def branched(cache: Any, rows: Tensor) -> Any:
    """Return a cache whose sequences are those of ``cache`` with these numbers, which stays as it is."""
    twin = copy.copy(cache)
    twin.layers = [copy.copy(layer) for layer in cache.layers]
    twin.batch_select_indices(rows)
    return twin


def _keep_one(
    states: Tensor, candidates: int, choice: Tensor
) -> Tensor:  # (R, heads, t + c, h) -> (R, heads, t + 1, h)
    length = states.shape[2] - candidates
    index = (length + choice)[:, None, None, None].expand(-1, states.shape[1], 1, states.shape[3])
    return torch.cat([states[:, :, :length], states.gather(2, index)], dim=2)
