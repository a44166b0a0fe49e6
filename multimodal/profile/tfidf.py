"""Characteristic words of users: TF-IDF over users."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from backbone.errors import PolygraftError

VOCABULARY = 40_000
"""Most frequent words of the training texts that are known at most."""

Counts = np.ndarray[Any, np.dtype[np.int64]]

_WORD = re.compile(r"[#@]?\w+(?:['’-]\w+)*")


def split_words(text: str) -> list[str]:
    """Return the lower-case words of a text; hashtags, handles and shortcodes (``dog_face``) are words of their own."""
    return _WORD.findall(text.casefold())


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """The words of the training users, and in how many users' posts each stands.

    A document is a user: all posts of one user together. The weights are scikit-learn's defaults:
    ``count * (ln((1 + users) / (1 + document frequency)) + 1)``.
    """

    words: tuple[str, ...]
    """The most frequent words first; of equally frequent ones the first in the alphabet."""
    frequencies: tuple[int, ...]
    """Of each word, how many users write it."""
    users: int

    @classmethod
    def fit(cls, texts_by_user: Mapping[str, Iterable[str]], *, limit: int = VOCABULARY) -> "WordTable":
        """Count the words of the training users.

        Args:
            texts_by_user: all texts of each user; of users who are tested later, none.
            limit: words that are kept.
        """
        totals: Counter[str] = Counter()
        frequencies: Counter[str] = Counter()
        for texts in texts_by_user.values():
            counts = Counter(word for text in texts for word in split_words(text))
            totals += counts
            frequencies.update(counts.keys())
        kept = sorted(totals, key=lambda word: (-totals[word], word))[:limit]
        return cls(words=tuple(kept), frequencies=tuple(frequencies[word] for word in kept), users=len(texts_by_user))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def idf(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Inverse document frequency of each word."""
        found: np.ndarray[Any, np.dtype[np.float64]] = np.log((1 + self.users) / (1 + np.array(self.frequencies))) + 1
        return found

    @cached_property
    def _found(self) -> dict[str, Counts]:
        return {}

    def numbers(self, text: str) -> Counts:
        """Return the numbers of the words of a text that the table knows, in their order, repeated ones too."""
        # looked up once: a user's words are counted again for each post that is left out
        if text not in self._found:
            known = (self._numbers.get(word) for word in split_words(text))
            self._found[text] = np.array([number for number in known if number is not None], dtype=np.int64)
        return self._found[text]

    def top(self, texts: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """Return the words with the greatest weights, and these weights with the greatest as 1.

        Args:
            texts: The texts of a user, at least one.
            limit: The largest number of words. Of equal weights the more frequent word of the table comes first.
        """
        words, counts = np.unique(np.concatenate([self.numbers(text) for text in texts]), return_counts=True)
        weights = counts * self.idf[words]
        order = np.lexsort((words, -weights))[:limit]
        largest = float(weights[order[0]]) if len(order) else 1.0
        return [(int(words[at]), float(weights[at]) / largest) for at in order]

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON can hold it."""
        return {"words": list(self.words), "frequencies": list(self.frequencies), "users": self.users}

    @classmethod
    def from_json(cls, found: Any) -> "WordTable":
        """Read what `to_json` gave.

        Raises:
            PolygraftError: it is something else.
        """
        try:
            words, frequencies, users = found["words"], found["frequencies"], found["users"]
            sound = isinstance(words, list) and type(users) is int
            sound = sound and all(isinstance(word, str) for word in words)
            sound = sound and all(type(count) is int and 0 < count <= users for count in frequencies)
        except (TypeError, KeyError):
            sound = False
        if not sound or len(words) != len(frequencies) or len(set(words)) != len(words):
            raise PolygraftError("the table of users' words is damaged: it needs words, their frequencies and users")
        return cls(words=tuple(words), frequencies=tuple(frequencies), users=users)


NO_WORDS = WordTable(words=(), frequencies=(), users=0)
"""For captioners that know users by other things, or none at all."""
