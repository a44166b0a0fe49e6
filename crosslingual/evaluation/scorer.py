"""Log-probabilities of candidates: shared prefixes are computed once, and many continuations are scored in one pass.

The sums equal those of scoring each whole text separately (tested), for a fraction of the tokens: mGPT's own evaluation
feeds every text anew, examples included, and pads it to 512 tokens.

Shapes: B sequences in the cache, P positions of each, n continuations, T tokens of the longest, d width of the model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from backbone.errors import PolygraftError
from backbone.generation.kv_cache import branched, positions_from_mask
from backbone.gpt2 import Backbone
from backbone.training.logger import watched
from crosslingual.options import Score


@dataclass(frozen=True, kw_only=True)
class Branches:
    """Sequences of tokens that begin alike."""

    shared: list[int]  # their longest common beginning; at least one token
    tails: list[list[int]]  # what follows it in each sequence; may be empty
    counted: int = 0
    """Tokens at the end of ``shared`` whose probability counts for each sequence. The first token has none."""
    cut: bool = False  # whether text was dropped so that they fit

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        return [len(self.shared) + len(tail) for tail in self.tails]


class Encoder:
    """Prompts and candidates to token ids.

    Prompt and candidate are tokenized as one text. What counts begins where the tokens of the prompt alone differ
    first from those of one of the texts.

    Args:
        tokenizer: Of the model.
        context: Tokens of a sequence at most.
        start: The token before each text; None: none, and the first token of a text is not predicted, as in mGPT.
        fallback: Stands before a text only where without it there would be no token at all.
        specials: Whether names of special tokens within texts are these tokens, as in mGPT; else they are characters.
    """

    def __init__(
        self, tokenizer: Any, *, context: int, start: int | None, fallback: int, specials: bool = False
    ) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self._start = [] if start is None else [start]
        self._fallback = fallback
        self._specials = specials

    def __call__(self, prompt: str, candidates: Sequence[str]) -> list[Branches]:
        """Return the branches of an item; as many as candidates where these share no token.

        Texts that exceed the context lose lines of the prompt from its beginning, as few as will do (mGPT cuts tokens,
        then up to the first newline), and where no line is left, tokens.
        """
        kept = prompt
        given, *texts = self._ids([kept, *(kept + candidate for candidate in candidates)])
        while max(map(len, texts)) > self._context and "\n" in kept:
            kept = kept.partition("\n")[2]
            given, *texts = self._ids([kept, *(kept + candidate for candidate in candidates)])
        unscored = min(common_length([given, text]) for text in texts)
        excess = max(0, max(map(len, texts)) - self._context)
        if excess and excess >= common_length(texts):
            raise PolygraftError(
                f"a candidate has {max(map(len, texts))} tokens of its own and does not fit into {self._context}: "
                f"give a larger context or shorter texts than {candidates[0][:40]!r}..."
            )
        # the start token goes first: what is left is a window in the midst of a text
        return _branches([text[excess:] for text in texts], unscored - excess, cut=bool(excess) or kept != prompt)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        options = {"add_special_tokens": False, "split_special_tokens": not self._specials, "verbose": False}
        rows: list[list[int]] = self._tokenizer(list(texts), **options)["input_ids"]
        return [self._start + row or [self._fallback] for row in rows]


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all rows begin with."""
    columns = enumerate(zip(*rows, strict=False))
    return next((number for number, column in columns if len(set(column)) > 1), min(map(len, rows)))


def _branches(texts: Sequence[list[int]], unscored: int, *, cut: bool) -> list[Branches]:
    shared = texts[0][: common_length(texts)]
    if not shared:
        return [Branches(shared=text[:1], tails=[text[1:]], cut=cut) for text in texts]
    tails = [text[len(shared) :] for text in texts]
    counted = len(shared) - max(unscored, 1)
    return [Branches(shared=shared, tails=tails, counted=counted, cut=cut)]


_AT_ONCE = 1024  # tokens whose logits are in memory


class Computed(NamedTuple):
    """Sequences that the model has read."""

    cache: Any  # keys and values; not changed by `tail_scores`
    last: Tensor  # (B, d) states that predict the next token
    mask: Tensor  # (B, P) bool, False at padding


class TokenScores(NamedTuple):
    """How well tokens were predicted."""

    log_probability: Tensor  # (m,) float64, nats
    greedy: Tensor  # (m,) bool: no other token is more likely

    @classmethod
    def none(cls) -> "TokenScores":
        """Return the scores of no token."""
        return cls(torch.zeros(0, dtype=torch.float64), torch.ones(0, dtype=torch.bool))

    @classmethod
    def joined(cls, pieces: "Sequence[TokenScores]") -> "TokenScores":
        """Return the scores of tokens that follow each other."""
        return cls(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))


def _score_tokens(backbone: Backbone, states: Tensor, targets: Tensor) -> TokenScores:
    """Return the log-probability of each target under the state that predicts it: (m, d) and (m,)."""
    found = []
    batches = (torch.split(tensor, _AT_ONCE) for tensor in (states, targets.to(states.device)))
    for part, wanted in zip(*batches, strict=True):
        logits = backbone.head(part)
        own = logits.gather(1, wanted[:, None]).squeeze(1)
        loss = F.cross_entropy(logits, wanted, reduction="none")
        found.append(TokenScores(-loss.double().cpu(), (own >= logits.amax(dim=1)).cpu()))
    return TokenScores.joined(found)


