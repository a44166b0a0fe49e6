"""Applying the rules of quality: which texts break one, and which."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosslingual.corpus.language_id import open_identifier
from crosslingual.corpus.languages import Writing
from crosslingual.corpus.rules import Rules
from crosslingual.corpus.text_stats import Measures, measure
from crosslingual.corpus.unicode_scripts import PUNCTUATION, letters

_BULLETS = frozenset("•‣▪◦●■·-–*・")
_ELLIPSES = ("…", "...")
_SENTENCE_ENDS = frozenset(".!?…。．！？｡।॥۔؟።។៕|:;：；\"'”’»›」』】）)")
_LATIN_WORD = 5.0  # letters
_TOP, _REPEATED = 2, 5  # words in the shortest runs of each measure

Array = np.ndarray[Any, np.dtype[Any]]


def judge_texts(texts: Sequence[str], writing: Writing, rules: Rules) -> list[str]:
    """Return for each text the name of the first rule that it breaks, empty where it breaks none.

    Args:
        texts: of the same language, at least one.
        writing: how the language is written.
        rules: thresholds.
    """
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
        """Characters that count as a word, where no blanks part words; else 1, and words count."""
        return max(self.writing.word_characters, 1)

    def by_measures(self, measures: Measures) -> list[tuple[str, Array]]:
        """Return which texts break each rule that numbers tell."""
        rules, spaced = self.rules, not self.writing.word_characters
        words = measures.counts / self.factor
        length = measures.characters / np.maximum(words, 1e-9)
        # without blanks marks of punctuation stand for themselves, and not at the end of words
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
        if self.writing.word_characters:  # no blanks part them from others
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
