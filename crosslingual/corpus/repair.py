"""Text as it should have been: decoded wrongly, unnormalised or full of control characters before."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from ftfy import fix_encoding
from ftfy.chardata import UTF8_CLUES

# A text that was UTF-8 and was decoded as something else holds the letters that lead and continuation bytes become,
# side by side; ftfy's own test, which takes longer, then decides.
_PAIR, _TRIPLE, _REST = (
    f"[{UTF8_CLUES[name]}]" for name in ("utf8_first_of_2", "utf8_first_of_3", "utf8_continuation")
)
_MISREAD = re.compile(f"{_PAIR}(?! ){_REST}|{_TRIPLE}{_REST}{{2}}")
_LINE_ENDS = "\r\v\f\x1c-\x1e\x85\u2028\u2029"
# Joiners (U+200C, U+200D) stay: Persian and the scripts of India are misspelt without them.
_CONTROLS = "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff"
_LINE_END = re.compile(f"\r\n|[{_LINE_ENDS}]")
_CONTROL = re.compile(f"[{_CONTROLS}]")

_IN_PAIR, _IN_TRIPLE, _IN_REST, _ODD = 1, 2, 4, 8

Array = np.ndarray[Any, np.dtype[Any]]


def repair_texts(texts: Sequence[str]) -> list[str]:
    r"""Return texts with encoding mistakes undone (ftfy), in NFC, lines ended by ``\n``, without control characters.

    Blanks around them go; an empty text may be left. Texts are looked at together for what may need repair, which takes
    half the time of searching each.

    Args:
        texts: without surrogates, which are no characters.
    """
    # a line end parts each text from the next
    points = np.frombuffer("\n".join([*texts, "", ""]).encode("utf-32-le"), dtype="<u4")
    stops = np.cumsum([len(text) + 1 for text in texts])
    roles = _roles()[points]
    rest = (roles & _IN_REST) > 0
    pairs = ((roles[:-1] & _IN_PAIR) > 0) & rest[1:]
    triples = ((roles[:-2] & _IN_TRIPLE) > 0) & rest[1:-1] & rest[2:]
    misread = {*_owners(pairs, stops), *_owners(triples, stops)}
    odd = _owners((roles & _ODD) > 0, stops)
    return [
        _repaired(text, misread=number in misread, odd=number in odd) if number in misread or number in odd else
        unicodedata.normalize("NFC", text).strip()
        for number, text in enumerate(texts)
    ]  # fmt: skip


def _owners(found: Array, stops: Array) -> set[int]:
    """Return the numbers of the texts in which something was found."""
    return set(np.searchsorted(stops, np.flatnonzero(found), side="right").tolist())


def _repaired(text: str, *, misread: bool, odd: bool) -> str:
    if misread:
        # one line may be misread where another is not
        text = "\n".join(fix_encoding(line) if _MISREAD.search(line) else line for line in text.split("\n"))
    if misread or odd:  # what was misread may have been a control character
        text = _CONTROL.sub("", _LINE_END.sub("\n", text))
    return unicodedata.normalize("NFC", text).strip()


@lru_cache(maxsize=1)
def _roles() -> Array:
    """Return what each code point may be a part of; beyond the first plane none is part of anything."""
    roles = np.zeros(0x110000, dtype=np.uint8)
    every = "".join(map(chr, range(0x10000)))
    for role, pattern in (
        (_IN_PAIR, _PAIR),
        (_IN_TRIPLE, _TRIPLE),
        (_IN_REST, _REST),
        (_ODD, f"[{_LINE_ENDS}{_CONTROLS}]"),
    ):
        roles[[match.start() for match in re.finditer(pattern, every)]] |= role
    roles[ord(" ")] = 0  # a continuation byte, yet after half the letters of any text
    return roles
