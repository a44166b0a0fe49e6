"""Near-duplicate detection: MinHash signatures (Broder, 1997) of 5-word shingles, compared where a band agrees (LSH).

14 bands of 8 hashes, as in FineWeb (Penedo et al., 2024): texts that share three quarters of their shingles collide in
a band with a probability of 77 %, those that share nine tenths almost surely. Colliding pairs are compared over all 112
hashes. A text that stands for a cluster may be repeated by the cluster's size (rehydration, FineWeb-2, Penedo et al.,
2025).
"""

import re
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from backbone.errors import PolygraftError
from crosslingual.arrays import Array, mix, slice_hashes

BANDS, ROWS = 14, 8
WIDTH = BANDS * ROWS  # numbers in a signature
_RUN = 5
_SEED = 1
_WORD = re.compile(r"\w+")
_CHUNK = 1 << 16


def signatures(texts: Sequence[str], word_characters: int) -> Array:
    """Return (texts, 112) uint32: two texts agree in about the share of runs that they have in common.

    Case and punctuation do not count; ``word_characters`` are those of `Writing`.

    Raises:
        PolygraftError: rensa is not installed.
    """
    try:
        from rensa import RMinHash
    except ImportError:
        raise PolygraftError(
            "finding near duplicates needs rensa: pip install rensa, or leave it out with --near off"
        ) from None
    runs = [_runs(text, word_characters) for text in texts]
    ends = np.cumsum([0, *map(len, runs)]).tolist()
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(runs), ends, num_perm=WIDTH, seed=_SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32)


def _runs(text: str, word_characters: int) -> Array:
    """Return a 64-bit hash of each run of five words, of all words where there are fewer."""
    words = _WORD.findall(text.lower()) or [text]
    letters = np.frombuffer("".join(words).encode("utf-32-le"), dtype="<u4")
    if word_characters:
        ends = np.arange(len(letters) + 1)
        length = _RUN * word_characters
    else:
        ends = np.cumsum([0, *map(len, words)])
        length = _RUN
    length = min(length, len(ends) - 1)
    return slice_hashes(letters, ends[: len(ends) - length], ends[length:])


def clusters(signed: Array, similarity: float) -> Array:
    """Return for each text the first text of its cluster, (n,) int64; its own number where it is alone.

    ``signed`` are the signatures, (n, 112), in memory or mapped; ``similarity`` is the share of equal numbers from
    which two texts that have met are nearly equal.
    """
    count = len(signed)
    found = [_band_pairs(signed, band, similarity) for band in range(BANDS)]
    left, right = (np.concatenate([pairs[side] for pairs in found]) for side in (0, 1))
    graph = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(count, count))
    labels = connected_components(graph.tocsr(), directed=False)[1]
    first = np.full(labels.max(initial=-1) + 1, count, dtype=np.int64)
    np.minimum.at(first, labels, np.arange(count))
    roots: Array = first[labels]
    return roots


def _band_pairs(signed: Array, band: int, similarity: float) -> tuple[Array, Array]:
    """Return the pairs of similar texts whose signatures agree in a band.

    Of a set that agrees, each is compared with the one before and with the first: as many pairs as texts, not a square.
    """
    keys = _band_keys(signed, band)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else np.empty(0, int)
    firsts = np.repeat(begins, np.diff([*begins, len(keys)]))
    places = np.arange(len(keys))
    later = places[places > firsts]
    left = np.concatenate([order[later - 1], order[firsts[later]]])
    right = np.concatenate([order[later], order[later]])
    similar = np.zeros(len(left), dtype=bool)
    for start in range(0, len(left), _CHUNK):
        part = slice(start, start + _CHUNK)
        similar[part] = (signed[left[part]] == signed[right[part]]).mean(axis=1) >= similarity
    return left[similar], right[similar]


def _band_keys(signed: Array, band: int) -> Array:
    """Return one 64-bit number for each row of a band, (n,)."""
    keys = np.zeros(len(signed), dtype=np.uint64)
    for start in range(0, len(signed), _CHUNK):
        rows = np.asarray(signed[start : start + _CHUNK, band * ROWS : (band + 1) * ROWS])
        for column in rows.T:
            keys[start : start + _CHUNK] = mix(keys[start : start + _CHUNK] ^ column.astype(np.uint64))
    return keys


# What people copy a few times is good text; what stands in a thousand places is boilerplate.
_FROM = (1, 2, 3, 5, 100, 1000)
_COPIES = (1, 2, 3, 5, 8, 1)


def copies(cluster_size: int) -> int:
    """Return how often a text is to be repeated for a cluster of so many, itself among them."""
    return _COPIES[bisect_right(_FROM, cluster_size) - 1]
