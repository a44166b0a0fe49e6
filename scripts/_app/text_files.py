"""Text files read line by line in constant memory: lines, documents, and texts of many languages."""

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from backbone.errors import PolygraftError
from backbone.io.files import parse_object
from crosslingual.corpus.compressed_io import PACKED, open_unpacked, read_lines, read_through
from scripts._app.cli import progress

LONGEST = 10_000_000
"""Bytes of a line; more is no text, and would fill the memory."""

MARK = b"\xef\xbb\xbf"
"""Of the order of bytes, which some editors put before UTF-8."""


def read_texts(paths: Sequence[Path], *, label: str = "reading") -> Iterator[str]:
    """Yield the lines of UTF-8 files that are not blank, with a bar on a terminal.

    Args:
        paths: the files; ``-`` is standard input.
        label: what the bar is called.

    Raises:
        PolygraftError: a file cannot be read, is not UTF-8, holds NUL or a line of over ten megabytes; or there is no
            text in all of them.
    """
    empty = True
    for line in progress(_lines(paths), label=label):
        empty = False
        yield line
    if empty:
        named = ", ".join(str(path) for path in paths) or "no file"
        raise PolygraftError(f"{named}: there is no text in it, give UTF-8 text with a sentence or paragraph a line")


def size_of(paths: Sequence[Path]) -> int:
    """Return the bytes of files together.

    Raises:
        PolygraftError: one is not there, or is no file.
    """
    for path in paths:
        if not path.is_file():
            found = "is no file" if path.exists() else "does not exist"
            raise PolygraftError(f"{path} {found}: give files of UTF-8 text")
    return sum(path.stat().st_size for path in paths)


def _lines(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        source = "standard input" if str(path) == "-" else str(path)
        try:
            with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
                number = 0
                while data := file.readline(LONGEST):
                    number += 1
                    yield from _checked(data, f"{source}, line {number}", first=number == 1)
        except OSError as error:
            raise PolygraftError(f"{source} cannot be read ({error.strerror}): give files of UTF-8 text") from error


def _checked(data: bytes, place: str, *, first: bool) -> Iterator[str]:
    if len(data) == LONGEST:
        raise PolygraftError(f"{place} is longer than {LONGEST:,} bytes: give text with a sentence or paragraph a line")
    line = decode_line(data.removeprefix(MARK) if first else data, place)
    if line.strip():
        yield line


def decode_line(data: bytes, place: str) -> str:
    """Return a line of a text file without its end.

    Args:
        data: the line.
        place: what it is called in messages.

    Raises:
        PolygraftError: it is not UTF-8, or holds NUL.
    """
    if b"\0" in data:
        raise PolygraftError(f"{place} holds NUL, so this is no text: give files of UTF-8 text")
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise PolygraftError(f"{place} is not UTF-8 ({error.reason}): convert the file to UTF-8") from None


def parse_text_row(line: str, place: str, shape: str, **defaults: str) -> dict[str, str]:
    """Return the ``text`` of a row of a JSON-lines file, and its other fields of text that are asked for.

    Args:
        line: the row.
        place: what it is called in messages.
        shape: what a row should look like, the end of a message.
        defaults: other fields, and what they are where the row has none.

    Raises:
        PolygraftError: it is no JSON object, or has no text where one is asked for.
    """
    row = {**defaults, **parse_object(line, place, shape)}
    for name in ("text", *defaults):
        if not isinstance(row.get(name), str):
            found = f"a {name} that is a {type(row[name]).__name__}" if name in row else f"no {name}"
            raise PolygraftError(f"{place} has {found}: {shape}")
    return {name: row[name] for name in ("text", *defaults)}


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


_ROWS = (".jsonl", ".ndjson")

_TEXT_SHAPE = 'a line is an object like {"text": "...", "language": "sw"}, where language may be left out'

Texts = Iterator[tuple[str, str]]
"""Language and text."""


def language_texts(sources: Sequence[Path], split: str = "train") -> Texts:
    """Yield language and text of each line of a text file, each row of a JSON-lines file, each document of a corpus.

    The language of a file is its name without ending (``sw.txt``, ``sw.jsonl.gz``); a row may name its own.

    Args:
        sources: files, packed or not, and folders of corpora.
        split: of a corpus: train or heldout.

    Raises:
        PolygraftError: a source is none of these, damaged, no UTF-8, or has a line of over ten megabytes.
    """
    for source in sources:
        if source.is_dir():
            yield from _corpus(source, split)
        else:
            yield from read_through(source, _file(source))


def _corpus(folder: Path, split: str) -> Texts:
    from crosslingual.corpus import Corpus

    corpus = Corpus.open(folder)
    for language in corpus.languages:
        for document in corpus.documents(language, "heldout" if split == "heldout" else "train"):
            yield language, document.text


def _file(path: Path) -> Texts:
    bare = path.with_suffix("") if path.suffix.lower() in PACKED else path
    with open_unpacked(path) as stream:
        for number, (_, _, data) in enumerate(read_lines(stream, LONGEST), start=1):
            place = f"{path}, line {number}"
            line = _decoded(data, place)
            if line.strip():
                yield _row(line, place, bare.stem) if bare.suffix.lower() in _ROWS else (bare.stem, line)


def _decoded(data: bytes | None, place: str) -> str:
    if data is None:
        raise PolygraftError(f"{place} is longer than {LONGEST:,} bytes: give a sentence, paragraph or document a line")
    return decode_line(data.removeprefix(MARK), place)


def _row(line: str, place: str, language: str) -> tuple[str, str]:
    row = parse_text_row(line, place, _TEXT_SHAPE, language=language)
    return row["language"], row["text"]
