"""Which tokens two tokenizers share: in every spelling of a leading blank, as bytes, and in special roles.

Shapes: ids of the source tokenizer S, of the target tokenizer T.
"""

import re
import string
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from crosslingual.mixing import Mixing
from crosslingual.subwords import pieces_of

Match = Literal["exact", "fuzzy", "symbols"]

_BLANK = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# A tokenizer of one kind has a few tokens that look like another's.
_CHANCE = 100


def canonical_forms(tokenizer: Any, pieces: Sequence[str | None]) -> list[str | None]:
    """Return the text of each token with ``▁`` before it where it begins a word, None at holes, (V,).

    As FOCUS does it (Dobler and de Melo, 2023; deepfocus 1.0.1): the kind of tokenizer is told by more than 100 tokens
    with its mark, and bytes of sentencepiece stay as they are written.
    """
    present = [number for number, piece in enumerate(pieces) if piece is not None]
    texts = dict(zip(present, tokenizer.batch_decode([[number] for number in present]), strict=True))
    named = [piece for piece in pieces if piece is not None]
    sentencepiece = sum(piece.startswith(_BLANK) for piece in named) > _CHANCE
    wordpiece = not sentencepiece and sum(piece.startswith("##") for piece in named) > _CHANCE

    def form(piece: str, text: str) -> str:
        if wordpiece:
            return text[2:] if text.startswith("##") else _BLANK + text
        if sentencepiece and _BYTE.match(piece):
            return piece
        begins = piece.startswith(_BLANK if sentencepiece else "Ġ")
        return (_BLANK if begins else "") + text.lstrip()

    return [None if piece is None else form(piece, texts[number]) for number, piece in enumerate(pieces)]


def overlap(source: Any, target: Any, match: Match = "exact") -> dict[int, int]:
    """Return the source id of each target id whose token the source has too.

    Args:
        source: its tokenizer.
        target: its tokenizer.
        match: ``exact``: the same canonical form; ``fuzzy``: else the same without leading blank and case;
            ``symbols``: numbers, punctuation, blanks and special tokens alone, exactly or else fuzzily.
    """
    source_forms = canonical_forms(source, pieces_of(source))
    target_forms = canonical_forms(target, pieces_of(target))
    # of source tokens with one form, the package takes the last
    exact = {form: number for number, form in enumerate(source_forms) if form is not None}
    fuzzy: dict[str, int] = {}
    for number, form in enumerate(source_forms):
        if form is not None and form == _fuzzy(form):
            fuzzy[form] = number
        elif form is not None:
            fuzzy.setdefault(_fuzzy(form), number)
    special = set(target.all_special_tokens)
    found = {}
    for number, wanted in enumerate(target_forms):
        if wanted is None or (match == "symbols" and not _is_symbol(_fuzzy(wanted), special)):
            continue
        number_there = exact.get(wanted)
        if number_there is None and match != "exact":
            number_there = fuzzy.get(_fuzzy(wanted))
        if number_there is not None:
            found[number] = number_there
    return found


def _fuzzy(form: str) -> str:
    return form.replace(_BLANK, "").lower()


def _is_symbol(text: str, special: set[str]) -> bool:
    return text in special or text.isnumeric() or text.isspace() or all(letter in string.punctuation for letter in text)


def copies(source: Any, target: Any) -> Mixing:
    """Return rows copied from the same token of the source: the same text, or the same byte.

    Byte-level tokens that are parts of characters decode to the same replacement character and are compared as bytes,
    of which ``<0xE4>`` is sentencepiece's spelling.
    """
    source_pieces, target_pieces = pieces_of(source), pieces_of(target)
    whole = {
        form: number
        for number, form in reversed(list(enumerate(canonical_forms(source, source_pieces))))
        if form is not None and form.strip(_BLANK) and "\ufffd" not in form
    }
    native = {_as_bytes(piece): number for number, piece in enumerate(source_pieces) if piece is not None}
    same, bytewise = {}, {}
    for number, (piece, form) in enumerate(zip(target_pieces, canonical_forms(target, target_pieces), strict=True)):
        if form is None or piece is None:
            continue
        if form in whole:
            same[number] = whole[form]
        elif (_BYTE.match(piece) or "\ufffd" in form or not form.strip(_BLANK)) and _as_bytes(piece) in native:
            bytewise[number] = native[_as_bytes(piece)]
    shape = (len(target_pieces), len(source_pieces))
    joined = Mixing.of(*_columns(same), shape, "identical")
    return joined.filled(Mixing.of(*_columns(bytewise), shape, "byte"))


def specials(source: Any, target: Any, *, roles: bool = True) -> Mixing:
    """Return the rows of special tokens copied from the source's.

    Args:
        source: its tokenizer.
        target: its tokenizer.
        roles: whether a special token that the source spells otherwise has the row of the source's token in the same
            role: beginning, end, padding and so on.
    """
    source_pieces, target_pieces = pieces_of(source), pieces_of(target)
    target_numbers = {piece: number for number, piece in enumerate(target_pieces) if piece is not None}
    source_numbers = {piece: number for number, piece in enumerate(source_pieces) if piece is not None}
    found: dict[int, int] = {}
    for role in _ROLES if roles else ():
        here, there = getattr(target, f"{role}_token", None), getattr(source, f"{role}_token", None)
        if here in target_numbers and there in source_numbers:
            found.setdefault(target_numbers[here], source_numbers[there])
    # added special tokens are no roles, and newer versions of transformers do not list them as such
    for token in _special_tokens(source):
        if token in target_numbers and token in source_numbers:
            found[target_numbers[token]] = source_numbers[token]
    return Mixing.of(*_columns(found), (len(target_pieces), len(source_pieces)), "special")


def _special_tokens(tokenizer: Any) -> list[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return list(dict.fromkeys([*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)]))


def _columns(found: dict[int, int]) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    rows = np.array(list(found), dtype=np.int64)
    return rows, np.array(list(found.values()), dtype=np.int64), np.ones(len(found))


def _as_bytes(piece: str) -> str:
    """Return a token in the letters that byte-level BPE writes bytes with."""
    match = _BYTE.fullmatch(piece)
    return _LETTERS[int(match[1], 16)] if match else piece


def _byte_letters() -> list[str]:
    """Return GPT-2's letter for each byte: itself if it is printable Latin-1, else the next free one from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    free = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(free)) for byte in range(256)]


_LETTERS = _byte_letters()
