"""What kinds of characters texts are made of."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

BLANK, NEWLINE, OTHER, DIGIT, PUNCTUATION, SYMBOL, MARK = range(7)
"""Kinds that are no letters; a further kind for the letters of each script. Vowel signs and tone marks are marks."""

_KINDS = {"Z": BLANK, "N": DIGIT, "M": MARK, "P": PUNCTUATION, "S": SYMBOL}
_NAMED = 0x20000  # above, every letter is Chinese and no name says so
_WIDTHS = ("FULLWIDTH", "HALFWIDTH")


@lru_cache(maxsize=1)
def _table() -> tuple[Array, dict[str, int]]:
    """Return the kind of every code point, and the kinds of letters by script."""
    scripts = {"CJK": MARK + 1}
    kinds = np.full(0x110000, OTHER, dtype=np.uint8)
    kinds[_NAMED : 2 * _NAMED] = scripts["CJK"]
    for point in range(_NAMED):
        kinds[point] = _kind(chr(point), scripts)
    kinds[ord("\t")] = BLANK
    kinds[ord("\n")] = NEWLINE
    return kinds, scripts


def _kind(character: str, scripts: dict[str, int]) -> int:
    category = unicodedata.category(character)[0]
    if category != "L":
        return _KINDS.get(category, OTHER)
    words = unicodedata.name(character, "CJK").split()  # unnamed letters are ideographs of extensions
    script = words[1] if words[0] in _WIDTHS else words[0]
    # the names of rare letters begin with some 150 words; a byte holds them
    return scripts.setdefault(script, min(MARK + 1 + len(scripts), 255))


def kinds_of(points: Array) -> Array:
    """Return the kind of each code point, (n,) uint8."""
    kinds: Array = _table()[0][points]
    return kinds


def count_kinds(kinds: Array, bounds: Sequence[int]) -> Array:
    """Return how many characters of each kind each text has, (texts, kinds) int64.

    Args:
        kinds: (n,) kind of each character of all texts on end.
        bounds: (texts + 1,) where each text begins, and the end.
    """
    width = MARK + 1 + len(_table()[1])
    return np.stack([np.bincount(kinds[begin:end], minlength=width) for begin, end in pairwise(bounds)])


def letters(counts: Array, scripts: Sequence[str] = ()) -> Array:
    """Return the number of letters, of all scripts or of those named as in Unicode's names of letters.

    Args:
        counts: (texts, kinds) of `count_kinds`.
        scripts: such as LATIN or CJK; none: all.
    """
    known = _table()[1]
    chosen = counts[:, [known[script] for script in scripts]] if scripts else counts[:, MARK + 1 :]
    total: Array = chosen.sum(axis=1)
    return total


def known_scripts() -> frozenset[str]:
    """Return the names of scripts that `letters` tells apart."""
    return frozenset(_table()[1])
