"""Fertility and related metrics of tokenizers: bytes per token, unknown tokens, words split at a combining mark.

Measured without a model. Perplexities per token cannot be compared between tokenizers; these can (Rust et al., 2021;
Petrov et al., 2023).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.tokenization.byte_bpe import check_unicode

_BATCH = 256  # texts
# Thai, Lao and Tibetan, Burmese, Khmer, kana, Chinese
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a tokenizer made of the texts of a language: sums, from which the figures are ratios."""

    texts: int
    bytes: int
    characters: int  # without spaces
    words: int  # what stands between spaces
    tokens: int
    unknown: int  # tokens that stand for what the tokenizer does not know
    split_at_mark: int | None
    """Words with a token that begins within a letter and its combining marks; None: the tokenizer cannot tell."""
    used: int  # different tokens
    vocabulary: int  # tokens of the tokenizer
    spaced: bool  # whether words are parted by spaces, as they are in most scripts

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes that a token stands for."""
        return self.bytes / self.tokens

    @property
    def fertility(self) -> float:
        """Tokens for a word; for a character, where words are not separated by spaces."""
        return self.tokens / (self.words if self.spaced else self.characters)

    @property
    def unknown_rate(self) -> float:
        """Share of the tokens that are unknown."""
        return self.unknown / self.tokens

    @property
    def split_rate(self) -> float | None:
        """Share of the words that are cut at a combining mark."""
        return None if self.split_at_mark is None else self.split_at_mark / self.words

    @property
    def used_share(self) -> float:
        """Share of the vocabulary that the texts use."""
        return self.used / self.vocabulary

    def figures(self) -> dict[str, float | str]:
        """Return what is reported of a training, by name."""
        return {
            "bytes_per_token": round(self.bytes_per_token, 3),
            "fertility": round(self.fertility, 3),
            "per": "word" if self.spaced else "character",
            "unknown": round(self.unknown_rate, 5),
        }


def measure(tokenizer: Any, texts: Iterable[str], name: str = "text") -> Cut:
    """Cut texts of one language, which messages call ``name``, and count.

    Only a fast tokenizer tells where its tokens begin.

    Raises:
        PolygraftError: There is no word in the texts, or they are no Unicode.
    """
    sums: Counter[str] = Counter()
    used: set[int] = set()
    for batch in _batches(texts, name):
        rows = _encode(tokenizer, batch)
        used.update(*rows["input_ids"])
        sums.update(_sums(tokenizer, batch, rows))
    if not sums["words"] or not sums["tokens"]:
        raise PolygraftError(f"{name} has no words to measure a tokenizer on: give text")
    spaced = 2 * sums.pop("unspaced") <= sums["characters"]
    split = sums.pop("split_at_mark")
    marks = split if tokenizer.is_fast else None
    return Cut(**sums, split_at_mark=marks, used=len(used), vocabulary=len(tokenizer), spaced=spaced)


def _batches(texts: Iterable[str], name: str) -> Iterator[list[str]]:
    remaining = iter(texts)
    while batch := list(islice(remaining, _BATCH)):
        for text in batch:
            check_unicode(text, f"a text of {name}")
        yield batch


def _encode(tokenizer: Any, batch: list[str]) -> Any:
    return tokenizer(
        batch,
        add_special_tokens=False,
        split_special_tokens=True,  # a text that spells a special token is text
        return_offsets_mapping=tokenizer.is_fast,
        verbose=False,
    )


def _sums(tokenizer: Any, batch: Sequence[str], rows: Any) -> dict[str, int]:
    words = [text.split() for text in batch]
    unknown = tokenizer.unk_token_id
    plain = unknown is None or unknown == tokenizer.eos_token_id  # GPT-2 names its end of text as what it never needs
    split = zip(batch, rows["offset_mapping"], strict=True) if tokenizer.is_fast else ()
    return {
        "texts": len(batch),
        "bytes": sum(len(text.encode()) for text in batch),
        "characters": sum(len(word) for row in words for word in row),
        "words": sum(map(len, words)),
        "tokens": sum(map(len, rows["input_ids"])),
        "unknown": 0 if plain else sum(row.count(unknown) for row in rows["input_ids"]),
        "split_at_mark": sum(_words_split_at_mark(text, offsets) for text, offsets in split),
        "unspaced": sum(len(_UNSPACED.findall(text)) for text in batch),
    }


def _words_split_at_mark(text: str, offsets: Sequence[tuple[int, int]]) -> int:
    """Return in how many words of a text a token begins with a combining mark, or within one."""
    starts = [start for start, _ in offsets if _is_mark(text[start : start + 1])]
    if not starts:
        return 0
    # the number of a character's word: how many spaces, runs counted once, stand before it
    space = np.array([letter.isspace() for letter in text])
    begins = ~space & np.concatenate([[True], space[:-1]])
    return len(set(np.cumsum(begins)[starts].tolist()))


def _is_mark(letter: str) -> bool:
    return bool(letter) and unicodedata.category(letter)[0] == "M"
