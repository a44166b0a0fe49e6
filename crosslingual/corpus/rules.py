"""Rules of quality: what a text must look like to be kept, after Gopher, FineWeb and FineWeb-2."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from backbone.errors import PolygraftError
from crosslingual.corpus.unicode_scripts import known_scripts

_OF_IDENTIFIER = ("identifier", "label", "min_language")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds for one language; each may be set in the list of sources. A share counts from 0 to 1.

    Defaults are those of Gopher (Rae et al., 2021, appendix A1.1), with lines as FineWeb (Penedo et al., 2024) and
    FineWeb-2 (Penedo et al., 2025) judge them. Where no blanks stand between words, so many characters count as one.
    """

    scripts: tuple[str, ...] = ()
    """Scripts of the letters, named as Unicode's names of letters begin: LATIN, CYRILLIC, CJK; none: the language's."""
    min_script: float = 0.5
    """Least share of the letters that are of these scripts; where no blanks stand between words, of the words."""
    min_words: int = 50
    """Least words."""
    max_words: int = 100_000
    """Most words."""
    min_word_length: float = 3.0
    """Least mean number of characters of a word."""
    max_word_length: float = 10.0
    """Greatest mean number of characters of a word."""
    max_symbols: float = 0.1
    """Most hash signs and ellipses for each word."""
    max_bullet_lines: float = 0.9
    """Greatest share of lines that begin with a bullet."""
    max_ellipsis_lines: float = 0.3
    """Greatest share of lines that end with an ellipsis."""
    min_letter_words: float = 0.8
    """Least share of words that hold a letter."""
    stop_words: tuple[str, ...] = ()
    """Frequent words of the language, in lower case; none: not looked for."""
    min_stop_words: int = 2
    """How many of them a text must hold."""
    min_ended_lines: float = 0.12
    """Least share of lines that end like a sentence; not asked of Thai, Lao and Khmer."""
    max_newlines: float = 0.3
    """Most line ends for each word."""
    max_repeated_lines: float = 0.3
    """Greatest share of lines that repeat an earlier one."""
    max_repeated_line_characters: float = 0.1
    """Greatest share of characters in such lines."""
    max_top_ngrams: tuple[float, ...] = (0.20, 0.18, 0.16)
    """Greatest share of characters in the most frequent run of 2, 3 and 4 words."""
    max_repeated_ngrams: tuple[float, ...] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    """Greatest share of characters in repeated runs of 5 to 10 words."""
    identifier: str = ""
    """A classifier of languages, as fastText writes them (lid.176.bin, GlotLID), from the folder of the list; none:
    only scripts are looked at."""
    label: str = ""
    """What the classifier calls the language, without __label__; none: the first part of its code."""
    min_language: float = 0.65
    """Least share that the classifier gives to the language."""

    def __post_init__(self) -> None:
        for item in fields(self):
            self._check(item.name, getattr(self, item.name), item.default)
        if unknown := sorted(set(self.scripts) - known_scripts()):
            raise PolygraftError(f"scripts names {unknown[0]!r}, which begins no name of a letter in Unicode")

    def applied(self) -> dict[str, Any]:
        """Return the thresholds by name, those of the identifier only where there is one."""
        values = asdict(self)
        return values if self.identifier else {name: values[name] for name in values if name not in _OF_IDENTIFIER}

    def _check(self, name: str, value: Any, default: Any) -> None:
        kinds: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float), tuple: (tuple,), str: (str,)}
        wanted = kinds[type(default)]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise PolygraftError(f"{name} is {value!r}, but a {wanted[-1].__name__} like {default!r} is expected")
        items = value if isinstance(value, tuple) else (value,)
        kind = str if name in ("scripts", "stop_words", "identifier", "label") else (int, float)
        if not all(isinstance(item, kind) for item in items):
            raise PolygraftError(f"{name} is {value!r}, but values like {default!r} are expected")
        if kind is not str and any(item < 0 for item in items):
            raise PolygraftError(f"{name} is {value!r}, but a threshold is 0 or more")
