"""The training text of a tokenizer: validation, character coverage, and balancing of languages."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping

from backbone.errors import PolygraftError
from crosslingual.language_model.mixture import plan_mixture
from crosslingual.options import MixtureOptions


class TrainingText:
    """Texts handed on one by one, with what is to be known of them afterwards."""

    def __init__(self, texts: Iterable[str], rewrite: Callable[[str], str] | None = None) -> None:
        self._texts, self._rewrite = texts, rewrite
        self.characters: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(self._texts, start=1):
            check_unicode(text, f"text {number}")
            self.characters.update(text)
            yield self._rewrite(text) if self._rewrite else text
        if not self.characters:
            raise PolygraftError("there is no text to train a tokenizer on: give some in its languages")


def check_unicode(text: str, name: str) -> None:
    """Refuse half a surrogate pair, which Python strings can hold and no tokenizer can read.

    Raises:
        PolygraftError: There is one, named by ``name`` and its place.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PolygraftError(
            f"{name} has half a surrogate pair (U+{ord(text[error.start]):04X}) at character {error.start + 1}, which "
            "is no text: repair or leave it out"
        ) from None


def reading_rates(sizes: Mapping[str, int], temperature: float, limit: int | None = None) -> dict[str, float]:
    """Return how often each language is to be read, on average over its texts.

    A language of b bytes has a share of b^(1/T) (Conneau et al., 2020, XLM-R, section 3.1, where 1/T is called alpha),
    of as many bytes as there are or of ``limit``. The share is exact on average; texts are read whole.

    Args:
        sizes: Bytes of each language.
        temperature: T; 1 leaves the shares as they are, a great one makes them equal.
        limit: Bytes that are to be read in all.

    Raises:
        PolygraftError: A language has no text.
    """
    rule = MixtureOptions(mixture="temperature", temperature=temperature)
    total = sum(sizes.values())
    portions = plan_mixture(sizes, min(total, limit or total), rule)
    return {language: portion.passes for language, portion in portions.items()}


def reread(texts: Iterable[tuple[str, str]], rates: Mapping[str, float], seed: int) -> Iterator[str]:
    """Yield each text as often as its language's rate says on average: the whole part, and once more by chance.

    Args:
        texts: Language and text.
        rates: At least 0, by language.
        seed: Of the choice, which for a language does not depend on the others.
    """
    draws = {language: random.Random(f"{seed} {language}") for language in rates}
    for language, text in texts:
        whole, rest = divmod(rates[language], 1)
        for _ in range(int(whole) + (draws[language].random() < rest)):
            yield text
