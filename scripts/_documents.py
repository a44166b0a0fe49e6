"""Documents of running text from files: what language models are trained on and measured with."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from backbone.errors import PolygraftError
from scripts._texts import read_texts

_SHAPE = 'each line of a .jsonl file is an object like {"text": "..."}'


def read_documents(paths: Sequence[Path]) -> list[str]:
    """Return the documents of UTF-8 files: each row of a ``.jsonl`` file, and any other file as a whole.

    Args:
        paths: the files; ``-`` is standard input, one document.

    Raises:
        PolygraftError: a file cannot be read or has no text; a row is no JSON object with a ``text``.
    """
    documents = []
    for path in paths:
        lines = list(read_texts([path]))
        documents += [_text(line, path) for line in lines] if path.suffix == ".jsonl" else ["\n".join(lines)]
    return [document for document in documents if document.strip()]


def _text(line: str, path: Path) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise PolygraftError(f"{path} has the line {line[:60]!r}, which is no row ({error!r}): {_SHAPE}") from None
    if not isinstance(text, str):
        raise PolygraftError(f"{path} has a row whose text is a {type(text).__name__}: {_SHAPE}")
    return text


def hold_out(documents: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Split documents into those to learn from and those held out, copies of one text on one side.

    Args:
        documents: the texts.
        share: of the distinct documents that are held out; at least one where there are two and the share is not 0.
        seed: of the choice.
    """
    distinct = sorted(set(documents))
    count = max(1, round(share * len(distinct))) if share and len(distinct) > 1 else 0
    held = set(random.Random(seed).sample(distinct, count))
    return [text for text in documents if text not in held], [text for text in distinct if text in held]
