"""Tagging word by word: a text that grows, whose keys and values are kept from word to word."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from backbone.gpt2 import Backbone
from crosslingual.evaluation.options import Score
from crosslingual.evaluation.prefix_tree import Encoder, common_length
from crosslingual.evaluation.scorer import CandidateScore, Effort, candidate_score, chosen
from crosslingual.evaluation.tails import Computed, TokenScores, tail_scores


class GrowingText:
    """One sequence of tokens that the model has read; only what is new in the next one is read."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._ids: list[int] = []
        self._cache: Any = None

    def move(self, ids: list[int]) -> tuple[Computed, int]:
        """Read on to ``ids`` from where they part from what was read before; also says how many tokens that took."""
        # the last token is read again if need be: its state is asked for
        kept = min(common_length([self._ids, ids]), len(ids) - 1)
        if not kept:
            self._cache = self._backbone.new_cache()
        elif kept < len(self._ids):
            self._cache.crop(kept - len(self._ids))
        self._ids = ids
        embeds = self._backbone.embed(torch.tensor([ids[kept:]]))
        positions = torch.arange(kept, len(ids), device=self._backbone.device)[None]
        states: Tensor = self._backbone.hidden(embeds, positions=positions, cache=self._cache)
        mask = torch.ones(1, len(ids), dtype=torch.bool, device=states.device)
        return Computed(self._cache, states[:, -1], mask), len(ids) - kept


class Tagger:
    """Tags words greedily from left to right, as mGPT's evaluation does: each tag is chosen among all, and stays.

    Args:
        backbone: the model.
        encoder: texts to tokens.
        tags: to choose from.
        score: what tags are compared by; only what follows their common beginning counts.
    """

    def __init__(self, backbone: Backbone, encoder: Encoder, tags: Sequence[str], score: Score) -> None:
        self.effort = Effort()
        self._backbone = backbone
        self._encoder = encoder
        self._tags = tags
        self._score = score
        self._text = GrowingText(backbone)

    def tag(self, opening: str, words: Sequence[str]) -> tuple[str, ...]:
        """Return a tag for each word.

        Args:
            opening: what stands before the words, examples included.
            words: of the sentence.
        """
        found: list[str] = []
        text = opening
        for word in words:
            text += f"{word}_"
            found.append(self._tags[chosen(self.scores(text), self._score)])
            text += f"{found[-1]} "
        return tuple(found)

    @torch.inference_mode()
    def scores(self, text: str) -> list[CandidateScore]:
        """Return the score of each tag after a text."""
        [branches] = self._encoder(text, self._tags)
        computed, read = self._text.move(branches.shared)
        tails = [tail for tail in branches.tails if tail]
        behind = iter(tail_scores(self._backbone, computed, [0] * len(tails), tails))
        self.effort.add([branches])
        self.effort.read += read + sum(len(tail) - 1 for tail in tails)
        scored = [next(behind) if tail else TokenScores.none() for tail in branches.tails]
        return [candidate_score(tokens, tag) for tokens, tag in zip(scored, self._tags, strict=True)]
