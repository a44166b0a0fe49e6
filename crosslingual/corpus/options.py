"""Options of a corpus build: filters, deduplication, held-out share."""

from dataclasses import dataclass
from typing import Literal

from backbone.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What is dropped, and what is held out. Thresholds of quality stand in the list of sources."""

    exact: Literal["keep-first", "drop-all", "off"] = "keep-first"
    """Exact duplicates, in any language: keep the first, none, or all."""
    near: Literal["drop", "keep", "off"] = "drop"
    """Near duplicates of a language: keep the first; keep all, on one side of the split; or off."""
    near_similarity: float = 0.7
    """Jaccard similarity of 5-word shingles from which two texts are near duplicates."""
    tails: float = 0.01
    """Share of texts that compress best, and of those that compress worst, that is dropped for each length."""
    no_rules: bool = False
    """Apply no quality filters and no script filter."""
    heldout: float = 0.01
    """Share of texts that is held out from training."""
    split_seed: int = 0
    """Seed of the held-out split."""
    max_document_bytes: int = 10_000_000
    """Longest document that is read."""
    unit_bytes: int = 64_000_000
    """Bytes of text per shard, which is cleaned as a unit."""

    def __post_init__(self) -> None:
        bounds = {"near_similarity": (0.3, 1.0), "tails": (0.0, 0.4), "heldout": (0.0, 0.5)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be between {low} and {high}")
        for name in ("max_document_bytes", "unit_bytes"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be at least 1")
        if not 0 <= self.split_seed < 2**63:
            raise UsageError(f"split_seed is {self.split_seed}, but must be between 0 and 2^63")
