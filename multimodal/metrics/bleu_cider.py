"""Caption metrics that compare n-grams: corpus BLEU, CIDEr-D, and the share of different n-grams.

Texts are tokenized already (see `multimodal.metrics.ptb`), with spaces between words. All figures equal those
of pycocoevalcap.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

ORDERS = (1, 2, 3, 4)

NGrams = Counter[tuple[str, ...]]


def count_ngrams(text: str, orders: Iterable[int] = ORDERS) -> NGrams:
    """How often each run of words occurs, for runs of the given lengths."""
    words = text.split()
    return Counter(tuple(words[at : at + order]) for order in orders for at in range(len(words) - order + 1))


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Corpus BLEU-1 to BLEU-4 (Papineni et al. 2002), in 0..1; the reference nearest in length counts for brevity.

    The sums of all captions are divided, so this is no mean of single captions. Nothing is smoothed but for a constant
    that keeps 0 / 0 away, with which a corpus that shares no 4-gram has a tiny BLEU-4 and not 0.
    """
    tiny, small = 1e-15, 1e-9
    correct, guessed = [0] * len(ORDERS), [0] * len(ORDERS)
    length = wanted = 0
    for hypothesis, truths in zip(hypotheses, references, strict=True):
        words = len(hypothesis.split())
        length += words
        wanted += min((abs(size - words), size) for size in (len(truth.split()) for truth in truths))[1]
        most: NGrams = Counter()
        for truth in truths:
            most |= count_ngrams(truth)
        for ngram, count in count_ngrams(hypothesis).items():
            correct[len(ngram) - 1] += min(count, most[ngram])
        for at, order in enumerate(ORDERS):
            guessed[at] += max(0, words - order + 1)
    ratio = (length + tiny) / (wanted + small)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    product, scores = 1.0, []
    for at, order in enumerate(ORDERS):
        product *= (correct[at] + tiny) / (guessed[at] + small)
        scores.append(brevity * product ** (1 / order))
    return scores


class CiderD:
    """CIDEr-D (Vedantam, Lawrence and Parikh 2015, section 6), ten times the mean similarity, as it is reported.

    An n-gram weighs the more, the fewer images' references hold it. So a value belongs to its set of images: it is
    not to be compared over sets or averaged over parts of one, and for a single image it is 0.

    Args:
        references: The reference captions of each image.
    """

    SIGMA = 6.0

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        self._references = [[count_ngrams(text) for text in texts] for texts in references]
        self._images: NGrams = Counter()
        for counts in self._references:
            self._images.update(set().union(*counts))
        self._log_total = math.log(max(1, len(references)))

    def each(self, hypotheses: Sequence[str]) -> list[float]:
        """The value of every image, in 0..10; their mean is the value of the set."""
        if len(hypotheses) != len(self._references):
            raise ValueError(f"{len(hypotheses)} captions of {len(self._references)} images")
        return [value for image, text in enumerate(hypotheses) for value in self.values(image, [text])]

    def values(self, image: int, texts: Sequence[str]) -> list[float]:
        """The value of each of several captions of one image, in 0..10."""
        truths = [self._vector(truth) for truth in self._references[image]]
        guesses = [self._vector(count_ngrams(text)) for text in texts]
        return [10.0 * sum(self._similarity(guess, truth) for truth in truths) / len(truths) for guess in guesses]

    def pairwise(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The value of each text (row) against each text as the only reference (column), in 0..10, shape (N, N).

        The weights stay those of the references. It is what `each` computes, for all pairs of a few texts at once.
        """
        similar = np.zeros((len(texts), len(texts)))
        for order in ORDERS:
            similar += self._cosines([count_ngrams(text, (order,)) for text in texts])
        lengths = np.array([max(0, len(text.split()) - 1) for text in texts], dtype=np.float64)
        differences = lengths[:, None] - lengths
        return 10.0 * similar / len(ORDERS) * np.exp(-(differences**2) / (2 * self.SIGMA**2))

    def _cosines(self, counted: Sequence[NGrams]) -> NDArray[np.float64]:
        """The clipped cosines of all pairs of texts (N, N), from their n-grams of one order."""
        place = {ngram: at for at, ngram in enumerate(dict.fromkeys(ngram for each in counted for ngram in each))}
        counts = np.zeros((len(counted), len(place)))
        for row, each in zip(counts, counted, strict=True):
            row[[place[ngram] for ngram in each]] = list(each.values())
        worth = np.array([self._worth(ngram) for ngram in place])
        weights = counts * worth
        # the smaller of two counts is the number of thresholds 1, 2, ... that both reach
        products = np.zeros((len(counted), len(counted)))
        for threshold in range(1, int(counts.max(initial=0)) + 1):
            reached = counts >= threshold
            products += (reached * worth) @ (reached * weights).T
        norms = np.sqrt((weights**2).sum(axis=1))
        scale = np.outer(norms, norms)
        return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)

    def _worth(self, ngram: tuple[str, ...]) -> float:
        return self._log_total - math.log(max(1, self._images[ngram]))

    def _vector(self, counts: NGrams) -> "_Vector":
        return _Vector({ngram: count * self._worth(ngram) for ngram, count in counts.items()}, counts)

    def _similarity(self, guess: "_Vector", truth: "_Vector") -> float:
        """The mean over n of the clipped cosine, less for a difference in length."""
        products = [0.0] * len(ORDERS)
        for ngram, weight in guess.weights.items():
            true_weight = truth.weights.get(ngram, 0.0)
            products[len(ngram) - 1] += min(weight, true_weight) * true_weight
        cosines = (
            product / (own * other) if own and other else product
            for product, own, other in zip(products, guess.norms, truth.norms, strict=True)
        )
        difference = guess.length - truth.length
        return sum(cosines) / len(ORDERS) * math.exp(-(difference**2) / (2 * self.SIGMA**2))


class _Vector:
    """Weighted n-grams of a text, their norm for each n, and the text's length, which CIDEr-D counts in bigrams."""

    def __init__(self, weights: dict[tuple[str, ...], float], counts: NGrams) -> None:
        self.weights = weights
        squares = [0.0] * len(ORDERS)
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        self.norms = [math.sqrt(square) for square in squares]
        self.length = sum(count for ngram, count in counts.items() if len(ngram) == 2)


def distinct(texts: Iterable[str], order: int) -> float:
    """Different n-grams among all n-grams of the texts (Li et al. 2016), in 0..1; 0 where there are none."""
    counts: NGrams = Counter()
    for text in texts:
        counts.update(count_ngrams(text, (order,)))
    return len(counts) / counts.total() if counts else 0.0
