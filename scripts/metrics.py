"""polygraft metrics hypotheses.jsonl references.jsonl

Compute caption metrics: BLEU, ROUGE-L, CIDEr-D, METEOR.

Hypotheses are lines like {"id": "1", "text": "a dog"}, references lines like {"id": "1", "texts": ["a dog", "a cat"]}.
Texts are tokenized as coco-caption does, and the values equal those of pycocoevalcap. CIDEr-D depends on the set of
images, so compare it on the same references only. METEOR needs Java and pycocoevalcap.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import read_data, read_objects
from scripts._app.cli import Json, emit, remark, run_file

_HYPOTHESIS = 'each line is an object like {"id": "1", "text": "a dog"}'
_REFERENCES = 'each line is an object like {"id": "1", "texts": ["a dog", "a puppy"]}'


@dataclass(frozen=True, kw_only=True)
class Options:
    """Two files with the same ids."""

    hypotheses: tyro.conf.Positional[Path]
    """JSONL file of captions, one for each id; - reads standard input."""
    references: tyro.conf.Positional[Path]
    """JSONL file of right captions, one list for each id; - reads standard input."""
    skip_meteor: bool = False
    """Skip METEOR, which starts Java: many seconds, up to 2 GB of memory."""
    json: Json = False

    def __post_init__(self) -> None:
        if str(self.hypotheses) == str(self.references) == "-":
            raise UsageError("both files are -, but there is one standard input: name a file for one of them")


def main(options: Options) -> int:
    """Print each metric; METEOR is left out, or null in JSON, where it cannot be had."""
    from multimodal.metrics.caption import score

    hypotheses = _hypotheses(_read(options.hypotheses), str(options.hypotheses))
    references = _references(_read(options.references), str(options.references))
    figures = score(hypotheses, references, meteor=not options.skip_meteor, report=remark)
    if options.json:
        emit(json.dumps(figures))
        return 0
    for name, value in figures.items():
        if value is not None:
            emit(f"{name:8} {value:9.4f}")
    return 0


def _hypotheses(data: bytes, source: str) -> dict[str, str]:
    """The text of every id, in the order of the file. Ids are texts or whole numbers; 7 and "7" are the same.

    Raises:
        PolygraftError: a line is malformed, or an id is there twice; the line is named.
    """
    rows = _rows(data, source, _HYPOTHESIS)
    for place, record in rows.values():
        if not isinstance(record.get("text"), str):
            raise PolygraftError(f"{place} has no text under 'text': {_HYPOTHESIS}")
    return {id_: record["text"] for id_, (_, record) in rows.items()}


def _references(data: bytes, source: str) -> dict[str, list[str]]:
    """The texts of every id, in the order of the file; a row with ``text`` in place of ``texts`` has just that one.

    Raises:
        PolygraftError: a line is malformed or has no text, or an id is there twice; the line is named.
    """
    found = {}
    for id_, (place, record) in _rows(data, source, _REFERENCES).items():
        texts = record.get("texts", [record["text"]] if "text" in record else None)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise PolygraftError(f"{place} has no list of texts under 'texts': {_REFERENCES}")
        found[id_] = texts
    return found


def _rows(data: bytes, source: str, shape: str) -> dict[str, tuple[str, dict[str, Any]]]:
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for place, record in read_objects(data, source, shape):
        id_ = record.get("id")
        if not isinstance(id_, str | int) or isinstance(id_, bool):
            raise PolygraftError(f"{place} has no text or whole number under 'id': {shape}")
        if str(id_) in found:
            raise PolygraftError(f"{place} has the id {id_!r} for the second time: give every id one line")
        found[str(id_)] = place, record
    if not found:
        raise PolygraftError(f"{source} holds no caption: {shape}")
    return found


def _read(path: Path) -> bytes:
    return sys.stdin.buffer.read() if str(path) == "-" else read_data(path)


if __name__ == "__main__":
    run_file(__file__)
