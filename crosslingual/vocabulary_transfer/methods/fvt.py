"""Rows made of the source's tokens of the same text."""

import numpy as np

from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing


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
