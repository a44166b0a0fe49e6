"""Mixtures of languages: shares of the token stream, and passes over the available text."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from backbone.errors import PolygraftError
from crosslingual.options import MixtureOptions

BYTE_PREMIUMS = {
    "ru": 1.82, "hi": 2.37, "ta": 2.73, "th": 2.74, "ka": 4.34, "my": 5.0, "sah": 1.88, "zh": 0.94,
}  # fmt: skip
"""UTF-8 bytes that say what one English byte says, for languages where it was measured (Chang et al., 2024)."""


_MOST, _HALVINGS = 1e6, 60


@dataclass(frozen=True, kw_only=True)
class Portion:
    """What a model reads of one language."""

    share: float  # of the stream, from 0 to 1
    amount: float  # in the unit of the budget
    passes: float  # over the text that there is


def plan_mixture(
    sizes: Mapping[str, float],
    budget: float,
    options: MixtureOptions,
    *,
    weights: Mapping[str, float] | None = None,
) -> dict[str, Portion]:
    """Return what is read of each language of a stream of ``budget``.

    Args:
        sizes: Of each language, in any unit.
        budget: The stream in that unit; where all languages are read as often as may be, it becomes shorter.
        options: The rule.
        weights: Of ``weights``, one for each language; their sum does not matter.

    Raises:
        PolygraftError: A language is empty, or weights do not fit the languages.
    """
    if not sizes or budget <= 0:
        raise PolygraftError("a mixture needs at least one language and a budget above 0")
    if empty := [language for language, size in sizes.items() if not size > 0]:
        raise PolygraftError(f"there is no text of {', '.join(empty)}: give some or leave the language out")
    amounts = _amounts(sizes, budget, options, weights or {})
    total = sum(amounts.values())
    return {
        language: Portion(share=amount / total, amount=amount, passes=amount / sizes[language])
        for language, amount in amounts.items()
    }


def plan_tokens(
    tokens: Mapping[str, float],
    sizes: Mapping[str, float],
    budget: float,
    options: MixtureOptions,
    *,
    weights: Mapping[str, float] | None = None,
) -> dict[str, Portion]:
    """Return what is read of each language of a stream of ``budget`` tokens, as `plan_mixture` does.

    Args:
        tokens: Of each language; shares and amounts count them.
        sizes: Bytes of each language, which `MixtureOptions.count` may ask to share by.
        budget: Tokens of the stream.
        options: The rule, and what it counts.
        weights: See `plan_mixture`, also for errors.
    """
    if options.count == "tokens":
        return plan_mixture(tokens, budget, options, weights=weights)
    counted = {name: sizes[name] for name in tokens}
    if options.count == "content":
        codes = {name: name.replace("_", "-").split("-")[0].lower() for name in counted}
        counted = {name: size / BYTE_PREMIUMS.get(codes[name], 1.0) for name, size in counted.items()}

    def plan(amount: float) -> dict[str, float]:
        """Return the tokens of each language where so much is read of what is counted."""
        planned = plan_mixture(counted, amount, options, weights=weights)
        return {name: planned[name].passes * count for name, count in tokens.items()}

    # the more is read, the more tokens are, unless all languages are read as often as they may be
    low, high = 0.0, sum(counted.values())
    while sum(plan(high).values()) < budget and high < _MOST * sum(counted.values()):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(plan(middle).values()) < budget else (low, middle)
    amounts = plan(high)
    total = sum(amounts.values())
    return {
        name: Portion(share=amount / total, amount=amount, passes=amount / tokens[name])
        for name, amount in amounts.items()
    }


def _amounts(
    content: Mapping[str, float], budget: float, options: MixtureOptions, weights: Mapping[str, float]
) -> dict[str, float]:
    match options.mixture:
        case "proportional":
            return _divide(content, budget)
        case "temperature":
            largest = max(content.values())  # divided by it, since powers of sizes need not fit
            powers = {name: (size / largest) ** (1 / options.temperature) for name, size in content.items()}
            return _divide(powers, budget)
        case "unimax":
            return _unimax(content, budget, options.max_passes)
        case "weights":
            return _divide(_checked_weights(content, weights), budget)


def _divide(weights: Mapping[str, float], budget: float) -> dict[str, float]:
    total = sum(weights.values())
    return {language: budget * weight / total for language, weight in weights.items()}


def _unimax(content: Mapping[str, float], budget: float, passes: float) -> dict[str, float]:
    """Divide evenly, from the smallest language to the largest, each bounded (Chung et al., 2023, algorithm 1)."""
    amounts = {}
    left = budget
    ordered = sorted(content, key=lambda language: (content[language], language))
    for place, language in enumerate(ordered):
        amounts[language] = min(left / (len(ordered) - place), passes * content[language])
        left -= amounts[language]
    return {language: amounts[language] for language in content}


def _checked_weights(content: Mapping[str, float], weights: Mapping[str, float]) -> Mapping[str, float]:
    if weights.keys() != content.keys():
        raise PolygraftError(f"weights are given for {_names(weights)}, but the languages are {_names(content)}")
    if wrong := [language for language, weight in weights.items() if not weight > 0]:
        raise PolygraftError(f"the weight of {wrong[0]} is {weights[wrong[0]]}, but must be above 0")
    return weights


def _names(languages: Mapping[str, float]) -> str:
    return ", ".join(sorted(languages)) or "none"


def reading_rates(sizes: Mapping[str, int], temperature: float, limit: int | None = None) -> dict[str, float]:
    """Return how often each language is to be read, on average over its texts, which are read whole.

    A language of b bytes has a share of b^(1/T), T being the ``temperature`` (Conneau et al., 2020, XLM-R, section 3.1,
    where 1/T is called alpha), of as many bytes as there are or of ``limit``.

    Raises:
        PolygraftError: A language has no text.
    """
    rule = MixtureOptions(mixture="temperature", temperature=temperature)
    total = sum(sizes.values())
    portions = plan_mixture(sizes, min(total, limit or total), rule)
    return {language: portion.passes for language, portion in portions.items()}


def reread(texts: Iterable[tuple[str, str]], rates: Mapping[str, float], seed: int) -> Iterator[str]:
    """Yield each text as often as its language's rate says on average: the whole part, and once more by chance.

    What is chosen of a language does not depend on the others.
    """
    draws = {language: random.Random(f"{seed} {language}") for language in rates}
    for language, text in texts:
        whole, rest = divmod(rates[language], 1)
        for _ in range(int(whole) + (draws[language].random() < rest)):
            yield text
