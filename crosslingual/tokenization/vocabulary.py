"""Vocabulary: the tokens of a tokenizer as pieces, as text, and in one canonical form for all tokenizers.

Shapes: V ids of a tokenizer, one more than the highest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.arrays import Array

SPACE = "▁"  # what a leading space is in a form
BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # sentencepiece's spelling of a byte
_MARKS = ("Ġ", SPACE)  # how a leading space is written: by byte-level BPE, by sentencepiece
_CHANCE = 100  # a tokenizer of one kind has a few tokens that look like another's


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens of a tokenizer by id."""

    tokenizer: Any  # any tokenizer of transformers, fast or sentencepiece's
    pieces: tuple[str | None, ...]  # (V,) tokens as the tokenizer writes them; None at ids that no token has
    decoded: tuple[str, ...]  # (V,) the text of each id decoded alone; empty at holes

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        """Read a tokenizer.

        Raises:
            PolygraftError: It has no token.
        """
        numbers: dict[str, int] = tokenizer.get_vocab()
        if not numbers:
            raise PolygraftError("the tokenizer has no token: train or choose another")
        pieces: list[str | None] = [None] * (max(numbers.values()) + 1)
        for piece, number in numbers.items():
            pieces[number] = piece
        present = [number for number, piece in enumerate(pieces) if piece is not None]
        decoded = [""] * len(pieces)
        for number, text in zip(present, tokenizer.batch_decode([[number] for number in present]), strict=True):
            decoded[number] = text
        return cls(tokenizer=tokenizer, pieces=tuple(pieces), decoded=tuple(decoded))

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The id of each piece."""
        return {piece: number for number, piece in enumerate(self.pieces) if piece is not None}

    @cached_property
    def present(self) -> Array:
        """Which ids a token has, (V,) bool."""
        return np.array([piece is not None for piece in self.pieces])

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The decoded texts, spaces at their ends stripped, (V,)."""
        return tuple(text.strip() for text in self.decoded)

    @cached_property
    def starts(self) -> Array:
        """Whether each token begins a word, (V,) bool.

        Recognised by what most of the vocabulary does: a mark for a leading space, or ``##`` at what does not begin a
        word.
        """
        named = [piece or "" for piece in self.pieces]
        marked = np.array([piece.startswith(_MARKS) for piece in named])
        inner = np.array([piece.startswith("##") for piece in named])
        starts: Array = ~inner if inner.sum() > marked.sum() else marked
        return starts

    @cached_property
    def forms(self) -> tuple[str | None, ...]:
        """The text of each token with ``▁`` before it where it begins a word, None at holes, (V,).

        As FOCUS does it (Dobler and de Melo, 2023; deepfocus 1.0.1): the kind of tokenizer is recognised by more than
        100 tokens with its mark, and bytes of sentencepiece stay as they are written.
        """
        sentencepiece = sum(piece.startswith(SPACE) for piece in self.numbers) > _CHANCE
        wordpiece = not sentencepiece and sum(piece.startswith("##") for piece in self.numbers) > _CHANCE

        def form(piece: str, text: str) -> str:
            if wordpiece:
                return text[2:] if text.startswith("##") else SPACE + text
            if sentencepiece and BYTE.match(piece):
                return piece
            begins = piece.startswith(SPACE if sentencepiece else "Ġ")
            return (SPACE if begins else "") + text.lstrip()

        return tuple(
            None if piece is None else form(piece, text) for piece, text in zip(self.pieces, self.decoded, strict=True)
        )

    def shown(self, number: int) -> str:
        """Return a token as it reads, ``▁`` for a space before it, where it is whole characters."""
        form = self.forms[number]
        is_text = form is not None and form.strip(SPACE) and "\ufffd" not in form
        return (form if is_text else self.pieces[number]) or ""

    @cached_property
    def special(self) -> frozenset[str]:
        """Pieces with a role: beginning, end, padding and so on."""
        return frozenset(self.tokenizer.all_special_tokens)

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without special tokens."""
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return ids
