"""Language identification with a fastText classifier (Joulin et al., 2017), such as lid.176 or GlotLID."""

import multiprocessing
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.arrays import Array
from crosslingual.vectors.fasttext_bin import MATRIX, open_fasttext, truncated

_PREFIX = "__label__"
_LONGEST = 20_000  # characters that are looked at: enough for any language


class Identifier:
    """A classifier of languages: what ``fasttext supervised`` has written, with labels such as ``__label__sw``.

    Raises:
        PolygraftError: fasttext is not installed, or the file is no such model.
    """

    def __init__(self, path: Path) -> None:
        try:
            import fasttext
        except ImportError:
            raise PolygraftError('telling languages needs fasttext: pip install "polygraft[vectors]"') from None
        try:
            self._model = fasttext.load_model(str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise PolygraftError(f"{path} cannot be read as a model of fastText's: {error}") from None
        self.labels = frozenset(label.removeprefix(_PREFIX) for label in self._model.labels)

    def shares(self, texts: Sequence[str], label: str) -> Array:
        """Return how sure the classifier is that each text is of a language, from 0 to 1.

        Of long texts the beginning counts. The language is named by its label without ``__label__``.
        """
        return np.array([self._share(" ".join(text[:_LONGEST].split()), label) for text in texts])

    def _share(self, line: str, label: str) -> float:
        # the method of the class asks numpy for what its second version refuses, the binding below it does not
        line = line.encode("utf-8", "replace").decode()
        found = self._model.f.predict(line + "\n", len(self.labels), 0.0, "replace")
        return min(1.0, next((share for share, name in found if name == _PREFIX + label), 0.0))


@lru_cache(maxsize=4)
def open_identifier(path: Path) -> Identifier:
    """Return the classifier in a file, read once in each process."""
    return Identifier(path)


def check_identifier(path: Path, label: str) -> None:
    """See that a file is a classifier that knows a label, in a process that it may break: the reader trusts its files.

    Raises:
        PolygraftError: It is not there, no classifier, or does not know the label.
    """
    if not path.is_file():
        raise PolygraftError(f"the identifier {path} is not there: give a model of fastText's, such as lid.176.bin")
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_tell_labels, args=(path, sending))
    process.start()
    sending.close()
    try:
        reply = receiving.recv()
    except EOFError:
        reply = f"{path} breaks the reader of fastText's models: it is damaged, or no such model"
    process.join()
    if isinstance(reply, str):
        raise PolygraftError(reply)
    if label not in reply:
        some = ", ".join(sorted(reply)[:5])
        raise PolygraftError(
            f"{path} knows no label {label!r} (but {some}, ...): give the language's label in the list"
        )


def _tell_labels(path: Path, connection: Any) -> None:
    try:
        if path.suffix == ".bin":
            _check_whole(path)
        connection.send(Identifier(path).labels)
    except PolygraftError as error:
        connection.send(str(error))


def _check_whole(path: Path) -> None:
    """See that nothing is cut off, which fastText's own reader passes over; quantised files tell no sizes."""
    opened = open_fasttext(path)
    output = opened.offset + 4 * opened.rows * opened.width
    with path.open("rb") as file:
        file.seek(output)
        head = file.read(MATRIX.size)
    rows = MATRIX.unpack(head)[1] if len(head) == MATRIX.size else 0
    if not rows or path.stat().st_size < output + MATRIX.size + 4 * rows * opened.width:
        raise truncated(path)
