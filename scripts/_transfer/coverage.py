"""How well each script of the new vocabulary is covered: which rows were copied, made by a method, or drawn."""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import get_args

from crosslingual.options import Drawn
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.transfer.mixing_matrix import Mixing

_COPIED = {"special", "identical", "byte"}
_NAMES = {"CJK": "HAN", "IDEOGRAPHIC": "HAN"}


@dataclass(frozen=True, kw_only=True)
class ScriptCoverage:
    """The tokens of one script, or of none."""

    script: str
    """As in the names of Unicode's characters, in small letters: latin, cyrillic, han; or digits, signs, bytes."""
    tokens: int
    copied: int
    """Rows that the source has too."""
    made: int
    """Rows that a method made of others."""
    drawn: int
    """Rows left to chance or to the mean."""


def by_script(mixing: Mixing, vocabulary: Vocabulary) -> list[ScriptCoverage]:
    """Return the coverage of each script, the one with most tokens first.

    Args:
        mixing: from the old tokens to the new ones.
        vocabulary: the new one.
    """
    counts: dict[str, Counter[str]] = {}
    for row, (piece, text) in enumerate(zip(vocabulary.pieces, vocabulary.texts, strict=True)):
        script = "no token" if piece is None else "special" if piece in vocabulary.special else script_of(text)
        counts.setdefault(script, Counter())[_kind(mixing.origin(row))] += 1
    rows = [
        ScriptCoverage(
            script=script, tokens=found.total(), copied=found["copied"], made=found["made"], drawn=found["drawn"]
        )
        for script, found in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row.tokens, row.script))


def script_of(text: str) -> str:
    """Return the script that most letters of a text are of, or what else it is made of."""
    if "\ufffd" in text:
        return "bytes"
    letters = Counter(_script(letter) for letter in text if unicodedata.category(letter).startswith("L"))
    if letters:
        return letters.most_common(1)[0][0]
    return "digits" if any(letter.isnumeric() for letter in text) else "signs"


@cache
def _script(letter: str) -> str:
    # a character's name begins with its script: CYRILLIC SMALL LETTER A, HANGUL SYLLABLE GAG
    first = unicodedata.name(letter, "unnamed").split()[0].split("-")[0]
    return _NAMES.get(first, first).lower()


def _kind(origin: str) -> str:
    if origin in _COPIED:
        return "copied"
    return "drawn" if origin in get_args(Drawn) else "made"
