"""The methods that give a new vocabulary its first embeddings, each as rows of a mixing."""

from crosslingual.methods.anchored import clp, focus
from crosslingual.methods.own import own_vectors, token_texts
from crosslingual.methods.pursuit import omp
from crosslingual.methods.similar import ofa, wechsel
from crosslingual.methods.spelling import fvt
from crosslingual.methods.translated import from_dictionary, transtoken

__all__ = [
    "clp",
    "focus",
    "from_dictionary",
    "fvt",
    "ofa",
    "omp",
    "own_vectors",
    "token_texts",
    "transtoken",
    "wechsel",
]
