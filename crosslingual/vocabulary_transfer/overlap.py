"""Which tokens two tokenizers share: in every spelling of a leading space, as bytes, as text, and in special roles.

Shapes: ids of the source tokenizer S, of the target tokenizer T.
"""

import numpy as np

from crosslingual.tokenization.vocabulary import BYTE, SPACE, Vocabulary
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing

_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def overlap(source: Vocabulary, target: Vocabulary, *, fuzzy: bool = False) -> dict[int, int]:
    """Return the source id of each target id whose token the source has too, in the same canonical form.

    ``fuzzy``: also those that are the same without leading space and case.
    """
    # of source tokens with one form, the package takes the last
    exact = {form: number for number, form in enumerate(source.forms) if form is not None}
    alike: dict[str, int] = {}
    for number, form in enumerate(source.forms if fuzzy else ()):
        if form is not None and form == _fuzzy(form):
            alike[form] = number  # goes before those that are only alike
        elif form is not None:
            alike.setdefault(_fuzzy(form), number)
    found = {}
    for number, wanted in enumerate(target.forms):
        if wanted is not None and (wanted in exact or _fuzzy(wanted) in alike):
            found[number] = exact[wanted] if wanted in exact else alike[_fuzzy(wanted)]
    return found


def _fuzzy(form: str) -> str:
    return form.replace(SPACE, "").lower()


def copies(source: Vocabulary, target: Vocabulary, *, letters: bool = True) -> Mixing:
    """Return rows copied from the same token of the source: the same text, or the same byte.

    Byte-level tokens that are parts of characters decode to the same replacement character and are compared as bytes,
    of which ``<0xE4>`` is sentencepiece's spelling.

    Without ``letters``, text with letters in it does not count, which may mean another thing in another language.
    """
    whole = {
        form: number
        for number, form in reversed(list(enumerate(source.forms)))
        if form is not None and form.strip(SPACE) and "\ufffd" not in form
    }
    native = {_as_bytes(piece): number for piece, number in source.numbers.items()}
    same, bytewise = {}, {}
    for number, (piece, form) in enumerate(zip(target.pieces, target.forms, strict=True)):
        if form is None or piece is None:
            continue
        if form in whole:
            if letters or BYTE.match(piece) or not any(map(str.isalpha, form)):
                same[number] = whole[form]
        elif (BYTE.match(piece) or "\ufffd" in form or not form.strip(SPACE)) and _as_bytes(piece) in native:
            bytewise[number] = native[_as_bytes(piece)]
    shape = (len(target), len(source))
    return Mixing.copied(same, shape, "identical").filled(Mixing.copied(bytewise, shape, "byte"))


def specials(source: Vocabulary, target: Vocabulary) -> Mixing:
    """Return the rows of special tokens copied from the source's: the same token, or the one in the same role."""
    found: dict[int, int] = {}
    for role in _ROLES:
        here, there = (getattr(one.tokenizer, f"{role}_token", None) for one in (target, source))
        if here in target.numbers and there in source.numbers:
            found.setdefault(target.numbers[here], source.numbers[there])
    # added special tokens are no roles, and newer versions of transformers do not list them as such
    added = getattr(source.tokenizer, "added_tokens_decoder", {}).values()
    for token in [*source.tokenizer.all_special_tokens, *(str(token) for token in added if token.special)]:
        if token in target.numbers and token in source.numbers:
            found[target.numbers[token]] = source.numbers[token]
    return Mixing.copied(found, (len(target), len(source)), "special")


def _as_bytes(piece: str) -> str:
    """Return a token in the letters that byte-level BPE writes bytes with."""
    match = BYTE.fullmatch(piece)
    return _LETTERS[int(match[1], 16)] if match else piece


def _byte_letters() -> list[str]:
    """Return GPT-2's letter for each byte: itself if it is printable Latin-1, else the next free one from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    free = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(free)) for byte in range(256)]


_LETTERS = _byte_letters()


def fvt(source: Vocabulary, target: Vocabulary) -> Mixing:
    """Return each token as the mean of the source's tokens of its text (Gee et al., 2022, "Fast Vocabulary Transfer").

    A token that begins a word is read behind a space. Parts of characters, and what the source can only call unknown,
    have no row.
    """
    rows = [
        number
        for number, (piece, text) in enumerate(zip(target.pieces, target.texts, strict=True))
        if piece is not None and text and "\ufffd" not in text and piece not in target.special
    ]
    shape = (len(target), len(source))
    if not rows:
        return Mixing.of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), shape, "fvt")
    read = source.read([" " * bool(target.starts[row]) + target.texts[row] for row in rows])
    known = [[number for number in ids if number != source.tokenizer.unk_token_id] for ids in read]
    lengths = np.array([len(ids) for ids in known])
    owners = np.repeat(np.array(rows, dtype=np.int64), lengths)
    sources = np.array([number for ids in known for number in ids], dtype=np.int64)
    return Mixing.of(owners, sources, np.repeat(1 / np.maximum(lengths, 1), lengths), shape, "fvt")
