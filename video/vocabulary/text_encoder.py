"""Texts as vectors: the text encoder that a vocabulary is made with, behind one callable."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from backbone.checkpoint import FrozenPart
from backbone.errors import PolygraftError

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder

_BATCH = 256
_ROUNDED = 1e-2  # how far from 1 a length may be after half precision, and no further

T = TypeVar("T")
Watch = Callable[[Sequence[T]], Iterable[T]]


@dataclass(frozen=True)
class TextEncoder:
    """What turns N texts into (N, d) float32 rows of length 1, such as `backbone.clip.ImageEncoder.encode_text`."""

    encode: Callable[[Sequence[str]], Tensor]
    name: str
    digest: str
    """SHA-256: equal digests give equal vectors."""

    @classmethod
    def of(cls, encoder: "ImageEncoder") -> "TextEncoder":
        """Return the text side of an image-text model."""
        return cls(encoder.encode_text, name=encoder.name, digest=encoder.text_digest)

    @property
    def part(self) -> FrozenPart:
        """Name and digest, as a folder keeps them."""
        return FrozenPart(name=self.name, sha256=self.digest)

    def half(self, texts: Sequence[str], *, watch: Watch[int] = iter) -> Tensor:
        """Return texts as (N, d) float16 on the CPU, in batches; a text that is there twice is encoded once.

        Args:
            texts: any; none gives (0, 0).
            watch: sees the start of every batch pass, for a progress bar.

        Raises:
            PolygraftError: what the encoder gives is no row for each text, or not of length 1.
        """
        places: dict[str, int] = {}
        order = [places.setdefault(text, len(places)) for text in texts]
        distinct = list(places)
        rows: Tensor | None = None
        for start in watch(range(0, len(distinct), _BATCH)):
            batch = distinct[start : start + _BATCH]
            part = self._checked(self.encode(batch), len(batch))
            if rows is None:
                rows = torch.empty(len(distinct), part.shape[1], dtype=torch.float16)
            elif part.shape[1] != rows.shape[1]:
                raise PolygraftError(f"the text encoder {self.name} gives rows of different widths")
            rows[start : start + len(batch)] = part
        if rows is None:
            return torch.zeros(0, 0, dtype=torch.float16)
        return rows if len(distinct) == len(texts) else rows[torch.tensor(order)]

    def _checked(self, rows: Tensor, count: int) -> Tensor:
        if rows.ndim != 2 or rows.shape[0] != count:
            raise PolygraftError(f"the text encoder {self.name} gives {tuple(rows.shape)} for {count} texts")
        lengths = rows.float().norm(dim=1)
        if not bool(((lengths - 1).abs() < _ROUNDED).all()):  # false for NaN as well
            raise PolygraftError(f"the text encoder {self.name} gives vectors that are not finite or not of length 1")
        return rows.detach().to(device="cpu", dtype=torch.float16)
