"""Candidates as a tree of token ids: shared prefixes are computed once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backbone.errors import PolygraftError


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
