"""Texts as rows of token ids, and the ids that end, begin and pad a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backbone.errors import PolygraftError


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Texts as token ids on the CPU, padded on the right."""

    ids: Tensor
    """(B, T) int64."""
    mask: Tensor
    """(B, T) bool, False at padding."""


class SpecialIds(NamedTuple):
    """The tokens that stand for no text."""

    eos: int
    bos: int
    pad: int


def special_ids(tokenizer: Any, config: Any, vocabulary: int, name: str) -> SpecialIds:
    """Return the ids that end, begin and pad a text: the tokenizer's, else the model's, else the one that ends it.

    Args:
        tokenizer: a tokenizer of transformers.
        config: the model's config.
        vocabulary: number of rows of the model's embedding.
        name: of the model, for messages.

    Raises:
        PolygraftError: the tokenizer is empty or has ids of text that the model does not know; nothing ends a text.
    """
    text_ids = set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids)
    if not text_ids:
        raise PolygraftError(f"{name} has no tokenizer: its tokenizer.json is missing or empty")
    if (largest := max(text_ids)) >= vocabulary:
        raise PolygraftError(
            f"the tokenizer of {name} goes up to id {largest}, but the model knows {vocabulary} ids: "
            "the two do not belong together"
        )

    def find(role: str) -> int | None:
        found = [getattr(owner, f"{role}_token_id", None) for owner in (tokenizer, config)]
        # models with several ends of text list them
        flat = [ids[0] if isinstance(ids, list) and ids else ids for ids in found]
        return next((number for number in flat if isinstance(number, int) and 0 <= number < vocabulary), None)

    eos, bos, pad = find("eos"), find("bos"), find("pad")
    if eos is None:
        raise PolygraftError(f"{name} has no end-of-text token: set eos_token in its tokenizer_config.json")
    return SpecialIds(eos=eos, bos=eos if bos is None else bos, pad=eos if pad is None else pad)


def encode(tokenizer: Any, texts: Sequence[str], *, max_tokens: int, eos_id: int | None, pad_id: int) -> Tokens:
    """Turn texts into token ids, padded to the longest; see `backbone.gpt2.Backbone.encode`."""
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}, allowed is at least 1")
    rows: list[list[int]] = []
    if texts:
        options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
        rows = tokenizer(list(texts), **options)["input_ids"]
    end = [] if eos_id is None else [eos_id]
    rows = [[*row, *end][:max_tokens] for row in rows]
    width = max(map(len, rows), default=0)
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows], dtype=torch.int64)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return Tokens(ids=ids.view(len(rows), width), mask=torch.arange(width) < lengths[:, None])
