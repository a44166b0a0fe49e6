"""TransferReport: what a transfer did, for people and as JSON."""

import resource
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.procrustes import AlignmentScore
from crosslingual.vocabulary_transfer.inputs import Evidence
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing, Origin
from crosslingual.vocabulary_transfer.subword_vectors import Reason

_SAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """A token and what its embedding was made of; tokens as `Vocabulary.shown` writes them."""

    token: str
    origin: Origin
    sources: tuple[tuple[str, float], ...]  # tokens of the source and their weights, the heaviest first; ten at most


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """What a transfer did."""

    source_tokens: int
    target_tokens: int
    origins: dict[Origin, int]  # rows of each origin
    without_vector: dict[Reason, int]  # target tokens for which the word vectors say nothing, by reason
    pairs: int  # pairs of the dictionary
    matches: int  # pairs of word vectors the alignment was fitted to, spellings and repeats counted
    alignment: AlignmentScore | None  # how well held-out words are translated; None without a dictionary
    samples: tuple[SampleRow, ...]
    seconds: float
    peak_memory: int  # bytes the process held at most, what it did before included
    sentences: int = 0  # pairs of sentences of the parallel text

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return asdict(self)


@dataclass(kw_only=True)
class Findings:
    """What the methods find out on their way."""

    matches: int = 0
    alignment: AlignmentScore | None = None
    reasons: tuple[Reason, ...] = ()


def report_on(
    mixing: Mixing,
    vocabularies: tuple[Vocabulary, Vocabulary],
    findings: Findings,
    evidence: Evidence,
    seconds: float,
) -> TransferReport:
    """Return the report.

    Args:
        mixing: whole.
        vocabularies: of the source and of the target.
        findings: of the methods.
        evidence: what they had.
        seconds: what it took.
    """
    return TransferReport(
        source_tokens=mixing.matrix.shape[1],
        target_tokens=mixing.matrix.shape[0],
        origins=mixing.counts(),
        without_vector=dict(Counter(reason for reason in findings.reasons if reason)),
        pairs=0 if evidence.dictionary is None else len(evidence.dictionary.pairs),
        matches=findings.matches,
        alignment=findings.alignment,
        samples=_samples(mixing, *vocabularies),
        seconds=seconds,
        peak_memory=peak_memory(),
        sentences=0 if evidence.parallel is None else len(evidence.parallel),
    )


def _samples(mixing: Mixing, source: Vocabulary, target: Vocabulary) -> tuple[SampleRow, ...]:
    """Return rows at equal distances among those that a method made; of others there is nothing to see."""
    made = np.flatnonzero(np.diff(mixing.matrix.indptr) > 1)
    rows = made[np.linspace(0, len(made) - 1, min(_SAMPLES, len(made))).astype(int)] if len(made) else made
    return tuple(_sample(mixing, int(row), source, target) for row in rows)


def _sample(mixing: Mixing, row: int, source: Vocabulary, target: Vocabulary) -> SampleRow:
    sources = tuple((source.shown(number), weight) for number, weight in mixing.neighbours(row)[:10])
    return SampleRow(token=target.shown(row), origin=mixing.origin(row), sources=sources)


def peak_memory() -> int:
    """Return the bytes that this process has held at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
