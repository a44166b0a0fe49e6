"""Training and measuring language models: packed tokens, the objective that `backbone.fit` trains, bits per byte."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.errors import PolygraftError


class PackedTokens:
    """Documents laid end to end, each followed by the end-of-text token, cut into rows of ``context`` tokens.

    Satisfies `backbone.order.Batches`; a row overlaps the next by one token, so that every token is predicted once.

    Args:
        tokens: (n,) unsigned 16- or 32-bit token ids, usually a memory map.
        context: tokens predicted in each row.
    """

    def __init__(self, tokens: "np.ndarray[Any, Any]", context: int) -> None:
        if len(tokens) <= context:
            raise PolygraftError(f"the text has {len(tokens)} tokens, fewer than one row of {context}: give more text")
        self.tokens = tokens
        self.context = context
        self.digest = hashlib.sha256(np.ascontiguousarray(tokens).data).hexdigest() + f":{context}"

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.context

    def collate(self, indices: Sequence[int]) -> Tensor:
        """Return rows of token ids, (B, context + 1) int64."""
        starts = [index * self.context for index in indices]
        rows = [self.tokens[start : start + self.context + 1] for start in starts]
        return torch.from_numpy(np.stack(rows).astype(np.int64))


def pack(documents: Iterable[str], tokenizer: Any, path: Path) -> "np.ndarray[Any, Any]":
    """Tokenize documents into one file of ids and return it memory-mapped.

    Args:
        documents: texts; tokenized in batches.
        tokenizer: a fast tokenizer with an end-of-text token.
        path: an ``.npy`` file to write.
    """
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    pieces = [np.array([*ids, tokenizer.eos_token_id], dtype=dtype) for ids in token_ids(tokenizer, documents)]
    if not pieces:
        raise PolygraftError("there is no document to train on")
    np.save(path, np.concatenate(pieces))
    packed: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return packed


def token_ids(tokenizer: Any, documents: Iterable[str]) -> Iterator[list[int]]:
    """Yield the ids of each document, tokenized in batches, without special tokens and whatever its length."""
    for batch in _batched(documents, 1000):
        yield from tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]


def _batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class LanguageObjective(nn.Module):
    """Next-token prediction with any causal model of transformers: what `fit` trains.

    Args:
        model: ``model(ids).logits`` of shape (B, T, V).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (summed cross-entropy in nats, number of tokens) of (B, T + 1) rows."""
        rows = rows.to(next(self.model.parameters()).device, non_blocking=True)
        inputs, targets = rows[:, :-1], rows[:, 1:]
        logits = self.model(inputs, use_cache=False).logits.float()
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return loss, torch.tensor(float(targets.numel()), device=loss.device)


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """How well a model predicts a text. Sums are divided once, never averaged as ratios."""

    documents: int
    bytes: int
    tokens: int
    nats: float

    @property
    def bits_per_byte(self) -> float:
        """Bits the model needs for one UTF-8 byte of the text."""
        return self.nats / math.log(2) / max(self.bytes, 1)


@torch.no_grad()
def score_text(model: nn.Module, tokenizer: Any, documents: Sequence[str], *, context: int) -> TextScore:
    """Return the summed cross-entropy of ``documents`` under ``model``.

    Each document starts from the end-of-text token and is cut into windows of ``context`` tokens that do not overlap;
    its own end-of-text token counts as predicted, its bytes do not count it.
    """
    device = next(model.parameters()).device
    tokens, nats = 0, 0.0
    eos = tokenizer.eos_token_id
    for ids in token_ids(tokenizer, documents):
        sequence = torch.tensor([eos, *ids, eos], device=device)
        for start in range(0, len(sequence) - 1, context):
            row = sequence[start : start + context + 1]
            logits = model(row[None, :-1], use_cache=False).logits[0].float()
            nats += float(F.cross_entropy(logits, row[1:], reduction="sum"))
            tokens += len(row) - 1
    size = sum(len(document.encode()) for document in documents)
    return TextScore(documents=len(documents), bytes=size, tokens=tokens, nats=nats)
