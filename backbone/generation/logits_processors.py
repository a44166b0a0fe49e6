"""Logits processors: penalties and bans on token scores, and top-k and top-p filtering before sampling.

Shapes: R sequences, V tokens of the vocabulary, t tokens generated so far.
"""

from math import inf, log

import torch
from torch import Tensor

from backbone.generation.config import Decoding

# Nucleus sampling looks at this many tokens before it sorts the whole vocabulary, which costs as much as a small model.
_FIRST_LOOK = 512


def constrain(log_probabilities: Tensor, history: Tensor, eos_id: int, decoding: Decoding) -> Tensor:
    """Return scores that obey ``repetition_penalty``, ``no_repeat_ngram`` and ``min_tokens``.

    The repetition penalty of Keskar et al. (2019, section 4.1) acts on log-probabilities, in every method alike:
    logits are only known up to a constant, which would decide how hard it hits.

    Args:
        log_probabilities: The log-probabilities (R, V) of the next token; left as they are.
        history: The tokens (R, t) generated so far. A prefix of embeddings has no ids and does not count.
        eos_id: The token that ends a text.
        decoding: The options.
    """
    scores = log_probabilities
    if decoding.repetition_penalty != 1 and history.shape[1]:
        scores = scores.scatter(1, history, scores.gather(1, history) * decoding.repetition_penalty)
    if decoding.no_repeat_ngram:
        scores = _ban_repeated_ngrams(scores, history, decoding.no_repeat_ngram)
    if history.shape[1] < decoding.min_tokens:
        scores = scores.index_fill(1, torch.tensor([eos_id], device=scores.device), -inf)
    return scores


def _ban_repeated_ngrams(scores: Tensor, history: Tensor, size: int) -> Tensor:
    """Rule out each token that would complete a sequence of ``size`` tokens that is in its history already."""
    length = history.shape[1]
    if length < size:
        return scores
    grams = history.unfold(1, size, 1)  # (R, t - size + 1, size)
    ending = history[:, length - size + 1 :]
    met = (grams[..., :-1] == ending[:, None]).all(dim=-1)
    bans = torch.zeros_like(scores).scatter_reduce(1, grams[..., -1], met.to(scores.dtype), "amax")
    return scores.masked_fill(bans > 0, -inf)


def narrow(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Rule out all but the ``top_k`` likeliest of (R, V), then all but the fewest that have probability ``top_p``.

    Nucleus sampling is Holtzman et al. (2020), section 3.1. At least one token stays. A ``top_k`` of 0 and a
    ``top_p`` of 1 are no limit.
    """
    if not top_k and top_p == 1:
        return scores
    values, tokens = _most_likely(scores, top_k, top_p)
    if top_p < 1:
        everything = values if top_k else scores
        probabilities = (values - everything.logsumexp(dim=-1, keepdim=True)).exp()
        before = probabilities.cumsum(dim=-1) - probabilities
        surplus = before >= top_p
        surplus[:, 0] = False
        values = values.masked_fill(surplus, -inf)
    return torch.full_like(scores, -inf).scatter(1, tokens, values)


def _most_likely(scores: Tensor, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """Return scores and tokens, sorted, of at least the tokens that `narrow` may keep."""
    vocabulary = scores.shape[1]
    if top_k:
        return scores.topk(min(top_k, vocabulary))
    if vocabulary > _FIRST_LOOK:
        values, tokens = scores.topk(_FIRST_LOOK)
        if bool((values.logsumexp(dim=-1) - scores.logsumexp(dim=-1) > log(top_p)).all()):
            return values, tokens
    return scores.sort(dim=-1, descending=True)
