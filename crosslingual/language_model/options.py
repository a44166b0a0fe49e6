"""Options of language model training: trained weights, sizes of new models, attention patterns; imports no torch."""

from dataclasses import dataclass
from typing import Literal

from backbone.errors import UsageError

Part = Literal["embeddings", "body", "all", "lora"]
"""Which weights: word embeddings, output embeddings and output bias; all but these; all; low-rank changes to the
matrices of the layers beside the embeddings."""

SIZES = {
    "tiny": (2, 128, 4),
    "mini": (4, 256, 4),
    "small": (12, 768, 12),
    "medium": (24, 1024, 16),
    "large": (36, 1280, 20),
    "xl": (48, 1600, 25),
    "mgpt-1.3b": (24, 2048, 16),
    "mgpt-13b": (40, 5120, 40),
}
"""Layers, width and heads by name: the starter's is mini; small to xl are GPT-2's (Radford et al., 2019, table 2)."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Which weights of a language model are trained."""

    train: Part = "all"
    """embeddings: the body stays bit-identical, so that captioners and narrators trained on it still fit; body; all; or
    lora: embeddings, and low-rank changes to the body that are merged into it at the end."""
    embeddings_first: float = 0.0
    """Share of the run in which the embeddings alone are trained, before the part asked for."""
    rank: int = 16
    """Of the changes, for lora."""

    def __post_init__(self) -> None:
        if not 0 <= self.embeddings_first < 1:
            raise UsageError(f"embeddings_first is {self.embeddings_first}, allowed is 0 up to, but not, 1")
        if self.rank < 1:
            raise UsageError(f"rank is {self.rank}, allowed is at least 1")


def shape(size: str) -> tuple[int, int, int]:
    """Return layers, width and heads of a size: a name of `SIZES`, or the three with commas between.

    Raises:
        UsageError: it is neither, or the heads do not divide the width.
    """
    if size in SIZES:
        return SIZES[size]
    parts = size.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise UsageError(f"size is {size!r}, allowed are {', '.join(SIZES)}, or layers,width,heads such as 4,256,4")
    layers, width, heads = map(int, parts)
    if not (layers and width and heads) or width % heads:
        raise UsageError(f"size {size}: layers, width and heads must be above 0, and the heads divide the width")
    return layers, width, heads


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Where positions look while a model is trained; afterwards it looks everywhere, like any GPT-2."""

    attention: Literal["dense", "alternating", "sliding"] = "dense"
    """dense: everywhere back; alternating: every other layer looks back within windows and at one block of each earlier
    window, as in mGPT's trainer; sliding: three layers in four look back a window's length only."""
    dense_tail: float = 0.1
    """Share of the run, at its end, in which attention is dense, so that the model learns to attend everywhere."""
    block: int = 16
    """Tokens in a block of alternating attention."""
    window: int = 128
    """Tokens in a window."""

    def __post_init__(self) -> None:
        if not 0 <= self.dense_tail <= 1:
            raise UsageError(f"dense_tail is {self.dense_tail}, allowed is 0 to 1")
        if self.block < 1 or self.window < 1 or self.window % self.block:
            raise UsageError(
                f"block is {self.block} and window {self.window}: both must be at least 1, and a window whole blocks"
            )
