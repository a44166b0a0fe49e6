"""Documents of running text from files: what language models are trained on and measured with."""

import random
from collections.abc import Sequence
from pathlib import Path

from scripts._app.text_files import parse_text_row, read_texts

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
        if path.suffix == ".jsonl":
            rows = (parse_text_row(line, f"{path}, row {number}", _SHAPE) for number, line in enumerate(lines, start=1))
            documents += [row["text"] for row in rows]
        else:
            documents.append("\n".join(lines))
    return [document for document in documents if document.strip()]


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
