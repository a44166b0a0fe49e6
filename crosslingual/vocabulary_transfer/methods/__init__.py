"""The methods that give a new vocabulary its first embeddings, each as rows of a mixing of the model's own."""

from crosslingual.vocabulary_transfer.methods.focus import clp, focus, own_vectors, token_texts
from crosslingual.vocabulary_transfer.methods.omp import omp
from crosslingual.vocabulary_transfer.methods.transtoken import from_dictionary, transtoken
from crosslingual.vocabulary_transfer.methods.wechsel import ofa, wechsel
from crosslingual.vocabulary_transfer.overlap import fvt

__all__ = [
    "clp", "focus", "from_dictionary", "fvt", "ofa", "omp", "own_vectors", "token_texts", "transtoken", "wechsel",
]  # fmt: skip
