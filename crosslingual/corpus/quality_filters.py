"""Quality filters after Gopher, FineWeb and FineWeb-2: their thresholds, and which texts fail which of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.arrays import Array
from crosslingual.corpus.language_id import open_identifier
from crosslingual.corpus.text_stats import Measures, measure
from crosslingual.corpus.unicode_scripts import PUNCTUATION, Writing, known_scripts, letters

_OF_IDENTIFIER = ("identifier", "label", "min_language")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds for one language; each may be set in the list of sources. A share counts from 0 to 1.

    Defaults are those of Gopher (Rae et al., 2021, appendix A1.1), with lines as FineWeb (Penedo et al., 2024) and
    FineWeb-2 (Penedo et al., 2025) judge them. Where no spaces stand between words, so many characters count as one.
    """

    scripts: tuple[str, ...] = ()
    """Scripts of the letters, named as Unicode's names of letters begin: LATIN, CYRILLIC, CJK; none: the language's."""
    min_script: float = 0.5
    """Least share of the letters that are of these scripts; where no spaces stand between words, of the words."""
    min_words: int = 50
    max_words: int = 100_000
    min_word_length: float = 3.0  # least mean number of characters of a word
    max_word_length: float = 10.0  # greatest mean number of characters of a word
    max_symbols: float = 0.1  # most hash signs and ellipses for each word
    max_bullet_lines: float = 0.9  # greatest share of lines that begin with a bullet
    max_ellipsis_lines: float = 0.3  # greatest share of lines that end with an ellipsis
    min_letter_words: float = 0.8  # least share of words that hold a letter
    stop_words: tuple[str, ...] = ()  # frequent words of the language, in lower case; none: not looked for
    min_stop_words: int = 2  # how many of them a text must hold
    min_ended_lines: float = 0.12  # least share of lines that end like a sentence; not asked of Thai, Lao and Khmer
    max_newlines: float = 0.3  # most line ends for each word
    max_repeated_lines: float = 0.3  # greatest share of lines that repeat an earlier one
    max_repeated_line_characters: float = 0.1  # greatest share of characters in such lines
    max_top_ngrams: tuple[float, ...] = (0.20, 0.18, 0.16)
    """Greatest share of characters in the most frequent run of 2, 3 and 4 words."""
    max_repeated_ngrams: tuple[float, ...] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    """Greatest share of characters in repeated runs of 5 to 10 words."""
    identifier: str = ""
    """A classifier of languages, as fastText writes them (lid.176.bin, GlotLID), from the folder of the list; none:
    only scripts are looked at."""
    label: str = ""  # what the classifier calls the language, without __label__; none: the first part of its code
    min_language: float = 0.65  # least share that the classifier gives to the language

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            numbers = [one for one in (value if isinstance(value, tuple) else (value,)) if not isinstance(one, str)]
            if any(number < 0 for number in numbers):
                raise PolygraftError(f"{name} is {value!r}, but a threshold is 0 or more")
        if unknown := sorted(set(self.scripts) - known_scripts()):
            raise PolygraftError(f"scripts names {unknown[0]!r}, which begins no name of a letter in Unicode")

    def applied(self) -> dict[str, Any]:
        """Return the thresholds by name, those of the identifier only where there is one."""
        values = asdict(self)
        return values if self.identifier else {name: values[name] for name in values if name not in _OF_IDENTIFIER}


_BULLETS = frozenset("•‣▪◦●■·-–*・")
_ELLIPSES = ("…", "...")
_SENTENCE_ENDS = frozenset(".!?…。．！？｡।॥۔؟።។៕|:;：；\"'”’»›」』】）)")
_LATIN_WORD = 5.0  # letters
_TOP, _REPEATED = 2, 5  # words in the shortest runs of each measure


def judge_texts(texts: Sequence[str], writing: Writing, rules: Rules) -> list[str]:
    """Return for each text the name of the first rule that it breaks, empty where it breaks none."""
    judge = _Judge(writing, rules)
    measures = measure(texts, by_character=writing.word_characters > 0)
    verdicts = np.full(len(texts), "", dtype=object)
    for reason, broken in reversed(judge.by_measures(measures)):
        verdicts[broken] = reason
    for place in np.flatnonzero(verdicts == "").tolist():
        verdicts[place] = judge.by_lines(texts[place], float(measures.counts[place]) / judge.factor)
    left = np.flatnonzero(verdicts == "")
    for reason, broken in reversed(judge.by_runs(measures, verdicts == "")):
        verdicts[left[broken]] = reason
    if rules.identifier:
        kept = np.flatnonzero(verdicts == "")
        shares = open_identifier(Path(rules.identifier)).shares([texts[place] for place in kept.tolist()], rules.label)
        verdicts[kept[shares < rules.min_language]] = "other_language"
    return list(verdicts)


