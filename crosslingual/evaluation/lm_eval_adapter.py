"""A backbone as a model of lm-evaluation-harness, for its hundreds of tasks (extra ``lm-eval``).

It asks for log-likelihoods of continuations and of whole texts, and for text. Requests after one context share its
reading.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.gpt2 import Backbone
from crosslingual.evaluation.scorer import Branches, CandidateScore, Encoder, Scorer
from crosslingual.language_model.packed_tokens import token_ids

_NEW_TOKENS = 256  # the harness's own default


def harness_model(backbone: Backbone, *, context: int = 0, batch_size: int = 16) -> Any:
    """Return the backbone as an ``lm_eval.api.model.LM``, to be given to ``lm_eval.simple_evaluate(model=...)``.

    Args:
        backbone: The model.
        context: Tokens of a text at most; 0: as many as the model takes, 1,024 at most.
        batch_size: Texts at once.

    Raises:
        PolygraftError: lm-eval is not installed.
    """
    try:
        from lm_eval.api.model import LM
    except ImportError:
        raise PolygraftError('lm-evaluation-harness is not installed: pip install "polygraft[lm-eval]"') from None
    limit = context or min(backbone.context, 1024)

    class HarnessModel(LM):  # type: ignore[misc]  # untyped
        """Requests are records with ``args``; answers come in their order."""

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            scores = continuation_scores(backbone, [request.args for request in requests], limit, batch_size)
            return [(score.log_probability, score.greedy) for score in scores]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return text_log_probabilities(backbone, [request.args[0] for request in requests], limit, batch_size)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return [continued(backbone, prompt, settings, limit) for prompt, settings in (one.args for one in requests)]

        @property
        def tokenizer_name(self) -> str:
            return backbone.name.replace("/", "__")

    return HarnessModel()


def continuation_scores(
    backbone: Backbone, pairs: Sequence[tuple[str, str]], context: int, batch_size: int
) -> list[CandidateScore]:
    """Return how likely each continuation is after its context, of which more than ``context`` tokens are cut.

    An empty context is the start of a text.
    """
    groups: dict[str, list[str]] = {}
    for before, continuation in pairs:
        groups.setdefault(before, []).append(continuation)
    encoder = Encoder(backbone.tokenizer, context=context, start=backbone.bos_id, fallback=backbone.eos_id)
    scored = Scorer(backbone, encoder, batch_size=batch_size).score(list(groups.items()))
    behind = {before: iter(scores) for before, scores in zip(groups, scored, strict=True)}
    return [next(behind[before]) for before, _ in pairs]


def text_log_probabilities(backbone: Backbone, texts: Sequence[str], context: int, batch_size: int) -> list[float]:
    """Return the log-probability of whole texts, each token predicted once and from as much as the context holds."""
    encoder = Encoder(backbone.tokenizer, context=context, start=None, fallback=backbone.eos_id)
    scorer = Scorer(backbone, encoder, batch_size=batch_size)
    rows = [[backbone.bos_id, *ids] for ids in token_ids(backbone.tokenizer, texts)]
    windows = [(number, window) for number, ids in enumerate(rows) for window in _windows(ids, context)]
    sums = [0.0] * len(texts)
    for (number, _), [scores] in zip(windows, scorer.score_branches([window for _, window in windows]), strict=True):
        sums[number] += float(scores.log_probability.sum())
    return sums


def _windows(ids: list[int], context: int) -> Iterator[Branches]:
    """Cut a text as the harness's documentation shows: the last window reaches back as far as the context allows."""
    for start in range(1, len(ids), context):
        stop = min(start + context, len(ids))
        first = max(0, stop - context - 1)
        yield Branches(shared=ids[first:start], tails=[ids[start:stop]])


def continued(backbone: Backbone, prompt: str, settings: Mapping[str, Any], context: int) -> str:
    """Return what the model writes after a prompt, up to the first of the texts that it is to stop at.

    Prompt and text have ``context`` tokens together at most, half of them for the prompt, which is cut from the left
    where it leaves no room. Settings are those of the harness: ``until``, ``max_gen_toks``, ``do_sample``,
    ``temperature``, ``top_k``, ``top_p``.
    """
    until = settings.get("until") or []
    stops = [until] if isinstance(until, str) else list(until)
    temperature = float(settings.get("temperature", 1.0)) if settings.get("do_sample") else 0.0
    [ids] = token_ids(backbone.tokenizer, [prompt])
    ids = [backbone.bos_id, *ids]
    room = min(int(settings.get("max_gen_toks", _NEW_TOKENS)), max(context - len(ids), context // 2))
    kept = ids[room - context :]
    decoding = Decoding(max_tokens=room, temperature=temperature)
    if temperature:
        top_k, top_p = int(settings.get("top_k", 0)), float(settings.get("top_p", 1.0))
        decoding = replace(decoding, top_k=top_k, top_p=top_p)
    [[generation]] = backbone.generate(backbone.embed(torch.tensor([kept])), decoding)
    text = backbone.decode(generation.ids)  # its own text has lost the spaces at its ends
    return min((text.partition(stop)[0] for stop in stops if stop), key=len, default=text)
