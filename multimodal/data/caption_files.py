"""Captions by id, from lines of JSON: hypotheses ``{"id", "text"}`` and references ``{"id", "texts"}``."""

from typing import Any

from backbone.errors import PolygraftError
from backbone.io.files import read_objects

_HYPOTHESIS = 'each line is an object like {"id": "1", "text": "a dog"}'
_REFERENCES = 'each line is an object like {"id": "1", "texts": ["a dog", "a puppy"]}'


def read_hypotheses(data: bytes, source: str) -> dict[str, str]:
    """The text of every id, in the order of the file. Ids are texts or whole numbers; 7 and "7" are the same.

    Raises:
        PolygraftError: a line is malformed, or an id is there twice; the line is named.
    """
    rows = _read(data, source, _HYPOTHESIS)
    for place, record in rows.values():
        if not isinstance(record.get("text"), str):
            raise PolygraftError(f"{place} has no text under 'text': {_HYPOTHESIS}")
    return {id_: record["text"] for id_, (_, record) in rows.items()}


def read_references(data: bytes, source: str) -> dict[str, list[str]]:
    """The texts of every id, in the order of the file; a row with ``text`` in place of ``texts`` has just that one.

    Raises:
        PolygraftError: a line is malformed or has no text, or an id is there twice; the line is named.
    """
    found = {}
    for id_, (place, record) in _read(data, source, _REFERENCES).items():
        texts = record.get("texts", [record["text"]] if "text" in record else None)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise PolygraftError(f"{place} has no list of texts under 'texts': {_REFERENCES}")
        found[id_] = texts
    return found


def _read(data: bytes, source: str, shape: str) -> dict[str, tuple[str, dict[str, Any]]]:
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