def tail_scores(
    backbone: Backbone, computed: Computed, owners: Sequence[int], tails: Sequence[Sequence[int]]
) -> list[TokenScores]:
    """Return how well each continuation is predicted, token by token.

    The first token of each needs no pass of the model, and what predicts nothing is not fed. ``owners``, (n,), are the
    computed sequences that the ``tails`` follow, (n,) of at least one token each.
    """
    first = torch.tensor([tail[0] for tail in tails])
    scores = [[part] for part in _each(_score_tokens(backbone, computed.last[list(owners)], first), [1] * len(tails))]
    longer = [number for number, tail in enumerate(tails) if len(tail) > 1]
    if longer:
        states, real = _read_on(backbone, computed, [owners[i] for i in longer], [tails[i][:-1] for i in longer])
        targets = torch.tensor([token for i in longer for token in tails[i][1:]])
        lengths = [len(tails[i]) - 1 for i in longer]
        for i, part in zip(longer, _each(_score_tokens(backbone, states[real], targets), lengths), strict=True):
            scores[i].append(part)
    return [TokenScores.joined(pieces) for pieces in scores]


def _read_on(
    backbone: Backbone, computed: Computed, owners: Sequence[int], tails: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Feed continuations, padded right: their states, (n, T, d), and which are no padding, (n, T)."""
    rows = torch.tensor(owners, device=backbone.device)
    ids = pad_sequence([torch.tensor(tail) for tail in tails], batch_first=True, padding_value=backbone.pad_id)
    lengths = torch.tensor([len(tail) for tail in tails])
    real = (torch.arange(ids.shape[1]) < lengths[:, None]).to(backbone.device)
    mask = torch.cat([computed.mask[rows], real], dim=1)
    positions = positions_from_mask(mask)[:, -ids.shape[1] :]
    cache = branched(computed.cache, rows)
    return backbone.hidden(backbone.embed(ids), mask, positions=positions, cache=cache), real


def _each(scores: TokenScores, lengths: Sequence[int]) -> list[TokenScores]:
    columns = (torch.split(part, list(lengths)) for part in scores)
    return [TokenScores(*parts) for parts in zip(*columns, strict=True)]


@dataclass(frozen=True, kw_only=True)
class CandidateScore:
    """How likely a candidate is."""

    log_probability: float  # of all its tokens, in nats
    tokens: int
    bytes: int  # of its text in UTF-8
    greedy: bool  # whether at each of its tokens no other is more likely

    def by(self, score: Score) -> float:
        """Return what candidates are compared by."""
        divisor = {"sum": 1, "mean": self.tokens, "byte": self.bytes}[score]
        return self.log_probability / max(divisor, 1)


@dataclass
class Effort:
    """What was computed, in tokens that the model has read; padding does not count."""

    read: int = 0
    naive: int = 0  # what reading each text by itself takes
    cut: int = 0  # items of which text was dropped, since they exceeded the context

    def add(self, branches: Sequence[Branches]) -> None:
        """Count an item. Its tokens read are counted where they are read."""
        self.naive += sum(length for part in branches for length in part.lengths)
        self.cut += any(part.cut for part in branches)


def chosen(scores: Sequence[CandidateScore], score: Score) -> int:
    """Return which candidate is the most likely; of equals the first.

    Raises:
        PolygraftError: A probability is no number.
    """
    values = [candidate.by(score) for candidate in scores]
    if any(math.isnan(value) for value in values):
        raise PolygraftError("the model gives probabilities that are no number: its weights are damaged")
    return values.index(max(values))


class Scorer:
    """Scores candidates after prompts, ``batch_size`` of them at once, on which the scores do not depend."""

    def __init__(self, backbone: Backbone, encoder: Encoder, *, batch_size: int = 16) -> None:
        self.effort = Effort()
        self._backbone = backbone
        self._encoder = encoder
        self._batch_size = batch_size

    def score(self, questions: Sequence[tuple[str, Sequence[str]]]) -> list[list[CandidateScore]]:
        """Return the score of each candidate of each question."""
        encoded = [self._encoder(prompt, candidates) for prompt, candidates in questions]
        for branches in encoded:
            self.effort.add(branches)
        parts = iter(self.score_branches([part for branches in encoded for part in branches]))
        found = []
        for (_, candidates), branches in zip(questions, encoded, strict=True):
            rows = [tokens for _ in branches for tokens in next(parts)]
            found.append([candidate_score(tokens, text) for tokens, text in zip(rows, candidates, strict=True)])
        return found

    def score_branches(self, branches: Sequence[Branches]) -> list[list[TokenScores]]:
        """Return how well the counted tokens of each sequence are predicted."""
        order = sorted(range(len(branches)), key=lambda number: len(branches[number].shared))
        found: list[list[TokenScores]] = [[] for _ in branches]
        for batch in watched(self._batches([branches[number] for number in order]), "scoring"):
            numbers = order[batch.start : batch.stop]
            scores = self._score_batch([branches[number] for number in numbers])
            for number, rows in zip(numbers, scores, strict=True):
                found[number] = rows
        return found

    def _batches(self, branches: Sequence[Branches]) -> list[range]:
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
            _score_tokens(self._backbone, row[-part.counted - 1 : -1], torch.tensor(part.shared[-part.counted :]))
            if part.counted
            else TokenScores.none()
            for row, part in zip(states, branches, strict=True)
        ]
        return scores, Computed(cache, states[:, -1], mask)


def candidate_score(scores: TokenScores, text: str) -> CandidateScore:
    """Return the score of a candidate from those of its tokens."""
    return CandidateScore(
        log_probability=float(scores.log_probability.sum()),
        tokens=len(scores.log_probability),
        bytes=len(text.encode("utf-8")),
        greedy=bool(scores.greedy.all()),
    )
