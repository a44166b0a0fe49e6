"""Tiny word vectors: fastText's own, trained in a second on a few sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from crosslingual.vectors.formats import VectorTable
from crosslingual.vectors.word_vectors import VectorTraining, WordVectors, train

SENTENCES = [
    "the cat sits on the mat and the dog sits on the roof",
    "a child holds a red balloon and the balloon flies over the sea",
    "über die brücke läuft ein hund 漢字 и собака 👍",
    "The Cat and The Dog look at the sea and the child sings a song",
    "a small blue bird sings on the red roof of the house by the sea",
]
OPTIONS = VectorTraining(width=20, epochs=2, min_count=1, shortest=3, longest=5, buckets=2000)


def word_vectors(vectors: Mapping[str, Sequence[float]], counts: Sequence[int] | None = None) -> WordVectors:
    """Return word vectors in memory: a vector for each word, most frequent first, and how often each was seen."""
    rows = np.array(list(vectors.values()), dtype=np.float32)
    table = VectorTable(words=list(vectors), rows=rows, counts=None if counts is None else np.array(counts))
    return WordVectors(table, name="vectors in memory")


def tiny_fasttext(path: Path, sentences: list[str] = SENTENCES, **changes) -> WordVectors:
    """Train fastText's vectors on sentences and write them to ``path``."""
    return train(sentences * 20, path, replace(OPTIONS, **changes))
