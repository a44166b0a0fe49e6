"""The text that a tokenizer is trained on: checked, and remembered for the characters it has."""

from collections.abc import Callable, Iterable, Iterator

from backbone.errors import PolygraftError


class TrainingText:
    """Texts handed on one by one, with what is to be known of them afterwards.

    Args:
        texts: any unit; read once.
        rewrite: what is done to each before it is handed on.
    """

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
        PolygraftError: there is one, named by ``name`` and its place.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PolygraftError(
            f"{name} has half a surrogate pair (U+{ord(text[error.start]):04X}) at character {error.start + 1}, which "
            "is no text: repair or leave it out"
        ) from None
