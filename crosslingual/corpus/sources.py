"""The sources of a corpus: a TOML file, read strictly, and the published thresholds by language of FineWeb-2."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from backbone.errors import PolygraftError
from backbone.io.files import read_json
from backbone.io.settings import check_keys, convert, read_toml
from crosslingual.corpus.compressed_io import PACKED
from crosslingual.corpus.quality_filters import Rules

PresetName = Literal["gopher", "fineweb-2"]
"""What ``preset`` names among the rules: Gopher's thresholds, the same for all languages, or FineWeb-2's for each."""

_FILE = Path(__file__).with_name("fineweb2.json")
_UNTUNED = ("en",)  # FineWeb-2 has no English; the rules of FineWeb are the defaults


def preset_rules(name: object, language: str) -> dict[str, Any]:
    """Return the thresholds that a preset sets otherwise than `Rules` does.

    Those of FineWeb-2 were tuned on text of the language: numbers, and the words that are most frequent in its
    Wikipedia. ``fineweb2.json`` holds those of 63 languages, from the settings that the project has published; the
    words of Korean are left out, since they are particles that no space parts from their nouns.

    Raises:
        PolygraftError: There is no such preset, or it says nothing of the language.
    """
    if name not in get_args(PresetName):
        raise PolygraftError(f"preset is {name!r}, but must be one of {', '.join(get_args(PresetName))}")
    code = re.split("[-_]", language)[0].lower()
    if name == "gopher" or code in _UNTUNED:
        return {}
    if code not in _published():
        raise PolygraftError(
            f'the preset fineweb-2 knows no thresholds of {code!r}: write preset = "gopher" under [language.{language}]'
        )
    return dict(_published()[code])


@lru_cache(maxsize=1)
def _published() -> dict[str, dict[str, Any]]:
    return read_json(_FILE)


_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "txt", ".text": "txt"}
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Text of one language under one licence."""

    name: str  # what its documents are known by: letters, digits, dots and dashes
    language: str  # language of the text as a code: sw, pt-BR
    licence: str  # licence of the text, as it stands in the manifest
    path: str = ""  # A file or a glob (** for any folders), from the folder of the list
    dataset: str = ""  # instead of a path: a data set of the hub or a folder that `datasets` loads, streamed
    config: str = ""  # configuration of the data set
    split: str = "train"  # split of the data set
    format: Literal["", "txt", "jsonl", "parquet"] = ""  # guessed by the ending where it is empty
    documents: Literal["file", "line", "paragraph"] = "file"
    """What is a document of a txt file; paragraphs stand between empty lines."""
    text: str = "text"  # field of the text in JSON lines, parquet and data sets

    def __post_init__(self) -> None:
        self._check("name", _NAME, "letters, digits, dots and dashes")
        self._check("language", _LANGUAGE, "a code like sw or pt-BR")
        if bool(self.path) == bool(self.dataset):
            raise PolygraftError(f"source {self.name!r} needs one of path and dataset")

    def _check(self, name: str, pattern: re.Pattern[str], wanted: str) -> None:
        if not pattern.fullmatch(getattr(self, name)):
            raise PolygraftError(f"source {self.name!r}: {name} {getattr(self, name)!r} is not {wanted}")

    def format_of(self, path: Path) -> str:
        """Return the format of a file of this source.

        Raises:
            PolygraftError: The ending tells none and the source names none.
        """
        ending = Path(path.stem).suffix if path.suffix.lower() in PACKED else path.suffix
        found = self.format or _ENDINGS.get(ending.lower(), "")
        if not found:
            raise PolygraftError(
                f"the ending of {path} tells no format: give source {self.name!r} a format, txt, jsonl or parquet"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class SourceList:
    """Sources in the order in which the first of several equal documents is kept, and the rules that hold for each."""

    sources: tuple[Source, ...]
    rules: Mapping[str, Rules]  # rules by language, for every language of the sources
    folder: Path = field(default=Path())  # what relative paths start from

    def files(self, source: Source) -> list[tuple[str, Path]]:
        """Return the files of a source in alphabetical order, each with its name within the source.

        Raises:
            PolygraftError: There is none, or the path is a folder.
        """
        base, pattern = _split_pattern(self.folder / source.path)
        found = sorted(base.glob(pattern))
        files = [path for path in found if path.is_file()]
        if not files:
            hint = f"it is a folder: write {source.path}/*" if found else "it matches no file"
            raise PolygraftError(f"source {source.name!r}: {source.path} cannot be read, {hint}")
        return [(path.relative_to(base).as_posix(), path) for path in files]


def _split_pattern(path: Path) -> tuple[Path, str]:
    """Return the deepest folder that a glob pattern does not leave open, and the rest of the pattern."""
    parts = path.absolute().parts
    cut = next((index for index, part in enumerate(parts) if set(part) & set("*?[")), len(parts) - 1)
    return Path(*parts[:cut]), str(Path(*parts[cut:]))


def read_sources(path: Path) -> SourceList:
    """Read a list of sources: tables ``[[source]]``, and ``[rules]`` and ``[language.sw]`` with other thresholds.

    Among these ``preset`` may name published ones, see `preset_rules`; those that stand beside it go before them.

    Raises:
        PolygraftError: The file cannot be read, or a key or value in it is wrong.
    """
    table = read_toml(path)
    try:
        return _parse(table, path.parent)
    except PolygraftError as error:
        raise PolygraftError(f"{path}: {error}") from None


def _parse(table: dict[str, Any], folder: Path) -> SourceList:
    check_keys("the list", table, ("language", "rules", "source"))
    entries = table.get("source", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
        raise PolygraftError("there is no [[source]] in it")
    sources = tuple(_source(entry) for entry in entries)
    names = [source.name for source in sources]
    if repeated := next((name for name in names if names.count(name) > 1), ""):
        raise PolygraftError(f"two sources are called {repeated!r}: give each a name of its own")
    common, special = _tables(table, "rules"), _tables(table, "language")
    languages = dict.fromkeys(source.language for source in sources)
    check_keys("[language]", special, languages)
    rules = {language: _rules(language, {**common, **_tables(special, language)}) for language in languages}
    return SourceList(sources=sources, rules=rules, folder=folder)


def _source(entry: dict[str, Any]) -> Source:
    label = f"source {entry.get('name', '')!r}"
    check_keys(label, entry, [item.name for item in fields(Source)])
    if missing := [name for name in ("name", "language", "licence") if not entry.get(name)]:
        raise PolygraftError(f"{label} has no {missing[0]}")
    return Source(**_converted(Source, entry, label))


def _rules(language: str, given: Mapping[str, Any]) -> Rules:
    check_keys(f"the rules of {language}", given, ["preset", *(item.name for item in fields(Rules))])
    if given.get("identifier") and not given.get("label"):
        given = {**given, "label": re.split("[-_]", language)[0].lower()}
    try:
        given = {**preset_rules(given.get("preset", "gopher"), language), **given}
        return Rules(**_converted(Rules, {name: value for name, value in given.items() if name != "preset"}))
    except PolygraftError as error:
        raise PolygraftError(f"the rules of {language}: {error}") from None


def _converted(cls: type[Any], values: Mapping[str, Any], owner: str = "") -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {name: convert(f"{owner} {name}".strip(), value, hints[name]) for name, value in values.items()}


def _tables(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise PolygraftError(f"{name} is {value!r} where a table [{name}] is expected")
    return value
