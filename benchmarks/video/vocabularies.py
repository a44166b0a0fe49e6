"""The vocabularies that narrations are retrieved from, as one matrix: each is the first rows of the next.

Shapes: N entries, D width of text vectors.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from backbone.io.files import atomic_file
from benchmarks.video.distractors import COMPOSED
from scripts._app.cli import progress

if TYPE_CHECKING:
    from video.vocabulary.vectors import TextEncoder

_CHUNK = 8192
"""Texts that are encoded and kept at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkVocabulary:
    """Texts with their vectors."""

    texts: Sequence[str]
    vectors: Tensor
    """(N, D) float16."""

    def rows(self) -> dict[str, int]:
        """Return the row of each text."""
        return {text: row for row, text in enumerate(self.texts)}

    def first(self, entries: int) -> "BenchmarkVocabulary":
        """Return the vocabulary of the first entries alone."""
        return BenchmarkVocabulary(texts=self.texts[:entries], vectors=self.vectors[:entries])


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A vocabulary, and how long it took to make."""

    vocabulary: BenchmarkVocabulary
    seconds: float
    """Of what this call had to encode."""
    encoded: int


def embed(texts: Sequence[str], encoder: "TextEncoder", folder: Path) -> Embedded:
    """Return texts with their vectors; kept in `folder` piece by piece, so that an interrupted call is not lost."""
    folder.mkdir(parents=True, exist_ok=True)
    parts, seconds, encoded = [], 0.0, 0
    starts = range(0, len(texts), _CHUNK)
    for start in progress(starts, "encoding narrations", len(starts)):
        chunk = list(texts[start : start + _CHUNK])
        name = hashlib.sha256("\0".join([encoder.digest, *chunk]).encode()).hexdigest()[:24]
        file = folder / f"{name}.npy"
        if not file.exists():
            began = time.perf_counter()
            rows = encoder.half(chunk).numpy()
            seconds, encoded = seconds + time.perf_counter() - began, encoded + len(chunk)
            with atomic_file(file) as partial:
                np.save(partial, rows)
        parts.append(torch.from_numpy(np.load(file, allow_pickle=False)))
    vectors = torch.cat(parts) if parts else torch.zeros(0, 0, dtype=torch.float16)
    return Embedded(vocabulary=BenchmarkVocabulary(texts=texts, vectors=vectors), seconds=seconds, encoded=encoded)


def described(sources: dict[str, list[str]], names: int, entries: int) -> str:
    """Say what a vocabulary of so many entries is made of: "4,394 names, 18,513 recipe steps, 77,093 composed"."""
    counts, left = {"names": min(names, entries)}, entries - names
    for source, texts in sources.items():
        counts[source] = max(0, min(len(texts), left))
        left -= len(texts)
    counts[COMPOSED] = max(0, left)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def name_list(groups: Iterable[Iterable[str]]) -> list[str]:
    """Return the distinct names of all groups, in their order."""
    return list(dict.fromkeys(name for group in groups for name in group))
