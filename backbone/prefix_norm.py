"""The length of prefix vectors."""

import torch
from torch import Tensor, nn


class Calibration(nn.Module):
    """Bring prefix vectors to the length of word embeddings: LayerNorm, then one learned gain.

    Without it the first steps of a training are spent on finding the scale that the language model reads.

    Args:
        width: width of the prefix vectors.
        norm: mean length of the language model's word embeddings, the length that the vectors start with.
    """

    def __init__(self, width: int, norm: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gain = nn.Parameter(torch.tensor([norm / width**0.5]))  # FSDP2 takes no scalars

    def forward(self, prefix: Tensor) -> Tensor:
        """Map (B, k, d) to (B, k, d)."""
        calibrated: Tensor = self.norm(prefix) * self.gain
        return calibrated
