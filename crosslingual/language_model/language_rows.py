"""Rows of several languages, mixed to a budget of tokens."""

from collections.abc import Mapping

from crosslingual.language_model.loader import MixedDocuments, PackedDocuments
from crosslingual.language_model.mixture import MixtureOptions, plan_tokens
from crosslingual.language_model.token_shards import TokenShards


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
    sizes: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> MixedDocuments:
    """Return the rows of a stream of ``budget`` tokens.

    A language without text has no part.

    Args:
        shards: the text.
        context: tokens in a row.
        budget: tokens; where all languages are read as often as may be, the stream is shorter.
        options: by what rule languages share the stream.
        sizes: bytes of each language, where the rule counts anything but tokens.
        weights: of the rule ``weights``.
        seed: chooses what is read once more than the rest.

    Raises:
        PolygraftError: see `crosslingual.language_model.mixture.plan_tokens`.
    """
    tokens = count_tokens(shards)
    portions = plan_tokens(tokens, sizes or {}, budget, options, weights=weights)
    return MixedDocuments({name: PackedDocuments(shards, name, context) for name in tokens}, portions, seed)
