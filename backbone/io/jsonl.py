"""Lines of text or of JSON objects, read strictly: what is wrong is said with the number of the line."""

import json
from collections.abc import Iterator
from typing import Any

from backbone.errors import PolygraftError


def read_objects(data: bytes, source: str, shape: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the object of each line that is not blank, with its place ("captions.jsonl, line 3") for messages.

    Args:
        data: the whole file; a byte order mark is passed over.
        source: what the file is called in messages.
        shape: what a line should look like, the end of a message.

    Raises:
        PolygraftError: a line is not UTF-8, not JSON, or another JSON value than an object.
    """
    for place, line in read_lines(data, source):
        yield place, parse_object(line, place, shape)


def read_lines(data: bytes, source: str) -> Iterator[tuple[str, str]]:
    r"""Yield each line that is not blank, with its place, cut at ``\n`` alone: JSON strings may hold other line ends.

    Args:
        data: the whole file; a byte order mark is passed over.
        source: what the file is called in messages.

    Raises:
        PolygraftError: a line is not UTF-8.
    """
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{source}, line {number}"
        try:
            yield place, line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolygraftError(f"{place} is not UTF-8 ({error.reason}): convert the file to UTF-8") from None


def parse_object(line: str, place: str, shape: str) -> dict[str, Any]:
    """Return the object that a line of JSON is.

    Args:
        line: without its end.
        place: of the line, for messages.
        shape: what a line should look like, the end of a message.

    Raises:
        PolygraftError: it is not JSON, or another JSON value than an object.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PolygraftError(f"{place} is not JSON ({error}): {shape}") from None
    if not isinstance(record, dict):
        raise PolygraftError(f"{place} is a {type(record).__name__}, not an object: {shape}")
    return record
