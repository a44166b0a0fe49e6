"""Rows made of the tokens that translate each other: trans-tokenisation, from parallel text or from a dictionary.

Shapes: S source ids, T target ids, L pairs of words.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import gcd

import numpy as np
from scipy.sparse import csr_array, diags_array

from crosslingual.alignment import Word, WordReader, align_words
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vocabulary_transfer.inputs import Parallel
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing, Origin, join
from crosslingual.vocabulary_transfer.overlap import copies

_ROUNDS = 20  # in which a dictionary is aligned anew
_DIGITS = 4  # of the longest number that is looked at as one


Pairs = list[tuple[Word, Word, float]]
"""(source word, target word, expected count)."""


def _aligned(source: WordReader, target: WordReader, parallel: Parallel, least: float) -> Pairs:
    """Align parallel text and keep the pairs that are counted at least ``least`` times."""
    x, x_words = _numbered(source.read(parallel.source))
    y, y_words = _numbered(target.read(parallel.target))
    found = align_words(x, y)
    kept = found.counts >= least
    columns = (found.source[kept].tolist(), found.target[kept].tolist(), found.counts[kept].tolist())
    return [(x_words[a], y_words[b], count) for a, b, count in zip(*columns, strict=True)]


def token_counts(pairs: Pairs, shape: tuple[int, int]) -> csr_array:
    """Return how often each source token translates each target token, (T, S).

    Words of one token give their count. Of others half the count goes to all pairs of their tokens, half to those in
    the same relative place; a target token gets the same in all. Fractions stay fractions, where the authors' code
    rounds them down to whole numbers of at least 1: counts from little text are small.
    """
    triples = [triple for pair in pairs for triple in _token_pairs(*pair)]
    rows, columns, counts = zip(*triples, strict=True) if triples else ((), (), ())
    places = (np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64))
    return csr_array((np.array(counts, dtype=np.float64), places), shape=shape)


def _numbered(sentences: Sequence[Sequence[Word]]) -> tuple[list[list[int]], list[Word]]:
    numbers: dict[Word, int] = {}
    read = [[numbers.setdefault(word, len(numbers)) for word in words] for words in sentences]
    return read, list(numbers)


def _token_pairs(source: Word, target: Word, count: float) -> Iterator[tuple[int, int, float]]:
    if len(source) == len(target) == 1:
        yield target[0], source[0], count
        return
    for there in target:
        yield from ((there, here, count / 2 / len(source)) for here in source)
    # both lengths are stretched to their least common multiple
    common = gcd(len(source), len(target))
    stretch, share = len(target) // common, len(source) // common
    yield from (
        (target[place // share], source[place // stretch], count / 2 / share) for place in range(len(target) * share)
    )


def transtoken(
    source: Vocabulary, target: Vocabulary, parallel: Parallel, *, least: float | None = None
) -> tuple[Mixing, Mixing]:
    """Return the rows of trans-tokenisation (Remy et al., 2024, section 3): tokens by their translations.

    Words are aligned and their counts given to their tokens; numbers and tokens that the source writes alike count once
    more. A token never counted borrows from those that begin with it, and from the longest within it.

    Pairs of words that are counted less often than ``least`` are taken for noise; None: once for 10,000 sentences, but
    from 0.5 to the authors' 10.

    Returns:
        The rows counted, and those borrowed.
    """
    if least is None:
        least = min(10.0, max(0.5, len(parallel) / 10_000))
    aligned = _aligned(WordReader.of(source), WordReader.of(target), parallel, least)
    counts = token_counts(aligned, (len(target), len(source))) + _alike(source, target)
    return _shares(counts, "transtoken"), _shares(_borrowed(source, target, csr_array(counts)), "borrowed")


def from_dictionary(source: Vocabulary, target: Vocabulary, dictionary: Dictionary, *, least: float = 0.5) -> Mixing:
    """Return rows by trans-tokenisation with a dictionary for parallel text (Sakajo et al., 2025, section 3).

    The tokens of words found are taken out of the target's byte-pair encoding, so that words fall back to shorter
    tokens, and the dictionary is aligned again, until nothing new is found. A token's row is that of the first round in
    which it was counted. With other kinds of tokenizer there is one round.

    Pairs of words that are counted less often than ``least`` are taken for noise.
    """
    parallel = Parallel.of(dictionary)
    there, here = WordReader.of(source), WordReader.of(target)
    shape = (len(target), len(source))
    mixings, removable = [], set(here.merges)
    for _ in range(_ROUNDS):
        aligned = _aligned(there, here, parallel, least)
        mixings.append(_shares(token_counts(aligned, shape), "dict"))
        whole = {target.pieces[word[0]] for _, word, _ in aligned if len(word) == 1}
        new = {piece for piece in whole if piece in removable}
        if not new:
            break
        removable -= new
        here = here.without(piece for piece in new if piece)
    return join([*mixings, _shares(_alike(source, target), "dict")])


def _shares(counts: csr_array, origin: Origin) -> Mixing:
    """Return the rows that have counts, divided by their sums."""
    matrix = csr_array(counts).tocoo()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    return Mixing.of(matrix.row, matrix.col, matrix.data / totals[matrix.row], matrix.shape, origin)


def _alike(source: Vocabulary, target: Vocabulary) -> csr_array:
    """Return a count of 1 for numbers, by the first source token of each, and for tokens that both have."""
    rows = [
        number
        for number, (piece, text) in enumerate(zip(target.pieces, target.texts, strict=True))
        if piece is not None and text.isdecimal() and len(text) <= _DIGITS
    ]
    read = source.read([" " * bool(target.starts[row]) + target.texts[row] for row in rows]) if rows else []
    # sentencepiece may write the space as a token of its own
    firsts = [next((token for token in ids if source.texts[token]), -1) for ids in read]
    numbers = {row: first for row, first in zip(rows, firsts, strict=True) if first >= 0}
    shape = (len(target), len(source))
    return csr_array(copies(source, target).matrix + Mixing.copied(numbers, shape, "identical").matrix)


def _borrowed(source: Vocabulary, target: Vocabulary, counts: csr_array) -> csr_array:
    """Return weights for tokens that were never counted: those of their lenders, each divided by its sum.

    Translations that begin a word weigh double, as in the authors' code.
    """
    totals = np.asarray(counts.sum(axis=1)).ravel()
    lenders = _lenders(target, totals > 0)
    rows = np.array([row for row, found in lenders.items() for _ in found], dtype=np.int64)
    columns = np.array([lender for found in lenders.values() for lender in found], dtype=np.int64)
    chosen = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(target), len(target)))
    shares = diags_array(1 / np.where(totals > 0, totals, 1)) @ counts
    return csr_array(chosen @ shares @ diags_array(1.0 + source.starts))


def _lenders(target: Vocabulary, counted: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> dict[int, list[int]]:
    """Return, for each token without counts, the tokens with counts that begin with it or are the longest within it."""
    known = {piece: number for piece, number in target.numbers.items() if counted[number] and len(piece)}
    ordered = sorted(known)
    found: dict[int, list[int]] = {}
    for piece, number in target.numbers.items():
        if counted[number] or piece in target.special:
            continue
        longer = []
        for place in range(bisect_left(ordered, piece), len(ordered)):
            other = ordered[place]
            if not other.startswith(piece):
                break
            longer.append(known[other])
        lenders = longer + [known[part] for part in _longest_parts(piece, known)]
        if lenders:
            found[number] = lenders
    return found


def _longest_parts(piece: str, known: dict[str, int]) -> list[str]:
    """Return the known parts of a token that lie in no longer known part."""
    parts: list[str] = []
    for length in range(len(piece) - 1, 0, -1):
        for start in range(len(piece) - length + 1):
            part = piece[start : start + length]
            if part in known and not any(part in longer for longer in parts):
                parts.append(part)
    return parts
