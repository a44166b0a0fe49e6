"""Character n-grams as fastText counts and hashes them, for many words at once.

After `Dictionary::computeSubwords` and `Dictionary::hash` of fastText 0.9.3 (Bojanowski et al., 2017, section 3.2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
END_OF_SENTENCE = "</s>"  # the one word that fastText gives no n-grams
_OFFSET, _PRIME = np.uint32(2166136261), np.uint32(16777619)  # FNV-1a, 32 bits
_BATCH = 100_000


@dataclass(frozen=True, kw_only=True)
class Ngrams:
    """Which n-grams of a word have a row, and where."""

    shortest: int  # characters of the shortest n-gram
    longest: int  # characters of the longest; 0: there are none
    buckets: int  # rows that the hashes share

    def rows(self, words: Sequence[str]) -> tuple[Array, Array]:
        """Return the n-grams of words as (numbers of the words, buckets), both (n,) int64, in the order of the words.

        Args:
            words: any strings; what could not be decoded may stand in them as surrogates (``surrogateescape``).
        """
        if not self.longest or not self.buckets:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        parts = [self._batch(words[start : start + _BATCH], start) for start in range(0, len(words), _BATCH)]
        owners, buckets = (np.concatenate([part[side] for part in parts] or [np.empty(0, np.int64)]) for side in (0, 1))
        return owners, buckets

    def _batch(self, words: Sequence[str], offset: int) -> tuple[Array, Array]:
        encoded = [b"" if word == END_OF_SENTENCE else b"<%b>" % to_bytes(word) for word in words]
        lengths = np.array([len(word) for word in encoded], dtype=np.int64)
        text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        ends = np.cumsum(lengths)
        starts = np.flatnonzero((text & 0xC0) != 0x80)  # the first byte of each character
        owner = np.searchsorted(ends, starts, side="right")
        found = list(self._hashes(text, starts, owner, ends))
        first, hashes = (np.concatenate([part[side] for part in found] or [np.empty(0, np.int64)]) for side in (0, 1))
        # by word, then by first character, then by length: the order in which fastText adds the rows
        order = np.argsort(first, kind="stable")
        return owner[first[order]] + offset, hashes[order] % self.buckets

    def _hashes(self, text: Array, starts: Array, owner: Array, ends: Array) -> Iterator[tuple[Array, Array]]:
        """Yield (first characters, hashes) of the n-grams that are equally many bytes long, the shortest first."""
        # stops[n]: where the n-gram of n + 1 characters from each start ends; past the word's end there is none
        following = np.append(starts, len(text))
        position = np.arange(len(starts))
        end = ends[owner]
        stops = [following[np.minimum(position + n, len(starts))] for n in range(1, self.longest + 1)]
        stops = [np.where((position + n <= len(starts)) & (stop <= end), stop, -1) for n, stop in enumerate(stops, 1)]
        first = np.append(True, owner[1:] != owner[:-1]) if len(owner) else np.empty(0, bool)
        reach = np.minimum(np.maximum.reduce(stops) if len(starts) else starts, end)
        hashes = np.full(len(starts), _OFFSET, dtype=np.uint32)
        # fastText widens each byte with its sign before the exclusive or
        widened = text.view(np.int8).astype(np.int32).view(np.uint32)
        for step in range(int((reach - starts).max(initial=0))):
            active = np.flatnonzero(starts + step < reach)
            hashes[active] = (hashes[active] ^ widened[starts[active] + step]) * _PRIME
            for count, stop in enumerate(stops, 1):
                if count < self.shortest:
                    continue
                done = active[stop[active] == starts[active] + step + 1]
                if count == 1:  # the brackets alone are no n-grams
                    done = done[~first[done] & (stop[done] != end[done])]
                yield done, hashes[done].astype(np.int64)


def to_bytes(word: str) -> bytes:
    """Return the bytes that a word stands for; a lone surrogate that stands for no byte becomes a question mark."""
    try:
        return word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return word.encode("utf-8", "replace")
