"""Decoding: the options of text generation; imports no torch."""

from dataclasses import dataclass
from math import inf
from typing import Annotated, Literal

import tyro

from backbone.errors import UsageError
from backbone.io.settings import check_range

Method = Literal["greedy", "sampling", "beam", "contrastive"]

# Smallest and largest value of each option that has bounds of its own.
_BOUNDS: dict[str, tuple[float, float]] = {
    "max_tokens": (1, inf),
    "min_tokens": (0, inf),
    "num_return": (1, inf),
    "beams": (1, inf),
    "length_penalty": (-10, 10),  # lengths to this power stay finite
    "temperature": (0, 100),
    "top_k": (0, inf),
    "top_p": (0.01, 1),  # 0 would rule out every token
    "contrastive": (0, 1),
    "candidates": (1, inf),
    "repetition_penalty": (1, 100),
    "no_repeat_ngram": (0, inf),
}


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How texts are drawn from the language model.

    Greedily, unless one of three other methods is asked for: temperature above 0 samples, beams above 1 is beam
    search, contrastive is contrastive search. Settings that contradict each other, or would do nothing, are refused.

    Raises:
        UsageError: Names the settings and what is allowed.
    """

    max_tokens: int = 24
    """Largest number of tokens of a text, the end-of-text token counted."""
    min_tokens: int = 0
    """Smallest number of tokens of a text."""
    num_return: Annotated[int, tyro.conf.arg(aliases=("--num-captions",))] = 1
    """Texts for each input; more than one needs beams or a temperature."""
    beams: int = 1
    """Beams of beam search; 1: no beam search."""
    length_penalty: float = 1.0
    """Beams are ranked by log-probability / length ** this: above 0 favours long texts, below 0 short ones."""
    temperature: float = 0.0
    """Sample, with log-probabilities divided by this; 0: no sampling."""
    top_k: int = 0
    """Sample among the most likely tokens only, so many of them; 0: all."""
    top_p: float = 1.0
    """Sample among the fewest tokens that together have this probability; 1: all."""
    contrastive: float | None = None
    """Contrastive search (Su et al., 2022) with this degeneration penalty, such as 0.6."""
    candidates: int = 4
    """Tokens that contrastive search chooses from at each step."""
    repetition_penalty: float = 1.0
    """Log-probabilities of tokens already in the text are multiplied by this; 1: no penalty."""
    no_repeat_ngram: int = 0
    """Size of n-grams that may not repeat in a text; 0: no limit."""
    seed: int = 0
    """Seed of sampling."""
    cache: bool = True
    """Cache keys and values from step to step."""

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            check_range(self, name, low, high)
        if self.min_tokens > self.max_tokens:
            raise UsageError(f"min_tokens {self.min_tokens} exceeds max_tokens {self.max_tokens}")
        self._check_methods()
        self._check_idle_settings()
        self._check_num_return()

    @property
    def method(self) -> Method:
        """Which of the four algorithms these options ask for."""
        if self.contrastive is not None:
            return "contrastive"
        if self.beams > 1:
            return "beam"
        return "sampling" if self.temperature > 0 else "greedy"

    def _check_methods(self) -> None:
        asked = {
            "beams": self.beams > 1,
            "temperature": self.temperature > 0,
            "contrastive": self.contrastive is not None,
        }
        names = [f"{name} {getattr(self, name)}" for name, wanted in asked.items() if wanted]
        if len(names) > 1:
            raise UsageError(f"{' and '.join(names)} contradict each other: give one of them")

    def _check_idle_settings(self) -> None:
        """Refuse a setting that belongs to a method not asked for, since it would silently do nothing."""
        owners: dict[str, tuple[Method, str]] = {
            "length_penalty": ("beam", "beams above 1"),
            "top_k": ("sampling", "a temperature above 0, such as 1"),
            "top_p": ("sampling", "a temperature above 0, such as 1"),
            "candidates": ("contrastive", "contrastive, such as 0.6"),
        }
        for name, (method, cure) in owners.items():
            value = getattr(self, name)
            if value != getattr(type(self), name) and self.method != method:
                raise UsageError(f"{name} {value} does nothing in {self.method} decoding: it needs {cure}")

    def _check_num_return(self) -> None:
        if self.num_return == 1 or self.method == "sampling":
            return
        if self.method != "beam":
            raise UsageError(
                f"num_return is {self.num_return}, but {self.method} decoding finds 1 text: "
                "give beams, or a temperature above 0"
            )
        if self.num_return > self.beams:
            raise UsageError(f"num_return {self.num_return} exceeds beams {self.beams}")
