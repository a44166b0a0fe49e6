"""Kinds of characters, and the scripts and word separation of languages, as far as cleaning needs them."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from crosslingual.arrays import Array

SPACE, NEWLINE, OTHER, DIGIT, PUNCTUATION, SYMBOL, MARK = range(7)
"""Kinds that are no letters; a further kind for the letters of each script. Vowel signs and tone marks are marks."""

_KINDS = {"Z": SPACE, "N": DIGIT, "M": MARK, "P": PUNCTUATION, "S": SYMBOL}
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
    kinds[ord("\t")] = SPACE
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

    ``kinds`` are those of all texts on end, (n,), and ``bounds``, (texts + 1,), where each text begins, and the end.
    """
    width = MARK + 1 + len(_table()[1])
    return np.stack([np.bincount(kinds[begin:end], minlength=width) for begin, end in pairwise(bounds)])


def letters(counts: Array, scripts: Sequence[str] = ()) -> Array:
    """Return the number of letters, of all scripts or of those named as in Unicode's names of letters."""
    known = _table()[1]
    chosen = counts[:, [known[script] for script in scripts]] if scripts else counts[:, MARK + 1 :]
    total: Array = chosen.sum(axis=1)
    return total


def known_scripts() -> frozenset[str]:
    """Return the names of scripts that `letters` tells apart."""
    return frozenset(_table()[1])


_SCRIPTS = {
    "LATIN": "af az ca cs cy da de en eo es et eu fi fr ga gl ha hr ht hu id ig is it jv la lb lt lv mg ms mt nb nl nn "
    "no pl pt qu ro rw sk sl so sq sv sw tk tl tr uz vi xh yo zu",
    "CYRILLIC": "ba be bg bxr ce cv kk ky mk mn myv os ru sah sr tg tt tyv udm uk xal",
    "ARABIC": "ar ckb fa ps sd ug ur",
    "HEBREW": "he yi",
    "GREEK": "el",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "DEVANAGARI": "hi mr ne sa",
    "BENGALI": "as bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "bo dz",
    "ETHIOPIC": "am ti",
    "HANGUL": "ko",
    "CJK": "zh yue ja ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
}

# Written in two alphabets by people of one time: Serbian or Uzbek text is welcome in either.
_SECOND = {"sr": ("LATIN",), "uz": ("CYRILLIC",), "az": ("CYRILLIC",), "kk": ("LATIN",), "tt": ("LATIN",)}
_UNSPACED = {"zh": 2, "yue": 2, "ja": 2, "th": 4, "lo": 4, "km": 4, "my": 4, "bo": 4, "dz": 4}
_UNPUNCTUATED = {"th", "lo", "km"}


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How a language is written."""

    scripts: tuple[str, ...] = ()
    """Scripts of its letters, named as Unicode's names of letters begin; none where we do not know."""
    word_characters: int = 0
    """Characters that count as a word where no spaces stand between words; 0: words are what spaces part."""
    punctuated: bool = True  # whether sentences end in a mark


def writing_of(language: str) -> Writing:
    """Return how a language is written, by the first part of its code."""
    code = language.replace("_", "-").split("-")[0].lower()
    scripts = tuple(script for script, codes in _SCRIPTS.items() if code in codes.split())
    return Writing(
        scripts=scripts + _SECOND.get(code, ()),
        word_characters=_UNSPACED.get(code, 0),
        punctuated=code not in _UNPUNCTUATED,
    )
