"""Packed tokens, the next-token objective, and training FLOPs per token (Chowdhery et al., 2022, appendix B)."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.errors import PolygraftError
from backbone.io.files import atomic_file
from backbone.training.mfu import Work
from backbone.training.optim import repeated_blocks
from crosslingual.language_model.sparse_attention import SparseAttention


def training_work(model: Any, context: int) -> Work:
    """Return the operations for one token: 6 for each weight of a matrix product, and attention.

    A look-up in an embedding is no product, the output layer is one, tied or not. A weight that is not trained costs 4:
    what is below it still needs gradients. Attention is counted dense whatever the mask, as it is computed.

    Args:
        model: any causal model of transformers.
        context: tokens that are attended to.
    """
    layers = int(model.config.num_hidden_layers)
    attended = 4.0 * layers * _attention_width(model.config) * context  # forward: two products, a key and a query each
    trained, frozen = _products(model)
    in_blocks = sum(sum(_products(block)) for block in repeated_blocks(model))
    return Work(needed=6.0 * trained + 4.0 * frozen + 3 * attended, repeated=2.0 * in_blocks + attended)


def _attention_width(config: Any) -> int:
    heads = int(config.num_attention_heads)
    return heads * int(getattr(config, "head_dim", None) or config.hidden_size // heads)


def _products(module: nn.Module) -> tuple[int, int]:
    """Return how many weights of matrix products are trained, and how many are not."""
    counts = [0, 0]
    for owner in module.modules():
        if not isinstance(owner, nn.Embedding):
            for weight in owner.parameters(recurse=False):
                if weight.ndim == 2:
                    counts[not weight.requires_grad] += weight.numel()
    return counts[0], counts[1]


class PackedTokens:
    """Documents laid end to end, each followed by the end-of-text token, cut into rows of ``context`` tokens.

    Satisfies `backbone.training.sampler.Batches`; a row overlaps the next by one token, so that every token is
    predicted once.

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
    """Tokenize documents into one file of ids, whole or not there, and return it memory-mapped.

    Args:
        documents: texts; tokenized in batches.
        tokenizer: a fast tokenizer with an end-of-text token.
        path: an ``.npy`` file to write.
    """
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
    for batch in _batched(documents, 1000):
        yield from tokenizer(batch, **options)["input_ids"]


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
        context: tokens in a row, for the share of the device's speed; 0: it is not reported.
        attention: where positions look; dense where none is given.
    """

    def __init__(self, model: nn.Module, *, context: int = 0, attention: SparseAttention | None = None) -> None:
        super().__init__()
        self.model = model
        self.context = context
        self.attention = attention

    def forward(self, rows: Any) -> tuple[Tensor, ...]:
        """Return (summed cross-entropy in nats, number of tokens) of (B, T + 1) rows."""
        rows = rows.to(next(self.model.parameters()).device, non_blocking=True)
        inputs, targets = rows[:, :-1], rows[:, 1:]
        logits = self.model(inputs, use_cache=False).logits.float()
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return loss, torch.tensor(float(targets.numel()), device=loss.device)

    def begin_step(self, progress: float) -> None:
        """Let the dense tail begin when it is due."""
        if self.attention:
            self.attention.begin_step(progress)

    def work(self) -> Work | None:
        """Return the operations for one token."""
        return training_work(self.model, self.context) if self.context else None
