"""Packed tokens, the next-token objective, and training FLOPs per token (Chowdhery et al., 2022, appendix B)."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.errors import PolygraftError
from backbone.io.files import atomic_file


class PackedTokens:
    """Documents laid end to end, each followed by the end-of-text token, cut into rows of ``context`` tokens.

    Satisfies `backbone.training.sampler.Batches`; a row overlaps the next by one token, so that every token is
    predicted once. The ids are (n,) of 16 or 32 bits without sign, usually a memory map.
    """

    def __init__(self, tokens: "np.ndarray[Any, Any]", context: int) -> None:
        if len(tokens) <= context:
            raise PolygraftError(f"the text has {len(tokens)} tokens, fewer than one row of {context}: give more text")
        self.tokens = tokens
        self.context = context
        self.digest = hashlib.sha256(np.ascontiguousarray(tokens).data).hexdigest() + f":{context}"

    @classmethod
    def open(cls, path: Path, context: int) -> "PackedTokens":
        """Map the tokens of a file that `pack` has written."""
        return cls(np.load(path, mmap_mode="r", allow_pickle=False), context)

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.context

    def collate(self, indices: Sequence[int]) -> Tensor:
        """Return rows of token ids, (B, context + 1) int64."""
        starts = [index * self.context for index in indices]
        rows = [self.tokens[start : start + self.context + 1] for start in starts]
        return torch.from_numpy(np.stack(rows).astype(np.int64))


def pack(documents: Iterable[str], tokenizer: Any, path: Path) -> "np.ndarray[Any, Any]":
    """Tokenize documents into one file of ids, whole or not there, and return it memory-mapped."""
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    pieces = [np.array([*ids, tokenizer.eos_token_id], dtype=dtype) for ids in token_ids(tokenizer, documents)]
    if not pieces:
        raise PolygraftError("there is no document to train on")
    with atomic_file(path) as partial:
        np.save(partial, np.concatenate(pieces))
    packed: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return packed


def token_ids(tokenizer: Any, documents: Iterable[str]) -> Iterator[list[int]]:
    """Yield the ids of each document, tokenized in batches and whatever its length.

    No special tokens are added, and their names within a text are read as plain characters.
    """
    options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    remaining = iter(documents)
    while batch := list(islice(remaining, 1000)):
        yield from tokenizer(batch, **options)["input_ids"]
