"""The probability of candidates: what they share is computed once, and many candidates are read at once.

The sums are those of scoring each whole text by itself (tested), for a fraction of the tokens: mGPT's own evaluation
feeds every text anew, examples included, and pads it to 512 tokens.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.utils.rnn import pad_sequence

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from crosslingual.evaluation.options import Score
from crosslingual.evaluation.prefix_tree import Branches, Encoder
from crosslingual.evaluation.tails import Computed, TokenScores, score_tokens, tail_scores

Watch = Callable[[Sequence[range], str], Iterable[range]]


@dataclass(frozen=True, kw_only=True)
class CandidateScore:
    """How likely a candidate is."""

    log_probability: float
    """Of all its tokens, in nats."""
    tokens: int
    bytes: int
    """Of its text in UTF-8."""
    greedy: bool
    """Whether at each of its tokens no other is more likely."""

    def by(self, score: Score) -> float:
        """Return what candidates are compared by."""
        divisor = {"sum": 1, "mean": self.tokens, "byte": self.bytes}[score]
        return self.log_probability / max(divisor, 1)


@dataclass
class Effort:
    """What was computed, in tokens that the model has read; padding does not count."""

    read: int = 0
    naive: int = 0
    """What reading each text by itself takes."""
    cut: int = 0
    """Items of which text was dropped, since they exceeded the context."""

    def add(self, branches: Sequence[Branches]) -> None:
        """Count an item. Its tokens read are counted where they are read."""
        self.naive += sum(length for part in branches for length in part.lengths)
        self.cut += any(part.cut for part in branches)


def chosen(scores: Sequence[CandidateScore], score: Score) -> int:
    """Return which candidate is the most likely; of equals the first.

    Raises:
        PolygraftError: a probability is no number.
    """
    values = [candidate.by(score) for candidate in scores]
    if any(math.isnan(value) for value in values):
        raise PolygraftError("the model gives probabilities that are no number: its weights are damaged")
    return values.index(max(values))


class Scorer:
    """Scores candidates after prompts.

    Args:
        backbone: the model.
        encoder: prompts and candidates to tokens.
        batch_size: candidates read at once; the scores do not depend on it.
    """

    def __init__(self, backbone: Backbone, encoder: Encoder, *, batch_size: int = 16) -> None:
        self.effort = Effort()
        self._backbone = backbone
        self._encoder = encoder
        self._batch_size = batch_size

    def score(
        self, questions: Sequence[tuple[str, Sequence[str]]], watch: Watch = lambda batches, _: batches
    ) -> list[list[CandidateScore]]:
        """Return the score of each candidate of each question.

        Args:
            questions: a prompt and candidates, each.
            watch: passes batches on, with a progress bar.
        """
        encoded = [self._encoder(prompt, candidates) for prompt, candidates in questions]
        for branches in encoded:
            self.effort.add(branches)
        parts = iter(self.score_branches([part for branches in encoded for part in branches], watch))
        return [
            [candidate_score(tokens, text) for tokens, text in zip(_flat(branches, parts), candidates, strict=True)]
            for (_, candidates), branches in zip(questions, encoded, strict=True)
        ]

    def score_branches(
        self, branches: Sequence[Branches], watch: Watch = lambda batches, _: batches
    ) -> list[list[TokenScores]]:
        """Return how well the counted tokens of each sequence are predicted."""
        order = sorted(range(len(branches)), key=lambda number: len(branches[number].shared))
        found: list[list[TokenScores]] = [[] for _ in branches]
        for batch in watch(self._batches([branches[number] for number in order]), "scoring"):
            numbers = order[batch.start : batch.stop]
            scores = self._score_batch([branches[number] for number in numbers])
            for number, rows in zip(numbers, scores, strict=True):
                found[number] = rows
        return found

    def _batches(self, branches: Sequence[Branches]) -> list[range]:
        """Cut a list into parts of ``batch_size`` sequences at most; what has more is alone."""
        cuts, sequences = [0], 0
        for number, part in enumerate(branches):
            if sequences and sequences + len(part.tails) > self._batch_size:
                cuts.append(number)
                sequences = 0
            sequences += len(part.tails)
        return [range(*pair) for pair in zip(cuts, [*cuts[1:], len(branches)], strict=True) if pair[0] < pair[1]]

    @torch.inference_mode()
    def _score_batch(self, branches: Sequence[Branches]) -> list[list[TokenScores]]:
        shared, computed = self._read_shared(branches)
        rows = [(owner, tail) for owner, part in enumerate(branches) for tail in part.tails]
        filled = [(owner, tail) for owner, tail in rows if tail]
        self.effort.read += sum(len(part.shared) for part in branches) + sum(len(tail) - 1 for _, tail in filled)
        scored: list[TokenScores] = []
        for start in range(0, len(filled), self._batch_size):
            owners, tails = zip(*filled[start : start + self._batch_size], strict=True)
            scored += tail_scores(self._backbone, computed, owners, tails)
        behind = iter(scored)
        found: list[list[TokenScores]] = [[] for _ in branches]
        for owner, tail in rows:
            pieces = [shared[owner], next(behind)] if tail else [shared[owner]]
            found[owner].append(TokenScores.joined(pieces))
        return found

    def _read_shared(self, branches: Sequence[Branches]) -> tuple[list[TokenScores], Computed]:
        """Read what each group of sequences begins with, padded left, and score the tokens of it that count."""
        pad = partial(pad_sequence, batch_first=True, padding_side="left")
        ids = pad([torch.tensor(part.shared) for part in branches], padding_value=self._backbone.pad_id)
        real = [torch.ones(len(part.shared), dtype=torch.bool) for part in branches]
        mask = pad(real).to(self._backbone.device)
        cache = self._backbone.new_cache()
        states = self._backbone.hidden(self._backbone.embed(ids), mask, cache=cache)
        scores = [
            score_tokens(self._backbone, row[-part.counted - 1 : -1], torch.tensor(part.shared[-part.counted :]))
            if part.counted
            else TokenScores.none()
            for row, part in zip(states, branches, strict=True)
        ]
        return scores, Computed(cache, states[:, -1], mask)


def _flat(branches: Sequence[Branches], scores: Iterable[list[TokenScores]]) -> list[TokenScores]:
    return [tokens for _, rows in zip(branches, scores, strict=False) for tokens in rows]


def candidate_score(scores: TokenScores, text: str) -> CandidateScore:
    """Return the score of a candidate from those of its tokens."""
    return CandidateScore(
        log_probability=float(scores.log_probability.sum()),
        tokens=len(scores.log_probability),
        bytes=len(text.encode("utf-8")),
        greedy=bool(scores.greedy.all()),
    )
