"""Rows of several languages, mixed to a budget of tokens, each with the language it is of."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from crosslingual.corpus.loading import MixedDocuments, PackedDocuments
from crosslingual.corpus.mixture import MixtureOptions, Portion, plan_mixture
from crosslingual.corpus.shards import TokenShards


class LanguageRows(NamedTuple):
    """Rows of `crosslingual.corpus.loading.PackedBatch`, with the language of each."""

    inputs: Tensor
    """(B, T)."""
    targets: Tensor
    """(B, T); `crosslingual.corpus.loading.IGNORED` where a row has ended."""
    documents: Tensor
    """(B, T): number of the document within the row."""
    positions: Tensor
    """(B, T): place within the document."""
    languages: Tensor
    """(B,): number of the language."""


class LanguageMixture(MixedDocuments):
    """Packed rows of several languages, which also tell the language of each row. Satisfies `Batches`.

    Args:
        languages: the rows of each language, of one context.
        portions: of `crosslingual.corpus.mixture.plan_mixture`.
        seed: chooses the rows of the last pass.
    """

    def __init__(self, languages: Mapping[str, PackedDocuments], portions: Mapping[str, Portion], seed: int) -> None:
        super().__init__(languages, portions, seed)
        self.languages = tuple(languages)
        self.context = super().collate([0]).inputs.shape[1]

    def collate(self, indices: Sequence[int]) -> LanguageRows:  # type: ignore[override]
        """Return the rows of these numbers."""
        numbers = self._ends.searchsorted(indices, side="right")
        return LanguageRows(*super().collate(indices), torch.as_tensor(numbers))


def count_tokens(shards: TokenShards) -> dict[str, int]:
    """Return the tokens of each language that has any."""
    counts = {language: sum(len(ids) for ids, _ in shards.maps(language)) for language in shards.shards}
    return {language: count for language, count in counts.items() if count}


def mix_languages(
    shards: TokenShards,
    context: int,
    budget: float,
    options: MixtureOptions,
    *,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> LanguageMixture:
    """Return the rows of a stream of ``budget`` tokens.

    Sizes are counted in tokens, as the budget is; a language without text has no part.

    Args:
        shards: the text.
        context: tokens in a row.
        budget: tokens; where all languages are read as often as may be, the stream is shorter.
        options: by what rule languages share the stream.
        weights: of the rule ``weights``.
        seed: chooses what is read once more than the rest.

    Raises:
        PolygraftError: see `crosslingual.corpus.mixture.plan_mixture`.
    """
    sizes = count_tokens(shards)
    portions = plan_mixture(sizes, budget, options, weights=weights)
    return LanguageMixture({name: PackedDocuments(shards, name, context) for name in sizes}, portions, seed)
