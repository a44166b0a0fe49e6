"""Sentence tagging in mGPT's format, ``word_TAG word_TAG``: word by word, with a cache of keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from crosslingual.evaluation.items import ItemRow, Sentence, read_rows
from crosslingual.evaluation.scorer import (
    CandidateScore,
    Computed,
    Effort,
    Encoder,
    TokenScores,
    candidate_score,
    chosen,
    common_length,
    tail_scores,
)
from crosslingual.options import Score

_SHAPE = '{"tokens": ["Time", "flies"], "tags": ["NOUN", "VERB"]}'

UNIVERSAL = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
    "SYM", "VERB", "X",
)  # fmt: skip
"""Parts of speech of Universal Dependencies."""


@dataclass(frozen=True, kw_only=True)
class TagLayout:
    """What stands around the tagged words of a sentence."""

    begin: str
    head: str
    end: str

    def opening(self, language: str) -> str:
        """Return what a sentence begins with."""
        return f"{self.begin}lang: {language}\n{self.head}: "

    def written(self, sentence: Sentence) -> str:
        """Return a sentence with all its tags, as an example for others."""
        words = " ".join(f"{word}_{tag}" for word, tag in zip(sentence.words, sentence.tags, strict=True))
        return self.opening(sentence.language) + words + self.end


CORRECTED = TagLayout(begin="", head="Tagged sentence", end="")

PUBLISHED = {
    "pos": TagLayout(begin="<s>", head="Tagged sentence", end="</s>"),
    "ner": TagLayout(begin="<s>", head="Sentence", end=" Named Entities: "),
}
"""Of mGPT's notebook on sequence labelling. Its examples of named entities end with what it meant to put before the
entities; kept as it was run."""


def layout_of(task: Literal["pos", "ner"], *, published: bool) -> TagLayout:
    """Return how a task writes its sentences."""
    return PUBLISHED[task] if published else CORRECTED


def read_sentences(path: Path, *, language: str) -> list[Sentence]:
    """Return the sentences of a JSONL file with ``tokens`` and ``tags``; arguments and errors as of `read_rows`."""
    return read_rows(path, _SHAPE, language, _sentence)


def tag_set(task: Literal["pos", "ner"], sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """Return the tags to choose from, two or more, in order: the universal parts of speech for pos, if they suffice."""
    found = {tag for sentence in sentences for tag in sentence.tags}
    if task == "pos" and found <= set(UNIVERSAL):
        return UNIVERSAL
    if len(found) < 2:
        raise PolygraftError(f"all words have the tag {', '.join(found)}: there is nothing to choose from")
    return tuple(sorted(found))


def _sentence(row: ItemRow) -> Sentence:
    words, tags = row.texts("tokens"), row.texts("tags")
    if len(words) != len(tags):
        raise PolygraftError(f"{row.place} has {len(words)} tokens and {len(tags)} tags: each token needs one")
    return Sentence(words=words, tags=tags, language=row.language)


class Tagger:
    """Tags words greedily from left to right, as mGPT's evaluation does: each tag is chosen among all, and stays.

    Of tags only what follows their common beginning counts.
    """

    def __init__(self, backbone: Backbone, encoder: Encoder, tags: Sequence[str], score: Score) -> None:
        self.effort = Effort()
        self._backbone = backbone
        self._encoder = encoder
        self._tags = tags
        self._score = score
        self._ids: list[int] = []  # what the model has read
        self._cache: Any = None

    def tag(self, opening: str, words: Sequence[str]) -> tuple[str, ...]:
        """Return a tag for each word."""
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
        computed, read = self._read_to(branches.shared)
        tails = [tail for tail in branches.tails if tail]
        behind = iter(tail_scores(self._backbone, computed, [0] * len(tails), tails))
        self.effort.add([branches])
        self.effort.read += read + sum(len(tail) - 1 for tail in tails)
        scored = [next(behind) if tail else TokenScores.none() for tail in branches.tails]
        return [candidate_score(tokens, tag) for tokens, tag in zip(scored, self._tags, strict=True)]

    def _read_to(self, ids: list[int]) -> tuple[Computed, int]:
        """Read on to ``ids`` from where they part from what was read before; also say how many tokens that took."""
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
