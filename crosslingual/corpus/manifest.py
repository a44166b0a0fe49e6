"""The manifest of a corpus: sources, drops by reason, contents, and a seal against edits."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError
from backbone.io.files import read_json, write_json

MANIFEST = "manifest.json"
FORMAT = 1
_KIND = "corpus"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Documents, and the UTF-8 bytes of their texts."""

    documents: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(documents=self.documents + other.documents, bytes=self.bytes + other.bytes)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A file of a corpus."""

    file: str  # path within the corpus
    split: str  # train, heldout or drops
    documents: int
    bytes: int  # of the texts, unpacked; for drops of what was dropped
    file_size: int
    sha256: str  # of the file as it is


@dataclass(frozen=True, kw_only=True)
class LanguageRecord:
    """Statistics of one language."""

    licences: Mapping[str, str]  # licence by source
    read: Amount
    repaired: int  # documents that repair changed
    dropped: Mapping[str, Amount]  # what was dropped, by reason
    rehydrated: Amount  # what training text amounts to when kept documents are repeated by the size of their cluster
    rules: Mapping[str, Any]
    tails: tuple[Mapping[str, Any], ...]  # bounds of the compression ratio by length
    shards: tuple[Shard, ...]

    def size(self, split: str) -> Amount:
        """Return what a split holds."""
        shards = (shard for shard in self.shards if shard.split == split)
        return sum((Amount(documents=shard.documents, bytes=shard.bytes) for shard in shards), Amount())


def write_manifest(folder: Path, languages: Mapping[str, LanguageRecord], settings: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` into ``folder``, sealed."""
    body = {
        "format": FORMAT,
        "kind": _KIND,
        "settings": dict(settings),
        "languages": {language: asdict(record) for language, record in languages.items()},
    }
    write_json(folder / MANIFEST, {**body, "seal": _seal(body)})


def read_manifest(folder: Path) -> tuple[str, dict[str, LanguageRecord]]:
    """Return the seal of a corpus, which names its content, and the records of its languages.

    Raises:
        PolygraftError: ``folder`` is no corpus, one of another format, or its manifest was changed.
    """
    table = _read(folder)
    return table["seal"], {language: _record(entry) for language, entry in table["languages"].items()}


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the options, sources, rules and files that a corpus was built with; errors as in `read_manifest`."""
    settings: dict[str, Any] = _read(folder)["settings"]
    return settings


def _read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise PolygraftError(f"{folder} is no corpus: it has no {MANIFEST}; build one with `polygraft corpus build`")
    table = read_json(path)
    if table.get("kind") != _KIND or table.get("format") != FORMAT:
        raise PolygraftError(
            f"{path} is of kind {table.get('kind')!r} and format {table.get('format')!r}, but {_KIND!r} and {FORMAT} "
            "are read: build the corpus again"
        )
    if table.get("seal") != _seal({name: value for name, value in table.items() if name != "seal"}):
        raise PolygraftError(f"{path} was changed after the corpus was built: restore it or build the corpus again")
    return table


def _seal(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _record(entry: dict[str, Any]) -> LanguageRecord:
    return LanguageRecord(
        **entry
        | {
            "read": Amount(**entry["read"]),
            "rehydrated": Amount(**entry["rehydrated"]),
            "dropped": {reason: Amount(**amount) for reason, amount in entry["dropped"].items()},
            "tails": tuple(entry["tails"]),
            "shards": tuple(Shard(**shard) for shard in entry["shards"]),
        }
    )
