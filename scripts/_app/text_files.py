"""Text files read line by line in constant memory: lines, documents, and texts of many languages."""

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

from backbone.errors import PolygraftError
from backbone.io.files import parse_object
from crosslingual.corpus.compressed_io import PACKED, open_unpacked, read_lines, read_through
from scripts._app.cli import progress

LONGEST = 10_000_000  # bytes of a line; more is no text, and would fill the memory

_MARK = b"\xef\xbb\xbf"  # of the order of bytes, which some editors put before UTF-8
_ROWS = (".jsonl", ".ndjson")
_SHAPE = 'each line of a .jsonl file is an object like {"text": "..."}'
_LANGUAGE_SHAPE = 'a line is an object like {"text": "...", "language": "sw"}, where language may be left out'


def read_texts(paths: Sequence[Path], *, label: str = "reading") -> Iterator[str]:
    """Yield the lines of UTF-8 files that are not empty, with a bar on a terminal.

    Raises:
        PolygraftError: A file cannot be read, is not UTF-8, holds NUL or a line of over ten megabytes; or there is no
            text in all of them.
    """
    return (line for _, line in _read(paths, label))


def _read(paths: Sequence[Path], label: str) -> Iterator[tuple[str, str]]:
    empty = True
    for placed in progress(chain.from_iterable(read_through(path, _lines(path)) for path in paths), label):
        empty = False
        yield placed
    if empty:
        named = ", ".join(str(path) for path in paths) or "no file"
        raise PolygraftError(f"{named}: there is no text in it, give UTF-8 text with a sentence or paragraph a line")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines that are not empty, each with its place for messages."""
    source = "standard input" if str(path) == "-" else str(path)
    # standard input is not ours to close
    with nullcontext(sys.stdin.buffer) if str(path) == "-" else open_unpacked(path) as stream:
        for number, (_, _, data) in enumerate(read_lines(stream, LONGEST), start=1):
            line = _decode(data, f"{source}, line {number}")
            if line.strip():
                yield f"{source}, line {number}", line


def _decode(data: bytes | None, place: str) -> str:
    if data is None:
        raise PolygraftError(f"{place} is longer than {LONGEST:,} bytes: give a sentence, paragraph or document a line")
    if b"\0" in data:
        raise PolygraftError(f"{place} holds NUL, so this is no text: give files of UTF-8 text")
    try:
        return data.removeprefix(_MARK).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise PolygraftError(f"{place} is not UTF-8 ({error.reason}): convert the file to UTF-8") from None


def size_of(paths: Sequence[Path]) -> int:
    """Return the bytes of files together.

    Raises:
        PolygraftError: One is not there, or is no file.
    """
    for path in paths:
        if not path.is_file():
            found = "is no file" if path.exists() else "does not exist"
            raise PolygraftError(f"{path} {found}: give files of UTF-8 text")
    return sum(path.stat().st_size for path in paths)


def read_documents(paths: Sequence[Path]) -> list[str]:
    """Return the documents of UTF-8 files: each row of a ``.jsonl`` file, any other file as a whole.

    Raises:
        PolygraftError: A file cannot be read or has no text; a row is no JSON object with a ``text``.
    """
    documents = []
    for path in paths:
        lines = list(_read([path], "reading"))
        if path.suffix == ".jsonl":
            documents += [_row(line, place, _SHAPE)["text"] for place, line in lines]
        else:
            documents.append("\n".join(line for _, line in lines))
    return [document for document in documents if document.strip()]


def _row(line: str, place: str, shape: str, **defaults: str) -> dict[str, str]:
    row = {**defaults, **parse_object(line, place, shape)}
    for name in ("text", *defaults):
        if not isinstance(row.get(name), str):
            found = f"a {name} that is a {type(row[name]).__name__}" if name in row else f"no {name}"
            raise PolygraftError(f"{place} has {found}: {shape}")
    return {name: row[name] for name in ("text", *defaults)}


def hold_out(documents: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Split documents into those to learn from and those held out, copies of one text on one side.

    Args:
        documents: The texts.
        share: The part of the distinct documents that is held out; at least one where there are two and it is not 0.
        seed: The seed of the choice.
    """
    distinct = sorted(set(documents))  # so that the choice does not depend on the order of the files
    count = max(1, round(share * len(distinct))) if share and len(distinct) > 1 else 0
    held = set(random.Random(seed).sample(distinct, count))
    return [text for text in documents if text not in held], [text for text in distinct if text in held]


Texts = Iterator[tuple[str, str]]  # language and text


def language_texts(sources: Sequence[Path], split: str = "train") -> Texts:
    """Yield language and text of each line of a text file, each row of a JSON-lines file, each document of a corpus.

    The language of a file is its name without ending (``sw.txt``, ``sw.jsonl.gz``); a row may name its own.

    Args:
        sources: The files, packed or not, and folders of corpora.
        split: The part of a corpus: train or heldout.

    Raises:
        PolygraftError: A source is none of these, damaged, no UTF-8, or has a line of over ten megabytes.
    """
    for source in sources:
        yield from _corpus(source, split) if source.is_dir() else read_through(source, _file(source))


def held_out_texts(sources: Sequence[Path]) -> dict[str, list[str]]:
    """Return the texts of `language_texts` by language, of corpora those held out.

    Raises:
        PolygraftError: There is none.
    """
    texts: dict[str, list[str]] = {}
    for language, text in progress(language_texts(sources, "heldout"), label="reading"):
        texts.setdefault(language, []).append(text)
    if not texts:
        raise PolygraftError("there is no text to measure: the sources are empty, or the corpus holds nothing out")
    return texts


def _corpus(folder: Path, split: str) -> Texts:
    from crosslingual.corpus import Corpus

    corpus = Corpus.open(folder)
    for language in corpus.languages:
        for document in corpus.documents(language, "heldout" if split == "heldout" else "train"):
            yield language, document.text


def _file(path: Path) -> Texts:
    bare = path.with_suffix("") if path.suffix.lower() in PACKED else path
    for place, line in _lines(path):
        if bare.suffix.lower() in _ROWS:
            row = _row(line, place, _LANGUAGE_SHAPE, language=bare.stem)
            yield row["language"], row["text"]
        else:
            yield bare.stem, line
