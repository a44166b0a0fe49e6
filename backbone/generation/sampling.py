"""From a prefix to token sequences: greedy decoding, sampling, and the entry to beam and contrastive search.

Shapes: B prefixes, k positions of a prefix, d width of the model, R sequences at work (B times the texts asked of
each, less those that have ended: a finished sequence leaves the batch at once), V tokens of the vocabulary.
"""

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.errors import PolygraftError
from backbone.generation.beam_search import beam_search
from backbone.generation.config import Decoding
from backbone.generation.kv_cache import Found, LanguageModel, Sequences, flush_right
from backbone.generation.logits_processors import constrain, narrow


class Chooser:
    """Takes the next token of each sequence: the one with the highest score."""

    def choose(self, sequences: Sequences, scores: Tensor) -> Tensor:
        """Add a token to each sequence, given the (R, V) scores of all; return the tokens, (R,)."""
        tokens = scores.argmax(dim=-1)
        sequences.add(tokens)
        return tokens

    def select(self, rows: Tensor) -> None:
        """Keep what belongs to the sequences with these numbers."""


class Sampling(Chooser):
    """Draws tokens by the Gumbel-max trick: the maximum of score + noise is a draw from the softmax of the scores.

    The noise of a sequence is seeded by ``seed``, by its number among the ``num_return`` texts of its prefix, and by
    the most likely tokens at each of its steps so far; not by its place in the batch. So a prefix gives the same texts
    alone and in any batch, and yet different prefixes do not share their luck, which would put one rare word into
    every caption of a folder. Adding noise, unlike inverting the distribution function, leaves hardly a chance that a
    rounding error changes the token.

    Args:
        decoding: The options temperature, top_k, top_p, seed and num_return.
        rows: The number of sequences, ``num_return`` neighbouring ones for each prefix.
    """

    LEADERS = 3

    def __init__(self, decoding: Decoding, rows: int) -> None:
        self.decoding = decoding
        self.streams = [hashlib.sha256(f"{decoding.seed}:{row % decoding.num_return}".encode()) for row in range(rows)]

    def choose(self, sequences: Sequences, scores: Tensor) -> Tensor:
        """See `Chooser`."""
        options = narrow(scores / self.decoding.temperature, self.decoding.top_k, self.decoding.top_p)
        uniform = torch.empty_like(options)
        generator = torch.Generator(device=scores.device)
        for row, leaders in enumerate(scores.topk(min(self.LEADERS, scores.shape[1])).indices.tolist()):
            self.streams[row].update(repr(leaders).encode())
            generator.manual_seed(int.from_bytes(self.streams[row].digest()[:7], "big"))  # torch takes 63 bits
            uniform[row].uniform_(generator=generator)
        tokens = (options - uniform.log().neg().log()).argmax(dim=-1)
        sequences.add(tokens)
        return tokens

    def select(self, rows: Tensor) -> None:
        """See `Chooser`."""
        self.streams = [self.streams[row] for row in rows.tolist()]


class Contrastive(Chooser):
    """Contrastive search: Su et al. (2022), "A Contrastive Framework for Neural Text Generation", equation 5.

    Among the most likely tokens ``v`` takes the one with the greatest
    ``(1 - alpha) * p(v | x) - alpha * max_j cos(h_v, h_j)``. The maximum is over the tokens generated so far. The
    prefix does not count: degeneration is a text that repeats itself, and a soft prefix is no text; with it, a token
    would be punished for resembling the image that it is to describe. The first token is therefore the most likely.
    """

    def __init__(self, alpha: float, candidates: int) -> None:
        self.alpha = alpha
        self.candidates = candidates
        self.context: Tensor | None = None

    def choose(self, sequences: Sequences, scores: Tensor) -> Tensor:
        """See `Chooser`."""
        probabilities, ids = scores.softmax(dim=-1).topk(min(self.candidates, scores.shape[1]))
        hidden = sequences.branch(ids)
        directions = F.normalize(sequences.model.meaning(hidden).float(), dim=-1)
        worth = (1 - self.alpha) * probabilities
        if self.context is not None:
            worth = worth - self.alpha * (directions @ self.context.mT).amax(dim=-1)
        # a banned token has no probability, and must not win by being unlike the rest
        choice = worth.masked_fill(probabilities == 0, -torch.inf).argmax(dim=-1)
        each = torch.arange(len(choice), device=choice.device)
        sequences.commit(choice, hidden[each, choice])
        chosen = directions[each, choice, None]
        self.context = chosen if self.context is None else torch.cat([self.context, chosen], dim=1)
        return ids[each, choice]

    def select(self, rows: Tensor) -> None:
        """See `Chooser`."""
        self.context = None if self.context is None else self.context[rows]


def search(model: LanguageModel, prefix: Tensor, mask: Tensor | None, decoding: Decoding) -> list[list[Found]]:
    """Find sequences that continue prefixes, see `backbone.gpt2.Backbone.generate`.

    Raises:
        PolygraftError: A prefix has no position at all.
    """
    if not len(prefix):
        return []
    if not prefix.shape[1] or (mask is not None and not bool(mask.any(dim=1).all())):
        raise PolygraftError("a prefix without any position cannot be continued: give at least the begin-of-text token")
    if mask is not None and bool(mask.all()):
        mask = None  # without one, attention takes its fastest path
    if mask is not None:
        prefix, mask = flush_right(prefix, mask)
    sequences = Sequences(model, prefix, mask, cache=decoding.cache)
    if decoding.method == "beam":
        return beam_search(sequences, decoding)
    copies = decoding.num_return
    if copies > 1:
        sequences.select(torch.arange(len(prefix), device=prefix.device).repeat_interleave(copies))
    found = _extend(sequences, _chooser(decoding, sequences.rows), decoding)
    return [found[start : start + copies] for start in range(0, len(found), copies)]


def _chooser(decoding: Decoding, rows: int) -> Chooser:
    if decoding.method == "sampling":
        return Sampling(decoding, rows)
    if decoding.contrastive is not None:
        return Contrastive(decoding.contrastive, decoding.candidates)
    return Chooser()


def _extend(sequences: Sequences, chooser: Chooser, decoding: Decoding) -> list[Found]:
    found = [Found([], 0.0)] * sequences.rows
    alive = list(range(sequences.rows))
    device = sequences.state().device
    history = torch.empty(len(alive), 0, dtype=torch.int64, device=device)
    totals = torch.zeros(len(alive), device=device)
    for length in range(1, decoding.max_tokens + 1):
        log_probabilities = sequences.log_probabilities()
        tokens = chooser.choose(sequences, constrain(log_probabilities, history, sequences.model.eos_id, decoding))
        totals = totals + log_probabilities.gather(1, tokens[:, None])[:, 0]
        history = torch.cat([history, tokens[:, None]], dim=1)
        ended = tokens == sequences.model.eos_id
        done = ended if length < decoding.max_tokens else torch.ones_like(ended)
        finished = done.nonzero()[:, 0].tolist()
        for row in finished:
            ids = history[row].tolist()
            found[alive[row]] = Found(ids[:-1] if ended[row] else ids, float(totals[row]) / length)
        if len(finished) == len(alive):
            break
        if finished:  # those that have ended leave the batch
            rows = (~done).nonzero()[:, 0]
            alive = [alive[row] for row in rows.tolist()]
            history, totals = history[rows], totals[rows]
            sequences.select(rows)
            chooser.select(rows)
    return found
