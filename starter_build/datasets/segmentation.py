"""Chinese text cut into words: the longest word of a dictionary at each place."""

from collections.abc import Iterable, Iterator
from itertools import groupby


def is_han(letter: str) -> bool:
    """True for a Chinese character."""
    return "\u3400" <= letter <= "\u9fff"


class LongestMatch:
    """Forward maximum matching: at each place the longest known word, or else one character.

    Args:
        words: known words; those that are not all of Chinese characters are passed over.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = {word for word in words if len(word) > 1 and all(map(is_han, word))}
        self._longest = max(map(len, self._words), default=1)

    def __call__(self, text: str) -> str:
        """Return the text with a space between words of Chinese characters, and around each run of others."""
        pieces = [
            piece
            for han, run in groupby(text, is_han)
            for piece in (self._cut("".join(run)) if han else ["".join(run).strip()])
        ]
        return " ".join(piece for piece in pieces if piece)

    def _cut(self, run: str) -> Iterator[str]:
        start = 0
        while start < len(run):
            lengths = range(min(self._longest, len(run) - start), 1, -1)
            length = next((n for n in lengths if run[start : start + n] in self._words), 1)
            yield run[start : start + length]
            start += length
