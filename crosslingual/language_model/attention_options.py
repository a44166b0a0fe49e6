"""How a model looks back while it is trained: options, which import no torch."""

from dataclasses import dataclass
from typing import Literal

from backbone.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Where positions look while a model is trained; afterwards it looks everywhere, like any GPT-2."""

    attention: Literal["dense", "alternating", "sliding"] = "dense"
    """dense: everywhere back; alternating: every other layer looks back within windows and at one block of each earlier
    window, as in mGPT's trainer; sliding: three layers in four look back a window's length only."""
    dense_tail: float = 0.1
    """Share of the run, at its end, in which attention is dense again, so that the model learns to look everywhere."""
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
