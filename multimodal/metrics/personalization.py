"""Metrics of personalisation: author identification, style distance to the user, copied n-grams, paired differences.

Figures come as values by user, for `multimodal.metrics.bootstrap`. There
the groups drawn are users, not images: a user's captions resemble one another, so that many captions of few users are
little evidence.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from backbone.errors import PolygraftError
from multimodal.metrics.bleu_cider import ORDERS, count_ngrams, distinct
from multimodal.metrics.caption import longest_common_subsequence


@dataclass(frozen=True, kw_only=True)
class Identification:
    """How often a caption betrays its user."""

    right: tuple[bool, ...]
    """Of each caption, whether its true user explains it best."""
    chance: float
    """The accuracy of guessing: one over the number of users."""

    @property
    def accuracy(self) -> float:
        """The share of captions that are right."""
        return statistics.fmean(self.right)


def identification(scores: NDArray[np.floating], truth: Sequence[int]) -> Identification:
    """Tell whose caption it is by whose context makes it likeliest.

    A tie with another user is wrong, so that a captioner to which all users are one has an accuracy of 0.

    Args:
        scores: log-likelihoods of the true captions in the context of each user, shape (N, U); may be minus infinity.
        truth: the column of the true user of each caption (N,).

    Raises:
        PolygraftError: there is no caption or no user, the shapes don't fit, a score is no number, or a column is none.
    """
    if scores.ndim != 2 or not scores.size or len(truth) != len(scores):
        raise PolygraftError(
            f"scores of shape {scores.shape} and {len(truth)} true users: want (captions, users), filled"
        )
    if np.isnan(scores).any():
        raise PolygraftError("a score is not a number: log-likelihoods are numbers or minus infinity")
    rows, columns = np.arange(len(scores)), np.array(truth)
    if columns.min() < 0 or columns.max() >= scores.shape[1]:
        raise PolygraftError(f"a true user is not in 0..{scores.shape[1] - 1}, the columns of the scores")
    own = scores[rows, columns]
    as_good = (scores >= own[:, None]).sum(axis=1)  # the true user among them
    return Identification(right=tuple((as_good == 1).tolist()), chance=1 / scores.shape[1])


def similarity(first: str, second: str) -> float:
    """ROUGE-L with characters for words and beta 1, on the text as it is written, in 0..1 and symmetrical.

    For captions of one to three words: there CIDEr-D and ROUGE-L over words are nearly always 0 or 1, and as both are
    computed of tokenized text, neither sees case, underscores or colons. Here ``dog_face`` is like ``Dog_face``, less
    like ``dog face`` and still less like ``cat``. Runs of spaces are one space; two empty texts are alike.
    """
    one, other = " ".join(first.split()), " ".join(second.split())
    if not one and not other:
        return 1.0
    return 2 * longest_common_subsequence(one, other) / (len(one) + len(other))


def counterfactual(
    captions: Mapping[str, Mapping[str, str]], truths: Mapping[str, Mapping[str, str]]
) -> dict[str, list[float]]:
    """Whether the caption made for a user is nearer to that user's truth than to another's (see `similarity`).

    Users of an image are compared with each other user whose truth is another text: the caption is nearer to their own
    (1), to the other's (0), or as near to both (0.5). Captions that are the same for all users have a mean of 0.5,
    whatever they say.

    Args:
        captions: by image and user, the caption made for the user.
        truths: by image and user, what the user wrote; the same images and users.

    Returns:
        By user the outcomes of all comparisons, for `bootstrap`; a user without any is left out.

    Raises:
        PolygraftError: images or users differ, or no image has two different truths.
    """
    if captions.keys() != truths.keys() or any(captions[id_].keys() != truths[id_].keys() for id_ in truths):
        raise PolygraftError("captions and truths differ in images or users: give both for each image and user")
    found: dict[str, list[float]] = {}
    for id_, wanted in truths.items():
        for user, value in _comparisons(captions[id_], wanted):
            found.setdefault(user, []).append(value)
    if not found:
        raise PolygraftError("no image has two users with different truths: there is nothing to compare")
    return found


def _comparisons(made: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Yield each user of an image with the outcome against each other user."""
    for user, own_truth in wanted.items():
        own = similarity(made[user], own_truth)
        for truth in wanted.values():
            if truth.split() != own_truth.split():
                theirs = similarity(made[user], truth)
                yield user, 0.5 if own == theirs else float(own > theirs)


def copy_rate(captions: Sequence[str], histories: Sequence[Sequence[str]], training: Iterable[str]) -> dict[str, float]:
    """Measure how much of the captions was written before, by the user or by anyone in training.

    Words are what spaces separate, and case counts: tokenize first (`multimodal.metrics.ptb.tokenizer`) if it should
    not.

    Args:
        captions: what was generated.
        histories: for each caption, the captions that its user is known by, without that of the same image.
        training: all captions that were trained on.

    Returns:
        Shares in 0..1 of all captions' n-grams, ``own_1`` to ``own_4``, and of captions that are found as a whole,
        ``own_whole``, in the history; likewise ``training_1`` to ``training_4`` and ``training_whole``. A share of
        nothing is 0: there may be no n-gram of that length, and empty captions are not counted.

    Raises:
        PolygraftError: there are not as many histories as captions.
    """
    if len(captions) != len(histories):
        raise PolygraftError(f"there are {len(captions)} captions but {len(histories)} histories: give one for each")
    everyone, known_to = _held(training), lru_cache(maxsize=64)(_held)
    counted: Counter[str] = Counter()
    copied: Counter[str] = Counter()
    for text, history in zip(captions, histories, strict=True):
        sources = {"own": known_to(tuple(history)), "training": everyone}
        for run, count in _runs(text).items():
            for source, known in sources.items():
                name = f"{source}_{len(run) if run[0] else 'whole'}"
                counted[name] += count
                copied[name] += count * (run in known)
    names = [f"{source}_{part}" for source in ("own", "training") for part in (*ORDERS, "whole")]
    return {name: copied[name] / counted[name] if counted[name] else 0.0 for name in names}


def _runs(text: str) -> Counter[tuple[str, ...]]:
    """Count a text's n-grams, and itself once: all its words behind an empty one, which is no word."""
    runs = count_ngrams(text)
    if runs:
        runs["", *text.split()] = 1
    return runs


def _held(texts: Iterable[str]) -> set[tuple[str, ...]]:
    return set().union(*map(_runs, texts))


def diversity(texts: Sequence[str]) -> dict[str, float]:
    """``distinct_1`` and ``distinct_2`` of a set of captions (see `multimodal.metrics.bleu_cider.distinct`)."""
    return {f"distinct_{order}": distinct(texts, order) for order in (1, 2)}
