"""Texts of many languages from files and corpora, one by one and as often as they are needed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from backbone.errors import PolygraftError
from crosslingual.corpus.compressed_io import PACKED, open_unpacked, read_lines, read_through
from scripts._app.text_files import LONGEST, MARK, decode_line, parse_text_row

_ROWS = (".jsonl", ".ndjson")
_SHAPE = 'a line is an object like {"text": "...", "language": "sw"}, where language may be left out'

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
    row = parse_text_row(line, place, _SHAPE, language=language)
    return row["language"], row["text"]