@dataclass(frozen=True)
class _Judge:
    """The rules for one language."""

    writing: Writing
    rules: Rules

    @property
    def factor(self) -> int:
        """Characters that count as a word, where words are not separated by spaces; else 1, and words count."""
        return max(self.writing.word_characters, 1)

    def by_measures(self, measures: Measures) -> list[tuple[str, Array]]:
        """Return which texts break each rule that numbers tell."""
        rules, spaced = self.rules, not self.writing.word_characters
        words = measures.counts / self.factor
        length = measures.characters / np.maximum(words, 1e-9)
        # without spaces marks of punctuation stand for themselves, and not at the end of words
        marks = 0 if spaced else measures.kinds[:, PUNCTUATION]
        lettered = 1 - (measures.letterless - marks) / np.maximum(measures.counts - marks, 1)
        return [
            ("wrong_script", self._script_share(measures) < rules.min_script),
            ("few_words", words < rules.min_words),
            ("many_words", words > rules.max_words),
            ("word_length", spaced & ((length < rules.min_word_length) | (length > rules.max_word_length))),
            ("few_letters", lettered < rules.min_letter_words),
        ]

    def _script_share(self, measures: Measures) -> Array:
        """Return the share of the letters of each text that are of its scripts; 1 where there is nothing to tell.

        Where few letters make a word they weigh more: two Japanese characters as much as a word of five Latin letters.
        """
        scripts = self.rules.scripts or self.writing.scripts
        if not scripts:
            return np.ones(len(measures.counts))
        own = letters(measures.kinds, scripts)
        weighed = own * (_LATIN_WORD / self.factor if self.writing.word_characters else 1.0)
        every = weighed + letters(measures.kinds) - own
        share: Array = np.where(every > 0, weighed / np.maximum(every, 1e-9), 1.0)
        return share

    def by_lines(self, text: str, count: float) -> str:
        """Judge symbols, stop words and lines of a text of ``count`` words."""
        rules = self.rules
        if text.count("#") + text.count("…") + text.count("...") > rules.max_symbols * count:
            return "symbols"
        if rules.stop_words and self._stop_words(text.lower()) < rules.min_stop_words:
            return "few_stop_words"
        lines = [line.strip() for line in text.split("\n") if line and not line.isspace()]
        if sum(line[0] in _BULLETS for line in lines) > rules.max_bullet_lines * len(lines):
            return "bullet_lines"
        if sum(line.endswith(_ELLIPSES) for line in lines) > rules.max_ellipsis_lines * len(lines):
            return "ellipsis_lines"
        ended = sum(line[-1] in _SENTENCE_ENDS for line in lines)
        if self.writing.punctuated and ended < rules.min_ended_lines * len(lines):
            return "unended_lines"
        if text.count("\n") > rules.max_newlines * count:
            return "short_lines"
        first = set(lines)
        characters, again = sum(map(len, lines)), len(lines) - len(first)
        if again > rules.max_repeated_lines * len(lines):
            return "repeated_lines"
        if again and characters - sum(map(len, first)) > rules.max_repeated_line_characters * characters:
            return "repeated_lines"
        return ""

    def _stop_words(self, text: str) -> int:
        words = set(self.rules.stop_words)
        if self.writing.word_characters:  # no spaces part them from others
            return sum(word in text for word in words)
        return len(words.intersection(text.split()))

    def by_runs(self, measures: Measures, chosen: Array) -> list[tuple[str, Array]]:
        """Return by rule which of the texts ``chosen`` repeat runs of words too much (Rae et al., 2021, A1.1)."""
        words, characters = measures.words.of(chosen), measures.characters[chosen]
        frequent, repeated = np.zeros((2, len(characters)), dtype=bool)
        heaviest = words.heaviest_bound()
        for length, limit in self._limits(self.rules.max_top_ngrams, _TOP):
            # no run stands more often than any word of it
            some = length * heaviest > limit * characters
            frequent[some] |= words.of(some).heaviest_run(length) > limit * characters[some]
        most = characters.copy()
        for length, limit in self._limits(self.rules.max_repeated_ngrams, _REPEATED):
            some = (most > limit * characters) & ~repeated
            most[some] = words.of(some).repeated_runs(length)
            repeated |= most > limit * characters
        return [("frequent_ngram", frequent), ("repeated_ngrams", repeated)]

    def _limits(self, shares: Sequence[float], shortest: int) -> list[tuple[int, float]]:
        return [(words * self.factor, share) for words, share in enumerate(shares, start=shortest)]
