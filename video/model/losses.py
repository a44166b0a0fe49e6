"""What a query vector is trained by: to be nearer to its own narration than to others, equal texts counting as one.

Shapes: B clips, N distinct texts, D width of text vectors; all vectors have length 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def batch_loss(queries: Tensor, texts: Tensor, rows: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE of a batch, summed over its clips, as the release of VLog takes it.

    Two clips with one narration are right answers to each other, where the release has them as wrong ones: the target
    is spread over all of them, and its own entropy taken off, so that a perfect batch has a loss of 0.

    Args:
        queries: (B, D).
        texts: (B, D) of each clip's narration.
        rows: (B,) which narration it is.
        scale: one over the temperature.
    """
    logits = queries @ texts.T * scale
    same = (rows[:, None] == rows[None]).to(logits)
    shared = same.sum(dim=1, keepdim=True)
    forward, backward = (F.cross_entropy(each, same / shared, reduction="sum") for each in (logits, logits.T))
    return forward + backward - 2 * shared.log().sum()


def vocabulary_loss(queries: Tensor, vocabulary: Tensor, rows: Tensor, scale: Tensor, *, chunk: int = 65_536) -> Tensor:
    """Return the cross-entropy of each clip's narration among all N texts, summed over the clips.

    The texts are frozen, so that they can be gone through piece by piece. The logits of a piece are made again for the
    gradient, so that memory holds B times ``chunk`` of them, however many texts there are.

    Args:
        queries: (B, D).
        vocabulary: (N, D), any precision.
        rows: (B,) the narration of each clip.
        scale: one over the temperature.
        chunk: texts at a time.
    """
    own = (queries * vocabulary[rows].to(queries)).sum(dim=1) * scale
    parts = [vocabulary[start : start + chunk] for start in range(0, len(vocabulary), chunk)]
    pieces = [
        checkpoint(_log_sum, queries, part, scale, use_reentrant=False)
        if len(parts) > 1
        else _log_sum(queries, part, scale)
        for part in parts
    ]
    return (torch.logsumexp(torch.stack(pieces), dim=0) - own).sum()


def _log_sum(queries: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    return torch.logsumexp(queries @ texts.to(queries).T * scale, dim=1)
