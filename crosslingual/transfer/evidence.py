"""Evidence: what a transfer may know of two languages."""

from dataclasses import dataclass

from crosslingual.transfer.inputs import Parallel
from crosslingual.vectors.char_ngrams import Array
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vectors.word_vectors import WordVectors


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of the two languages, beyond the tokenizers."""

    source_vectors: WordVectors | None = None
    target_vectors: WordVectors | None = None
    dictionary: Dictionary | None = None
    """None: the two vector spaces are one already."""
    token_vectors: Array | None = None
    """(T, a) vectors of the target's tokens, for focus."""
    parallel: Parallel | None = None
    """Sentences that say the same, for transtoken."""
    donor: Array | None = None
    """(T, a) input embeddings of a helper model that has the target's tokenizer, by its ids, for clp and omp."""
