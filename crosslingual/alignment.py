"""Word alignment of parallel text: IBM model 2 with a diagonal prior, by EM, on words as a tokenizer cuts them.

After Dyer, Chahuneau and Smith (2013), "A Simple, Fast, and Effective Reparameterization of IBM Model 2", and their
program fast_align: each word of the target comes from one of the source, or from none.

Shapes: n source words and m target words in a sentence, B sentences of equal n and m, L pairs that ever meet.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy.special import digamma
from tokenizers import Tokenizer

from backbone.training.logger import watched
from crosslingual.arrays import Array
from crosslingual.tokenization.vocabulary import Vocabulary

Word = tuple[int, ...]  # ids of the tokens of a word
_BATCH = 1000  # texts whose tokens are in memory as the library holds them
# Thai, Lao, Burmese, Khmer, kana, Chinese characters: what stands between spaces is no word
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")


@dataclass(frozen=True, kw_only=True)
class WordReader:
    """Reads words with a tokenizer."""

    vocabulary: Vocabulary
    backend: Tokenizer | None  # the fast tokenizer below; None for others, whose words begin with a mark alone

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "WordReader":
        """Return the reader of a tokenizer, which is left as it is."""
        backend = getattr(vocabulary.tokenizer, "backend_tokenizer", None)
        return cls(vocabulary=vocabulary, backend=None if backend is None else _copied(backend.to_str()))

    def read(self, texts: Sequence[str]) -> list[list[Word]]:
        """Return the words of each text.

        A word begins where the tokenizer cuts text before it looks for tokens, or with a token that is marked as
        beginning one. In scripts without spaces each token is a word.
        """
        starts = self.vocabulary.starts.tolist()
        cut = [_glued(ids, places, starts) for ids, places in self._tokens(texts)]
        unspaced = self._unspaced({word for words in cut for word in words if len(word) > 1})
        if not unspaced:
            return cut
        return [
            list(chain.from_iterable([(token,) for token in word] if word in unspaced else [word] for word in words))
            for words in cut
        ]

    def _tokens(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[int | None]]]:
        """Yield ids and, where the tokenizer tells, which word of the text each belongs to."""
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            if self.backend is None:
                untold: list[int | None] = [0]
                yield from ((ids, untold * len(ids)) for ids in self.vocabulary.read(batch))
            else:
                encodings = self.backend.encode_batch(batch, add_special_tokens=False)
                yield from ((one.ids, one.word_ids) for one in encodings)

    def _unspaced(self, words: set[Word]) -> set[Word]:
        if not words:
            return words  # some versions of transformers decode no words as one text
        texts = self.vocabulary.tokenizer.batch_decode([list(word) for word in words])
        return {word for word, text in zip(words, texts, strict=True) if _UNSPACED.search(text)}

    @property
    def merges(self) -> frozenset[str]:
        """Tokens that byte-pair encoding makes of shorter ones; none for other kinds of tokenizer."""
        if self.backend is None:
            return frozenset()
        model = json.loads(self.backend.to_str())["model"]
        return frozenset(map(_result, model["merges"])) if model["type"] == "BPE" else frozenset()

    def without(self, tokens: Iterable[str]) -> "WordReader":
        """Return a reader that writes these tokens, all of them `merges`, in shorter ones. Ids stay what they are."""
        assert self.backend is not None
        unwanted = set(tokens)
        state = json.loads(self.backend.to_str())
        model = state["model"]
        model["merges"] = [merge for merge in model["merges"] if _result(merge) not in unwanted]
        model["ignore_merges"] = False  # else whole words would be looked up past the merges
        return replace(self, backend=_copied(json.dumps(state)))


def _copied(state: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(state)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _result(merge: str | list[str]) -> str:
    # older files join the two parts with a space
    return merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge)


def _glued(ids: Sequence[int], places: Sequence[int | None], starts: Sequence[bool]) -> list[Word]:
    words: list[list[int]] = []
    before: int | None = -1
    for token, place in zip(ids, places, strict=True):
        if place != before or place is None or starts[token]:
            words.append([])
        words[-1].append(token)
        before = place
    return [tuple(word) for word in words]


_LONGEST = 256  # words; the table of a pair of sentences grows with the product of their lengths
_CELLS = 500_000  # pairs of words looked at at once
_WAITING = 8_000_000  # of them kept before they are merged
_STEPS, _RATE = 8, 20.0  # of gradient ascent on the tension after each pass
_LEAST, _MOST = 0.1, 14.0  # tension


@dataclass(frozen=True, kw_only=True)
class Translations:
    """Pairs of words that meet in a sentence, each once, and how often one translates the other."""

    source: Array  # (L,) int64 source words; pairs with none are left out
    target: Array  # (L,) int64 target words
    counts: Array  # (L,) float64 expected number of times
    tension: float  # as fitted


def align_words(
    source: Sequence[Sequence[int]],
    target: Sequence[Sequence[int]],
    *,
    iterations: int = 7,
    null: float = 0.08,
    tension: float = 4.0,
    fit_tension: bool = True,
    alpha: float = 0.01,
) -> Translations:
    """Align the words of sentences, given as numbers from 0 on.

    Time and memory grow with the sum of n x m: 30,000 sentences of 25 words are 20 million pairs of places, 80 MB.
    Pairs of sentences with no word, or more than 256 words, on a side are left out.

    Args:
        source: The sentences of the source.
        target: Their translations.
        iterations: The passes of EM; trans-tokenisation makes 7, fast_align 5. The other defaults are fast_align's.
        null: The probability that a word translates none, above 0.
        tension: How strongly words at the same relative place are preferred; 0: IBM model 1.
        fit_tension: Whether the tension is fitted to the text after the second pass and each later one.
        alpha: The Dirichlet prior of a word's translations, fitted by variational Bayes; 0: the most likely ones.
    """
    corpus = _Corpus.of(source, target)
    counts = probabilities = np.ones(len(corpus.owners))
    for iteration in watched(range(iterations), "aligning words"):
        if iteration > 0:
            probabilities = _normalised(counts, corpus.owners, alpha)
        counts, place = corpus.expect(probabilities, tension, null)
        if fit_tension and tension and 0 < iteration < iterations - 1:
            tension = corpus.fit_tension(tension, place)
    words = corpus.owners > 0
    return Translations(
        source=corpus.owners[words] - 1,
        target=corpus.pairs[words] % corpus.size,
        counts=counts[words],
        tension=tension,
    )


def _normalised(counts: Array, owners: Array, alpha: float) -> Array:
    """Return p(target | source) of each pair, (L,): shares, or exp of the expected logarithm under a Dirichlet."""
    totals = np.bincount(owners, weights=counts + alpha)[owners]
    if alpha:
        probabilities: Array = np.exp(digamma(counts + alpha) - digamma(totals))
        return probabilities
    shares: Array = counts / np.where(totals > 0, totals, 1)
    return shares


# sentences of n and m words: (B, m, n + 1) int32 numbers of the pairs, of which the first source word is none; and
# (m, n) minus the distance of relative places, equation 1 of the paper
_Shape = tuple[Array, Array]


def _prior(nearness: Array, tension: float) -> Array:
    """Return p(source place | target place) but for none, (m, n)."""
    weights = np.exp(tension * nearness)
    prior: Array = weights / weights.sum(axis=1, keepdims=True)
    return prior


@dataclass(frozen=True, kw_only=True)
class _Corpus:
    """Sentences by shape, words as numbers of pairs."""

    shapes: list[_Shape]
    pairs: Array  # (L,) int64, source word x size + target word, ascending; source word 0 is none
    owners: Array  # (L,) int64 source word of each pair
    size: int  # target words there are

    @classmethod
    def of(cls, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> "_Corpus":
        (x, n), (y, m) = _flat(source), _flat(target)
        kept = np.flatnonzero((n > 0) & (m > 0) & (n <= _LONGEST) & (m <= _LONGEST))
        size = int(y.max(initial=0)) + 1
        groups = [(_table(x, n, rows) + 1, _table(y, m, rows)) for rows in _by_shape(kept, n, m)]
        pairs = _distinct(_meetings(a, b, size) for a, b in groups)
        shapes = [(_positions(pairs, _meetings(a, b, size)), _nearness(a.shape[1], b.shape[1])) for a, b in groups]
        return cls(shapes=shapes, pairs=pairs, owners=pairs // size, size=size)

    def expect(self, probabilities: Array, tension: float, null: float) -> tuple[Array, float]:
        """Return the expected count of each pair, (L,), and the mean nearness of a target word to its source word."""
        counts = np.zeros(len(probabilities))
        near, words = 0.0, 0
        for numbers, nearness in self.shapes:
            cells = numbers.astype(np.int64)
            shares = probabilities[cells]
            shares[..., 0] *= null
            shares[..., 1:] *= (1 - null) * _prior(nearness, tension)
            shares /= np.maximum(shares.sum(axis=2, keepdims=True), np.finfo(float).tiny)
            np.add.at(counts, cells.ravel(), shares.ravel())
            near += float(np.vdot(shares[..., 1:].sum(axis=0), nearness))
            words += cells.shape[0] * cells.shape[1]
        return counts, near / max(1, words)

    def fit_tension(self, tension: float, observed: float) -> float:
        """Return the tension under which the expected nearness comes closer to the observed (section 3.1)."""
        words = max(1, sum(cells.shape[0] * cells.shape[1] for cells, _ in self.shapes))
        for _ in range(_STEPS):
            expected = sum(
                len(cells) * float(np.vdot(_prior(nearness, tension), nearness)) for cells, nearness in self.shapes
            )
            tension = float(np.clip(tension + _RATE * (observed - expected / words), _LEAST, _MOST))
        return tension


def _flat(sentences: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    return np.fromiter((word for sentence in sentences for word in sentence), np.int64, int(lengths.sum())), lengths


def _table(words: Array, lengths: Array, rows: Array) -> Array:
    """Return the words of sentences of one length, (len(rows), length)."""
    starts = (np.cumsum(lengths) - lengths)[rows]
    table: Array = words[starts[:, None] + np.arange(lengths[rows[0]])]
    return table


def _by_shape(rows: Array, x: Array, y: Array) -> Iterator[Array]:
    """Yield sentences with equal lengths on both sides, no more than make half a million cells."""
    order = rows[np.lexsort((y[rows], x[rows]))]
    changes = np.flatnonzero((np.diff(x[order]) != 0) | (np.diff(y[order]) != 0)) + 1
    for group in np.split(order, changes):
        if len(group):
            most = max(1, _CELLS // int((x[group[0]] + 1) * y[group[0]]))
            yield from np.split(group, range(most, len(group), most))


def _meetings(x: Array, y: Array, size: int) -> Array:
    """Return each target word with each source word and none before them: (B, n), (B, m) -> (B, m, n + 1) keys."""
    with_none = np.pad(x, ((0, 0), (1, 0)))
    return with_none[:, None, :] * size + y[:, :, None]


def _distinct(tables: Iterable[Array]) -> Array:
    """Return the keys that occur, ascending. By sorting: numpy's ``unique`` is ten times slower on these."""
    found = np.empty(0, dtype=np.int64)
    waiting: list[Array] = []
    for table in tables:
        waiting.append(_once(table.ravel()))
        if sum(map(len, waiting)) > _WAITING:
            found, waiting = _once(np.concatenate([found, *waiting])), []
    return _once(np.concatenate([found, *waiting]))


def _once(keys: Array) -> Array:
    ordered = np.sort(keys)
    distinct: Array = ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered
    return distinct


def _positions(pairs: Array, keys: Array) -> Array:
    """Return the place of each key among the pairs, int32."""
    flat = keys.ravel()
    order = np.argsort(flat)
    places = np.empty(len(flat), dtype=np.int32)
    places[order] = np.searchsorted(pairs, flat[order])  # in order it stays in the cache
    return places.reshape(keys.shape)


def _nearness(n: int, m: int) -> Array:
    places: Array = -np.abs(np.arange(1, n + 1)[None] / n - np.arange(1, m + 1)[:, None] / m)
    return places
