"""What a text is like in numbers, taken of many texts at once: one text at a time would take three times as long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosslingual.corpus.characters import BLANK, MARK, NEWLINE, count_kinds, kinds_of
from crosslingual.corpus.hashing import mix, slice_hashes

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Numbers about each of some texts, each (texts,). A word is what stands between blanks, or one character."""

    kinds: Array
    """(texts, kinds) characters of each kind."""
    words: Array
    characters: Array
    """Characters that are not blank."""
    letterless: Array
    """Words without a letter."""
    heaviest: Array
    """Most characters that one word takes, all its repeats together."""
    repeated: Array
    """Characters of words that are part of a run of words which has stood before."""


@dataclass(frozen=True)
class _Words:
    """All words of all texts on end."""

    hashes: Array
    sizes: Array
    """Characters of each word."""
    texts: Array
    """The text of each word, ascending."""
    count: int
    """Number of texts."""


def measure(texts: Sequence[str], run: int, *, by_character: bool) -> Measures:
    """Measure texts; quickest for some 100,000 characters at a time, which the caches of a processor hold.

    Args:
        texts: at least one.
        run: words in the runs whose repeats are looked for.
        by_character: take every character for a word.
    """
    # a line end parts each text from the next, so that no word belongs to both
    points = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le"), dtype="<u4")
    bounds = np.cumsum([0, *(len(text) + 1 for text in texts)])
    kinds = kinds_of(points)
    counts = count_kinds(kinds, bounds.tolist())
    counts[:, NEWLINE] -= 1
    begins, stops = _bounds(kinds > NEWLINE, by_character=by_character)
    owners = np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(begins, bounds)))
    words = _Words(slice_hashes(points, begins, stops), stops - begins, owners, len(texts))
    lettered = np.logical_or.reduceat(kinds >= MARK, begins) if len(begins) else np.empty(0, dtype=bool)
    return Measures(
        kinds=counts,
        words=np.bincount(words.texts, minlength=len(texts)),
        characters=counts.sum(axis=1) - counts[:, BLANK] - counts[:, NEWLINE],
        letterless=np.bincount(words.texts[~lettered], minlength=len(texts)),
        heaviest=_heaviest(words),
        repeated=_repeated(words, run),
    )


def _bounds(filled: Array, *, by_character: bool) -> tuple[Array, Array]:
    """Return where words begin and where they have ended; the last character is blank."""
    if by_character:
        begins = np.flatnonzero(filled)
        return begins, begins + 1
    edges = np.flatnonzero(filled[1:] != filled[:-1]) + 1
    if filled[0]:
        edges = np.concatenate([[0], edges])
    return edges[::2], edges[1::2]


def _heaviest(words: _Words) -> Array:
    order, begins = _equal(words.hashes, words.texts)
    repeats = np.diff(np.append(begins, len(order)))
    firsts = order[begins]
    result = np.zeros(words.count, dtype=np.int64)
    np.maximum.at(result, words.texts[firsts], repeats * words.sizes[firsts])
    return result


def _repeated(words: _Words, run: int) -> Array:
    count = max(len(words.hashes) - run + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(run):
        hashes = mix(hashes ^ words.hashes[offset : offset + count])
    whole = np.flatnonzero(words.texts[:count] == words.texts[run - 1 :][:count])
    order, begins = _equal(hashes[whole], words.texts[whole])
    again = np.ones(len(whole), dtype=bool)
    again[order[begins]] = False
    # +1 where a repeated run begins, -1 where it has ended: above 0 within
    depth = np.zeros(len(words.hashes) + 1, dtype=np.int64)
    np.add.at(depth, whole[again], 1)
    np.add.at(depth, whole[again] + run, -1)
    inside = np.cumsum(depth[:-1]) > 0
    return np.bincount(words.texts[inside], words.sizes[inside], minlength=words.count).astype(np.int64)


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
