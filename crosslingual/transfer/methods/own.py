"""FOCUS's auxiliary vectors (Dobler and de Melo, 2023, section 2.2): text as tokens, and the vectors of these."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from crosslingual.vectors.char_ngrams import Array
from crosslingual.vectors.word_vectors import WordVectors


def token_texts(tokenizer: Any, texts: Iterable[str]) -> Iterator[str]:
    """Yield texts as tokens with blanks between: what FOCUS trains its auxiliary vectors on."""
    for text in texts:
        yield " ".join(tokenizer.tokenize(text))


def own_vectors(tokenizer: Any, vectors: WordVectors) -> Array:
    """Return the vectors of tokens that are words of ``vectors``, (T, a); zeros for those too rare to be.

    Args:
        tokenizer: the target's.
        vectors: trained on what `token_texts` yields.
    """
    numbers: dict[str, int] = tokenizer.get_vocab()
    found = np.zeros((max(numbers.values()) + 1, vectors.width), dtype=np.float32)
    known = [piece for piece in numbers if piece in vectors.index]
    found[[numbers[piece] for piece in known]] = vectors.vectors(known)
    return found
