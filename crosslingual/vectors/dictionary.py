"""Dictionary: pairs of words of two languages, cleaned and matched with two sets of word vectors."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.vectors.char_ngrams import Array
from crosslingual.vectors.dictionary_files import Pair, read_pairs
from crosslingual.vectors.word_vectors import WordVectors


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Pairs of a source word and a target word, as they stood in the file."""

    pairs: tuple[Pair, ...]
    name: str
    """Where they came from."""

    @classmethod
    def open(cls, path: str | Path, *, reverse: bool = False) -> "Dictionary":
        """Read a dictionary file; see `crosslingual.vectors.dictionary_files.read_pairs`.

        Args:
            path: the file.
            reverse: whether its headwords are of the target language, as CC-CEDICT's are for English to Chinese.
        """
        pairs = read_pairs(path)
        return cls(pairs=tuple((b, a) for a, b in pairs) if reverse else tuple(pairs), name=str(path))

    @property
    def digest(self) -> str:
        """SHA-256 of the pairs in their order."""
        return hashlib.sha256("\n".join("\t".join(pair) for pair in self.pairs).encode("utf-8", "replace")).hexdigest()

    def cleaned(self, *, phrases: bool = True, repeats: bool = True) -> "Dictionary":
        """Return the dictionary without what only costs weight.

        Args:
            phrases: drop pairs with more than one word on a side: they never match a word vector.
            repeats: keep the first of pairs that differ in case alone.
        """
        kept: dict[Pair, Pair] = {}
        for number, (source, target) in enumerate(self.pairs):
            if phrases and (len(source.split()) != 1 or len(target.split()) != 1):
                continue
            key = (source.lower(), target.lower()) if repeats else (str(number), "")
            kept.setdefault(key, (source, target))
        return Dictionary(pairs=tuple(kept.values()), name=self.name)

    def matched(self, source: WordVectors, target: WordVectors, *, repeats: bool = True) -> "Matches":
        """Return which words of the two languages the pairs join, in every spelling.

        For a pair (x, y) the nine combinations of x, its lower case and its title case with those of y, in this order;
        one counts if both words have vectors of their own. Repeats are kept, as WECHSEL keeps them, so that a pair
        whose capitalised words are unknown counts four times and one whose spellings are all known nine times.

        Args:
            source: vectors of the source language.
            target: vectors of the target language.
            repeats: False: each combination once.

        Raises:
            PolygraftError: no pair has vectors on both sides.
        """
        found = [
            (source.index[x], target.index[y])
            for pair in self.pairs
            for x, y in spellings(*pair)
            if x in source.index and y in target.index
        ]
        if not repeats:
            found = list(dict.fromkeys(found))
        if not found:
            raise PolygraftError(
                f"none of the {len(self.pairs)} pairs of {self.name} has vectors on both sides ({source.name}, "
                f"{target.name}): check that its columns are source then target language, or give another"
            )
        return Matches.of(found)


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Numbers of words that mean the same, repeats counting as weight."""

    source: Array
    """(n,) int64."""
    target: Array
    """(n,) int64."""

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> "Matches":
        """Return pairs of numbers as two columns."""
        columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return cls(source=columns[:, 0], target=columns[:, 1])

    def __getitem__(self, chosen: Array) -> "Matches":
        return Matches(source=self.source[chosen], target=self.target[chosen])


def spellings(source: str, target: str) -> Iterator[Pair]:
    """Yield the nine combinations of a pair as it is, in lower and in title case."""
    for x in (source, source.lower(), source.title()):
        for y in (target, target.lower(), target.title()):
            yield x, y


def identical(source: WordVectors, target: WordVectors, *, numerals_only: bool = False) -> Dictionary:
    """Return the words that both languages write alike, numerals among them, as pairs: anchors without a dictionary.

    Args:
        source: vectors of the source language.
        target: vectors of the target language.
        numerals_only: numerals alone, for languages whose common spellings are chance.

    Raises:
        PolygraftError: there is none.
    """
    words = [word for word in source.words if word in target.index and (word.isdecimal() or not numerals_only)]
    if not words:
        raise PolygraftError(f"{source.name} and {target.name} have no word in common: give a dictionary")
    return Dictionary(pairs=tuple((word, word) for word in words), name="words written alike")
