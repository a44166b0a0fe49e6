"""What a narrator reads of clips, and what it should answer: batches of tensors.

Shapes: B clips, T frames, L tokens of a question, dv width of frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """The frames of B clips, and what is asked of each."""

    frames: Tensor
    """(B, T, dv) float32, L2-normalised, in their order."""
    mask: Tensor
    """(B, T) bool, false at padding, which may stand anywhere."""
    question: Tensor
    """(B, L) int64; L may be 0."""
    asked: Tensor
    """(B, L) bool, likewise."""

    def to(self, device: torch.device) -> "ClipBatch":
        """Return the batch on ``device``."""
        return ClipBatch(**{name: part.to(device, non_blocking=True) for name, part in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class NarrationBatch:
    """B clips with their narrations, given as rows of a table of texts and, where they are to be written, as tokens."""

    clips: ClipBatch
    rows: Tensor
    """(B,) int64, the row of each clip's narration among the distinct texts."""
    ids: Tensor
    """(B, T) int64 tokens with the end of text, padded on the right; T is 0 where narrations are retrieved."""
    mask: Tensor
    """(B, T) bool, true where a token is real."""

    def to(self, device: torch.device) -> "NarrationBatch":
        """Return the batch on ``device``."""
        own = {name: getattr(self, name).to(device, non_blocking=True) for name in ("rows", "ids", "mask")}
        return NarrationBatch(clips=self.clips.to(device), **own)
