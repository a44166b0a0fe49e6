"""Bits per byte and per character, and token perplexity, of a language model on text.

Perplexities compare models with one tokenizer; bits per UTF-8 byte compare any. Sums are divided once: no mean of
ratios of documents or windows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.errors import PolygraftError
from backbone.training.logger import watched
from crosslingual.arrays import Array, ratio_interval
from crosslingual.language_model.packed_tokens import token_ids


@dataclass(frozen=True, kw_only=True, eq=False)
class TextScore:
    """How well a model predicts documents: the amounts of each, (documents,), of whose sums the figures are made."""

    nats: Array  # summed cross-entropy
    bytes: Array  # of its UTF-8 text; the end-of-text token has none
    characters: Array
    tokens: Array  # predicted tokens, the end-of-text token among them
    unknown: Array  # tokens that hide text the tokenizer cannot write: it costs no bits, so look at their share
    context: int  # tokens that a prediction looks back on at most
    stride: int  # tokens by which windows move on; less than ``context``, and predictions look back on more

    @classmethod
    def joined(cls, scores: "Sequence[TextScore]") -> "TextScore":
        """Return the score of all documents of several scores with one context and stride."""
        names = ("nats", "bytes", "characters", "tokens", "unknown")
        amounts = {name: np.concatenate([getattr(score, name) for score in scores]) for name in names}
        return cls(**amounts, context=scores[0].context, stride=scores[0].stride)

    @property
    def bits_per_byte(self) -> float:
        """Bits the model needs for one UTF-8 byte of the text."""
        return float(sum(self.nats.tolist())) / math.log(2) / max(int(self.bytes.sum()), 1)

    def figures(self) -> dict[str, float]:
        """Return what is reported, by name; the interval of the bits per byte is drawn over documents."""
        low, high = ratio_interval(self.nats / math.log(2), self.bytes)
        size, tokens = int(self.bytes.sum()), int(self.tokens.sum())
        nats = sum(self.nats.tolist())
        return {
            "bits_per_byte": self.bits_per_byte,
            "bits_per_byte_low": low,
            "bits_per_byte_high": high,
            "bits_per_character": nats / math.log(2) / max(int(self.characters.sum()), 1),
            # exp(710) is more than a float holds
            "perplexity": math.exp(nats / max(tokens, 1)) if nats < 700 * max(tokens, 1) else math.inf,
            "unknown_rate": float(self.unknown.sum()) / max(tokens, 1),
            "documents": len(self.nats),
            "bytes": size,
            "tokens": tokens,
            "context": self.context,
            "context_bytes": round(self.context * size / max(tokens, 1), 1),
            "stride": self.stride,
        }


class _Window(NamedTuple):
    document: int
    ids: list[int]
    counted: int  # tokens at its end that are predicted here; those before them were predicted in an earlier window


def score_text(
    model: nn.Module,
    tokenizer: Any,
    documents: Sequence[str],
    *,
    context: int,
    stride: int = 0,
    batch_size: int = 8,
    bar: bool = False,
) -> TextScore:
    """Return how well ``model`` predicts ``documents``.

    Each document starts from the end-of-text token, and its own end-of-text token counts as predicted. It is cut into
    windows of ``context`` tokens, each ``stride`` tokens after the one before; of a window only what no earlier one
    predicted counts.

    Args:
        model: Any causal model of transformers.
        tokenizer: Its tokenizer, with an end-of-text token.
        documents: Texts; at least one.
        context: Tokens fed at once.
        stride: 1 to ``context``; 0: ``context``, windows that do not overlap.
        batch_size: Windows at once; the figures do not depend on it.
        bar: Whether progress is shown; a training has a bar of its own.

    Raises:
        PolygraftError: There is no document, or the stride does not fit.
    """
    stride = stride or context
    if not documents:
        raise PolygraftError("there is no text to score: give at least one document")
    if not 1 <= stride <= context:
        raise PolygraftError(f"stride is {stride}, allowed is 1 to the context of {context} tokens")
    unknown_id = tokenizer.unk_token_id if tokenizer.unk_token_id != tokenizer.eos_token_id else None
    sequences = [[tokenizer.eos_token_id, *ids, tokenizer.eos_token_id] for ids in token_ids(tokenizer, documents)]
    windows = [window for number, ids in enumerate(sequences) for window in _windows(number, ids, context, stride)]
    windows.sort(key=lambda window: len(window.ids))  # little padding; the longest batch comes last
    nats = np.zeros(len(documents))
    batches = [range(start, min(start + batch_size, len(windows))) for start in range(0, len(windows), batch_size)]
    for batch in watched(batches, "scoring") if bar else batches:
        part = windows[batch.start : batch.stop]
        np.add.at(nats, [window.document for window in part], _window_nats(model, part))
    return TextScore(
        nats=nats,
        bytes=np.array([len(text.encode("utf-8", "replace")) for text in documents]),
        characters=np.array([len(text) for text in documents]),
        tokens=np.array([len(ids) - 1 for ids in sequences]),
        unknown=np.array([0 if unknown_id is None else ids.count(unknown_id) for ids in sequences]),
        context=context,
        stride=stride,
    )


def _windows(document: int, ids: list[int], context: int, stride: int) -> Iterator[_Window]:
    done = 1  # nothing predicts the token that a document starts from
    start = 0
    while done < len(ids):
        stop = min(start + context + 1, len(ids))
        yield _Window(document, ids[start:stop], stop - done)
        done, start = stop, start + stride


@torch.no_grad()
def _window_nats(model: nn.Module, windows: Sequence[_Window]) -> Array:
    """Return the cross-entropy of what each window predicts, (B,) float64; padding stands right, where none looks."""
    device = next(model.parameters()).device
    rows = [torch.tensor(window.ids) for window in windows]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    logits: Tensor = model(padded[:, :-1], use_cache=False).logits
    losses = F.cross_entropy(logits.float().transpose(1, 2), padded[:, 1:], reduction="none").double().cpu()
    ends = [len(window.ids) - 1 for window in windows]
    return np.array(
        [float(row[end - window.counted : end].sum()) for row, end, window in zip(losses, ends, windows, strict=True)]
    )
