"""Beam search with length penalty and several texts returned.

Shapes: B prefixes still at work, n beams of each, V tokens of the vocabulary, t tokens generated so far.
"""

from dataclasses import dataclass, field
from math import inf

import torch
from torch import Tensor

from backbone.generation.config import Decoding
from backbone.generation.kv_cache import Found, Sequences
from backbone.generation.logits_processors import constrain


@dataclass
class _Prefix:
    """What has been found for one prefix: at most n ended sequences by rank, best first."""

    beams: int
    ended: list[tuple[float, Found]] = field(default_factory=list)

    def add(self, rank: float, found: Found) -> None:
        self.ended.append((rank, found))
        self.ended.sort(key=lambda entry: -entry[0])  # stable: of two equal ranks the earlier stays first
        del self.ended[self.beams :]

    def is_settled(self, best_open_rank: float) -> bool:
        """Whether n sequences have ended and none still open is better, as things stand, than the worst of them."""
        return len(self.ended) == self.beams and best_open_rank <= self.ended[-1][0]


@dataclass
class _Continuations:
    """The 2n best continuations of each prefix, (B, 2n) each, best first."""

    totals: Tensor  # summed scores
    raw: Tensor  # summed log-probabilities under the model itself
    parents: Tensor  # which beam each extends
    tokens: Tensor
    done: Tensor  # whether the sequence is over

    def take(self, rows: Tensor, columns: Tensor) -> "_Continuations":
        """Return columns (B', n) of the prefixes numbered ``rows``."""
        parts = (self.totals, self.raw, self.parents, self.tokens, self.done)
        return _Continuations(*(part[rows].gather(1, columns) for part in parts))


def beam_search(sequences: Sequences, decoding: Decoding) -> list[list[Found]]:
    """Keep the ``beams`` best open sequences of each prefix, and rank those that end.

    Equal to the beam search of transformers with its defaults (``early_stopping=False``): a sequence is ranked by
    summed score / length ** length_penalty, its end counted in the length; it is only ended by a continuation among
    the n best; a prefix is settled when n sequences have ended and no open one ranks higher at its present length.
    A settled prefix leaves the batch. The prefix is computed once, not once a beam.

    Args:
        sequences: The sequences, one for each prefix; they are used up.
        decoding: The options beams, length_penalty, num_return and the constraints.

    Returns:
        For each prefix the ``num_return`` best sequences, best first.
    """
    beams, device, eos_id = decoding.beams, sequences.state().device, sequences.model.eos_id
    results = [_Prefix(beams) for _ in range(sequences.rows)]
    alive = torch.arange(sequences.rows, device=device)
    sequences.select(alive.repeat_interleave(beams))
    history = torch.empty(sequences.rows, 0, dtype=torch.int64, device=device)
    # the beams of a prefix are still one and the same, so only the first may be extended
    totals = torch.full((len(alive), beams), -inf, device=device)
    totals[:, 0] = 0
    raw = totals
    for length in range(1, decoding.max_tokens + 1):
        best = _continue(sequences, history, totals, raw, decoding)
        _collect_ended(best, history, [results[row] for row in alive.tolist()], length, decoding, eos_id)
        if length == decoding.max_tokens:
            break
        _, columns = best.totals.masked_fill(best.done, -inf).topk(beams)  # the n best that go on
        rows = _unsettled(best, columns, [results[row] for row in alive.tolist()], length, decoding)
        if not len(rows):
            break
        alive, best = alive[rows], best.take(rows, columns[rows])
        totals, raw = best.totals.masked_fill(best.done, -inf), best.raw
        # rows are numbered prefix by prefix
        parents = (rows[:, None] * beams + best.parents).flatten()
        sequences.select(parents)
        sequences.add(best.tokens.flatten())
        history = torch.cat([history[parents], best.tokens.reshape(-1, 1)], dim=1)
    return [[found for _, found in result.ended[: decoding.num_return]] for result in results]


def _continue(sequences: Sequences, history: Tensor, totals: Tensor, raw: Tensor, decoding: Decoding) -> _Continuations:
    log_probabilities = sequences.log_probabilities()
    scores = constrain(log_probabilities, history, sequences.model.eos_id, decoding)
    vocabulary = scores.shape[1]
    summed = (totals.view(-1, 1) + scores).view(len(totals), -1)
    # each beam has one way to end, so among 2n continuations n go on
    best, index = summed.topk(2 * decoding.beams)
    parents, tokens = index // vocabulary, index % vocabulary
    gained = log_probabilities.view(len(totals), -1).gather(1, index)
    last = history.shape[1] + 1 == decoding.max_tokens
    done = torch.ones_like(tokens, dtype=torch.bool) if last else tokens == sequences.model.eos_id
    return _Continuations(best, raw.gather(1, parents) + gained, parents, tokens, done)


def _collect_ended(
    best: _Continuations, history: Tensor, results: list[_Prefix], length: int, decoding: Decoding, eos_id: int
) -> None:
    beams = decoding.beams
    # among the n best alone, as in transformers
    ended = best.done[:, :beams] & best.totals[:, :beams].isfinite()
    for row, column in ended.nonzero().tolist():
        ids = [*history[row * beams + int(best.parents[row, column])].tolist(), int(best.tokens[row, column])]
        score = float(best.raw[row, column]) / length
        rank = float(best.totals[row, column]) / length**decoding.length_penalty
        results[row].add(rank, Found(ids[:-1] if ids[-1] == eos_id else ids, score))


def _unsettled(
    best: _Continuations, columns: Tensor, results: list[_Prefix], length: int, decoding: Decoding
) -> Tensor:
    """Return the numbers of the prefixes that go on, given the columns of their open continuations."""
    leading = best.totals.gather(1, columns[:, :1])[:, 0].tolist()
    ranks = [total / length**decoding.length_penalty for total in leading]
    rows = [row for row, result in enumerate(results) if not result.is_settled(ranks[row])]
    return torch.tensor(rows, dtype=torch.int64, device=columns.device)
