"""Readers of English text: each takes the unpacked folder of one package and yields its documents, still uncleaned."""

import re
import struct
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from starter_build.datasets.bible import chapters
from starter_build.datasets.documents import Document
from starter_build.datasets.packages import member
from starter_build.datasets.recipes import recipes as read_recipes

NOVELS = ("emma", "mansfield-park", "northanger-abbey", "persuasion", "pride-and-prejudice", "sense-and-sensibility")
BIBLES = {"bible-kjv": "k", "bible-bbe": "3", "bible-web": "4"}
"""Public-domain versions and their keys in the database: King James, Basic English, World English."""
SKIPPED_FORTUNES = {"ascii-art", "drugs", "ethnic", "men-women", "translate-me", "zippy"}
"""Drawings, nonsense, other languages, and jokes at the expense of people."""


def austen(folder: Path) -> Iterator[Document]:
    """Six novels of Jane Austen, a document per chapter, out of an R data file (no R needed)."""
    data = member(folder, "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    books = [lines for block in _zlib_streams(data) if len(lines := _longest_strings(block)) > 1000]
    for novel, lines in zip(NOVELS, sorted(books, key=_title), strict=True):
        chapters = re.split(r"(?im)^(?:(?:volume|chapter) [ivxl\d]+\s*)+$", "\n".join(lines))
        for number, chapter in enumerate(chapters[1:], start=1):
            paragraphs = (paragraph.replace("\n", " ").replace("_", "") for paragraph in re.split(r"\n\s*\n", chapter))
            yield Document(source="austen", id=f"{novel}/{number}", text="\n".join(paragraphs), licence="public domain")


def _title(lines: list[str]) -> str:
    return next(line.casefold() for line in lines if line.strip())


def _zlib_streams(data: bytes) -> Iterator[bytes]:
    """Every zlib stream in `data`; an R database is a row of them, each behind a few bytes of its own."""
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
    """The longest character vector in R's XDR serialisation: type 16, a count, then strings of type 9 with lengths."""
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
    for source, version in BIBLES.items():
        yield from chapters(folder, source, version, "public domain")


def recipes(folder: Path) -> Iterator[Document]:
    """Recipes of the Wikibooks Cookbook: the title and the steps, as one paragraph."""
    return (recipe.document for recipe in read_recipes(folder))


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
    """A control field as paragraphs: a lone dot separates them, deeper indents and bullets begin new lines."""
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
