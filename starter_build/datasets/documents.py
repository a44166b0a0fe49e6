"""What a document of running text is here: its record, and the one place for each rule of cleaning and splitting."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

HELD_OUT_SHARE = 0.01  # share of the documents that no language model trains on

MIN_WORDS = 3
MIN_PROSE_SHARE = 0.9
MIN_LETTER_SHARE = 0.6
MIN_LETTERS = 8
_PROSE_MARKS = frozenset(" ,.;:!?'\"’‘“”-–—()")
_NEVER_IN_PROSE = re.compile(r"[<>{}|\\=@#~^_]|://|www\.|\.\.\.\.|--{2,}")


@dataclass(frozen=True, kw_only=True)
class Document:
    """A piece of text that belongs together: a chapter, a page, a recipe."""

    source: str
    """The collection it comes from; versions of one text are distinguished after a hyphen, as in `bible-kjv`."""
    id: str  # unique within the source; the same in every version of one text
    text: str  # paragraphs, one per line
    licence: str


def held_out(document: Document) -> bool:
    """True for the documents that only evaluation may see: about 1 % of each source.

    The rule looks at the collection without its version and at the id, so a Bible chapter is held out in all versions.
    """
    return hash_share(document.source.partition("-")[0], document.id) < HELD_OUT_SHARE


def hash_share(*parts: str) -> float:
    """A number in [0, 1) that depends on `parts` alone: the same on every machine and in every run."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def tidy(text: str) -> str:
    """NFC, one line, single spaces, plain quotes, no soft hyphens or control characters."""
    text = "".join(" " if character.isspace() else character for character in text)
    text = "".join(character for character in text if unicodedata.category(character) not in ("Cc", "Cf", "Co", "Cn"))
    # last, since what stood between two marks may have gone
    text = unicodedata.normalize("NFC", text).replace("`", "'").replace("''", '"')
    return re.sub(r" +", " ", text).strip()


def is_prose(line: str) -> bool:
    """True for a line of words; menus, code, paths, tables and drawings made of characters fall out."""
    words = line.split()
    if _NEVER_IN_PROSE.search(line) or len(words) < MIN_WORDS or not any(word.islower() for word in words):
        return False
    kept = sum(character.isalpha() or character in _PROSE_MARKS for character in line)
    letters = sum(character.isalpha() for character in line)
    return kept >= MIN_PROSE_SHARE * len(line) and letters >= MIN_LETTER_SHARE * len(line)


def is_written(line: str) -> bool:
    """True for a line of running text in any script, decided without looking at case and spaces."""
    letters = sum(character.isalpha() or unicodedata.category(character).startswith("M") for character in line)
    return letters >= max(MIN_LETTERS, MIN_LETTER_SHARE * len(line)) and not _NEVER_IN_PROSE.search(line)


def clean(documents: Iterable[Document], wanted: Callable[[str], bool] = is_prose) -> Iterator[Document]:
    """The documents with tidy paragraphs of prose only, each paragraph where it is met first.

    `wanted` tells which lines are prose: `is_prose` for English, `is_written` for languages of any script. Two
    paragraphs count as one when they differ in case and digits alone (a package described once per version).
    """
    seen: set[bytes] = set()
    for document in documents:
        kept = []
        for paragraph in map(tidy, document.text.splitlines()):
            key = hashlib.blake2b(re.sub(r"\d+", "0", paragraph.casefold()).encode(), digest_size=12).digest()
            if wanted(paragraph) and key not in seen:
                seen.add(key)
                kept.append(paragraph)
        if kept:
            yield replace(document, text="\n".join(kept))
