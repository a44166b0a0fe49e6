"""Statistics of texts for the quality filters, vectorised over many texts: three times as fast as one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crosslingual.arrays import Array, mix, slice_hashes
from crosslingual.corpus.unicode_scripts import MARK, NEWLINE, SPACE, count_kinds, kinds_of

_BOXES = 1 << 12  # that the words of a text are thrown into: few are not alone


@dataclass(frozen=True, kw_only=True)
class Words:
    """All words of some texts on end. A word is what stands between spaces, or one character."""

    hashes: Array
    sizes: Array  # characters of each word
    texts: Array  # the text of each word, ascending
    count: int  # number of texts

    def of(self, chosen: Array) -> "Words":
        """Return the words of some texts, which are numbered anew."""
        if chosen.all():
            return self
        kept = chosen[self.texts]
        numbers = np.cumsum(chosen) - 1
        return Words(
            hashes=self.hashes[kept],
            sizes=self.sizes[kept],
            texts=numbers[self.texts[kept]],
            count=int(chosen.sum()),
        )

    def heaviest_bound(self) -> Array:
        """Return at least the most characters that one word takes, all its repeats together, (texts,): no sort."""
        boxes = self.texts * _BOXES + (self.hashes % np.uint64(_BOXES)).astype(np.int64)
        taken = np.bincount(boxes, self.sizes, minlength=self.count * _BOXES)
        most: Array = taken.reshape(self.count, _BOXES).max(axis=1)
        return most

    def heaviest_run(self, length: int) -> Array:
        """Return the most characters that one run of so many words takes, all its repeats together, (texts,).

        What stands once does not count.
        """
        starts, hashes = self._runs(length)
        order, begins = _equal(hashes, self.texts[starts])
        times = np.diff(np.append(begins, len(order)))
        firsts, times = starts[order[begins[times > 1]]], times[times > 1]
        ends = np.concatenate([[0], np.cumsum(self.sizes)])
        result = np.zeros(self.count, dtype=np.int64)
        np.maximum.at(result, self.texts[firsts], times * (ends[firsts + length] - ends[firsts]))
        return result

    def repeated_runs(self, length: int) -> Array:
        """Return the characters of words that are part of a run of so many words which has stood before, (texts,).

        A repeated run of ``length + 1`` words holds two repeated runs of ``length``: it falls as ``length`` grows.
        """
        starts, hashes = self._runs(length)
        order, begins = _equal(hashes, self.texts[starts])
        again = np.ones(len(starts), dtype=bool)
        again[order[begins]] = False
        # +1 where a repeated run begins, -1 where it has ended: above 0 within
        depth = np.zeros(len(self.hashes) + 1, dtype=np.int64)
        np.add.at(depth, starts[again], 1)
        np.add.at(depth, starts[again] + length, -1)
        inside = np.cumsum(depth[:-1]) > 0
        return np.bincount(self.texts[inside], self.sizes[inside], minlength=self.count).astype(np.int64)

    def _runs(self, length: int) -> tuple[Array, Array]:
        """Return the first words of all runs of one text, and a hash of each run."""
        starts = np.arange(max(len(self.hashes) - length + 1, 0))
        starts = starts[self.texts[starts] == self.texts[starts + length - 1]]
        return starts, self.hashes[starts] if length == 1 else slice_hashes(self.hashes, starts, starts + length)


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Numbers about each of some texts, each (texts,)."""

    words: Words
    kinds: Array  # (texts, kinds) characters of each kind
    counts: Array  # words
    characters: Array  # characters without whitespace
    letterless: Array  # words without a letter


def measure(texts: Sequence[str], *, by_character: bool) -> Measures:
    """Measure texts; quickest for some 100,000 characters at a time, which the caches of a processor hold.

    ``by_character`` takes every character for a word.
    """
    # a line end parts each text from the next, so that no word belongs to both
    points = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le"), dtype="<u4")
    bounds = np.cumsum([0, *(len(text) + 1 for text in texts)])
    kinds = kinds_of(points)
    counts = count_kinds(kinds, bounds.tolist())
    counts[:, NEWLINE] -= 1
    begins, stops = _bounds(kinds > NEWLINE, by_character=by_character)
    owners = np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(begins, bounds)))
    hashes = slice_hashes(points, begins, stops)
    words = Words(hashes=hashes, sizes=stops - begins, texts=owners, count=len(texts))
    lettered = np.logical_or.reduceat(kinds >= MARK, begins) if len(begins) else np.empty(0, dtype=bool)
    return Measures(
        words=words,
        kinds=counts,
        counts=np.bincount(owners, minlength=len(texts)),
        characters=counts.sum(axis=1) - counts[:, SPACE] - counts[:, NEWLINE],
        letterless=np.bincount(owners[~lettered], minlength=len(texts)),
    )


def _bounds(filled: Array, *, by_character: bool) -> tuple[Array, Array]:
    """Return where words begin and where they have ended; the last character is space."""
    if by_character:
        begins = np.flatnonzero(filled)
        return begins, begins + 1
    edges = np.flatnonzero(filled[1:] != filled[:-1]) + 1
    if filled[0]:
        edges = np.concatenate([[0], edges])
    return edges[::2], edges[1::2]


def _equal(hashes: Array, texts: Array) -> tuple[Array, Array]:
    """Return an order in which what is equal within a text stands together, and where each such group begins.

    Of a group the first comes first. Sorted are 48 bits, by 16 at a time, for which numpy counts and does not compare.
    """
    keys = mix(texts.astype(np.uint64)) ^ hashes
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    for shift in (16, 32):
        order = order[np.argsort((keys[order] >> np.uint64(shift)).astype(np.uint16), kind="stable")]
    ordered = keys[order]
    changes = np.ones(len(keys), dtype=bool)
    changes[1:] = ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(changes)
