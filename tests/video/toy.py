"""Narrations of a kitchen and a workshop, and a text encoder that needs no model: texts that share words are close."""

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from video.config import CodingOptions
from video.vocabulary.narrations import NarrationRow, Narrations, collect
from video.vocabulary.vectors import TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary

WIDTH = 32


def word_vector(word: str) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))


def embed(texts: Sequence[str]) -> Tensor:
    """Return the direction of the sum of the words' vectors: (N, 32)."""
    rows = [torch.stack([word_vector(word) for word in text.split()]).sum(dim=0) for text in texts]
    return F.normalize(torch.stack(rows), dim=1) if rows else torch.zeros(0, WIDTH)


def toy_encoder() -> TextEncoder:
    return TextEncoder(embed, name="toy", digest="70" * 32)


KITCHEN = ["cut a potato", "cut a potato with a knife", "cut a potato on the board", "open the door", "wash hands"]
WORKSHOP = ["cut a plank", "cut a plank with a saw", "open the door", "sweep the floor", "paint the wall with a brush"]


def toy_narrations() -> Narrations:
    rows = [NarrationRow(text, video=f"k{index % 2}", scenario="Cooking") for index, text in enumerate(KITCHEN)]
    rows += [NarrationRow(text, video="w", scenario="Working with wood") for text in WORKSHOP]
    return collect([*rows, NarrationRow("sit down", video="x")])


def toy_vocabulary(options: CodingOptions | None = None) -> NarrationVocabulary:
    return NarrationVocabulary.build(toy_narrations(), options, encoder=toy_encoder())
