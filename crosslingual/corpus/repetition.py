"""How much of a text says again what it has said: lines and runs of words (Rae et al., 2021, appendix A1.1).

The measures are exact, yet most texts pass by a bound that is cheap to know.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import mul
from typing import Any

import numpy as np

Words = Sequence[str]
Limits = Sequence[tuple[int, float]]
"""Length of a run in words, and the share of characters that it may have."""


def repeated_lines(lines: Sequence[str]) -> tuple[float, float]:
    """Return the share of lines that repeat an earlier one, and the share of characters that stand in them."""
    first = set(lines)
    if len(first) == len(lines):
        return 0.0, 0.0
    characters = sum(map(len, lines))
    repeats = characters - sum(map(len, first))
    return 1 - len(first) / len(lines), repeats / max(characters, 1)


def top_ngram_share(words: Words, n: int) -> float:
    """Return the share of characters in the run of ``n`` words that takes most of them, of those that stand twice."""
    counts = Counter(_runs(words, n))
    most = max((count * len("".join(run)) for run, count in counts.items() if count > 1), default=0)
    return most / max(len("".join(words)), 1)


def repeated_ngram_share(words: Words, n: int) -> float:
    """Return the share of characters in words that are part of a run of ``n`` words which has stood before.

    A repeated run of ``n + 1`` words holds two repeated runs of ``n``: the share falls as ``n`` grows.
    """
    runs = list(_runs(words, n))
    if not runs:
        return 0.0
    places = range(len(runs))
    first = dict(zip(reversed(runs), reversed(places), strict=True))  # the last to be set is the first of its kind
    again = np.fromiter(map(first.__getitem__, runs), np.int64, len(runs)) != np.arange(len(runs))
    inside = np.zeros(len(words), dtype=bool)
    for offset in range(n):
        inside[offset : offset + len(runs)] |= again
    lengths: Any = np.fromiter(map(len, words), np.int64, len(words))
    return float(lengths[inside].sum() / max(lengths.sum(), 1))


def top_exceeds(words: Words, limits: Limits) -> bool:
    """Return whether `top_ngram_share` is above the limit of any length."""
    counts = Counter(words)
    heaviest = max(map(mul, counts.values(), map(len, counts)), default=0)
    known = {1: heaviest / max(len("".join(words)), 1)}
    return any(_top_bound(words, n, limit, known) > limit for n, limit in limits)


def _top_bound(words: Words, n: int, limit: float, known: dict[int, float]) -> float:
    """Return `top_ngram_share`, or an upper bound of it that is within the limit.

    No run stands more often than any part of it, so what it takes is at most the sum of what its parts take.
    """
    for part in (0, n // 2):  # what is known first, then half the run, which is quicker to count than all of it
        if part > 1 and part not in known:
            known[part] = top_ngram_share(words, part)
        bound = min(n // size * share + n % size * known[1] for size, share in known.items() if size <= n)
        if bound <= limit:
            return bound
    known[n] = top_ngram_share(words, n)
    return known[n]


def repeats_exceed(words: Words, limits: Limits) -> bool:
    """Return whether `repeated_ngram_share` is above the limit of any length; the shares fall with the length."""
    if not limits:
        return False
    shortest = min(n for n, _ in limits)
    runs = max(len(words) - shortest + 1, 0)
    if runs == len(set(_runs(words, shortest))):
        return False
    bound = 1.0
    for n, limit in sorted(limits):
        if bound > limit:
            bound = repeated_ngram_share(words, n)
            if bound > limit:
                return True
    return False


def _runs(words: Words, n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
