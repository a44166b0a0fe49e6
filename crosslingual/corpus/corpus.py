"""Corpus: documents by language and split, read from checked shards, and its manifest, sealed against edits."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from backbone.errors import PolygraftError
from backbone.io.files import read_json, write_json
from backbone.io.settings import config_from_dict
from crosslingual.corpus.compressed_io import open_unpacked, read_objects, read_through
from crosslingual.corpus.minhash import copies

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

    licences: dict[str, str]  # licence by source
    read: Amount
    repaired: int  # documents that repair changed
    dropped: dict[str, Amount]  # what was dropped, by reason
    rehydrated: Amount  # what training text amounts to when kept documents are repeated by the size of their cluster
    rules: dict[str, Any]
    tails: tuple[dict[str, Any], ...]  # bounds of the compression ratio by length
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


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the options, sources, rules and files that a corpus was built with; errors as in `Corpus.open`."""
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


Split = Literal["train", "heldout"]


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A text of a corpus."""

    id: str  # source, file and the byte or row at which it began
    text: str
    source: str  # name of its source
    cluster_size: int  # the nearly equal texts that there were, itself among them


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Cleaned text of some languages on the disk, with a held-out part of each; made by `build_corpus`."""

    folder: Path
    digest: str  # names the content: two corpora of one digest hold the same documents in the same order
    records: Mapping[str, LanguageRecord]  # statistics of each language: amounts, drops by reason, licences, shards

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """Open the corpus in ``folder``.

        Raises:
            PolygraftError: It is no corpus, its manifest was changed, or a shard is missing or of another size.
        """
        table = _read(folder)
        records = {name: config_from_dict(LanguageRecord, entry) for name, entry in table["languages"].items()}
        for record in records.values():
            for shard in record.shards:
                _check_size(folder / shard.file, shard)
        return cls(folder=folder, digest=table["seal"], records=records)

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages, in the order of the sources."""
        return tuple(self.records)

    def documents(
        self, language: str, split: Split = "train", *, rehydrate: bool = False, shard: int | None = None
    ) -> Iterator[CorpusDocument]:
        """Yield the documents of a language, always in the same order.

        Args:
            language: One of `languages`.
            split: train or heldout.
            rehydrate: Repeat a document that stands for several by the size of its cluster (FineWeb-2), at once.
            shard: Only the documents of this shard, of `count_shards`.

        Raises:
            PolygraftError: There is no such language, or a shard is damaged.
        """
        for item in self._lines(language, split, shard):
            for _ in range(copies(item["cluster_size"]) if rehydrate else 1):
                yield CorpusDocument(**item)

    def drops(self, language: str) -> Iterator[dict[str, Any]]:
        """Yield ``id``, ``bytes`` and ``reason`` of every document that was dropped; errors as in `documents`."""
        yield from self._lines(language, "drops")

    def count_shards(self, language: str, split: Split = "train") -> int:
        """Return the number of files of a split; errors as in `documents`."""
        return len(self._shards(language, split))

    def _shards(self, language: str, split: str) -> list[Shard]:
        if language not in self.records:
            raise PolygraftError(f"{self.folder} holds no {language!r}: it has {', '.join(self.languages)}")
        return [shard for shard in self.records[language].shards if shard.split == split]

    def _lines(self, language: str, split: str, number: int | None = None) -> Iterator[dict[str, Any]]:
        shards = self._shards(language, split)
        for shard in shards if number is None else shards[number : number + 1]:
            path = self.folder / shard.file
            yield from read_through(path, _checked_lines(path, shard))


def _checked_lines(path: Path, shard: Shard) -> Iterator[dict[str, Any]]:
    _check_size(path, shard)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != shard.sha256:
            raise PolygraftError(f"{path} was changed after the corpus was built: restore it or build the corpus again")
    with open_unpacked(path) as stream:
        yield from read_objects(stream)


def _check_size(path: Path, shard: Shard) -> None:
    if not path.is_file():
        raise PolygraftError(f"{path} is missing: copy the whole corpus or build it again")
    size = path.stat().st_size
    if size != shard.file_size:
        raise PolygraftError(
            f"{path} has {size:,} bytes where the manifest says {shard.file_size:,}: copy the whole file or build the "
            "corpus again"
        )
