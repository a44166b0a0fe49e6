"""Text written as the sources of a corpus, and documents kept for tests beside them, out of all training."""

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO

from backbone.io.files import atomic_folder
from scripts._app.cli import remark
from starter_build.datasets.documents import Document, hash_share
from starter_build.processes import polygraft

_TEST_BYTES = 40_000


@dataclass(frozen=True, kw_only=True)
class MultilingualMaterial:
    """Where the text of one undertaking is kept."""

    corpus: Path  # folder of the corpus
    text: Path  # folder of what it was built from, and of documents for tests

    def tests(self) -> list[Path]:
        """Return the files of documents that nothing was trained on, one for each language and named by it."""
        return sorted((self.text / "test").glob("*.jsonl"))

    def test_digest(self) -> str:
        """Return a digest of the documents that nothing was trained on."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in self.tests())).hexdigest()

    def thinned(self, folder: Path, size: int) -> "MultilingualMaterial":
        """Return a corpus of at most about ``size`` bytes of each language, with the same documents for tests."""
        table = tomllib.loads((self.text / "sources.toml").read_text(encoding="utf-8"))
        files: dict[str, list[dict[str, str]]] = {}
        for source in table.pop("source"):
            files.setdefault(source["language"], []).append(source)
        documents = {code: partial(self._part, sources, size) for code, sources in files.items()}
        rules = "\n".join(["[rules]", *(f"{name} = {value}" for name, value in table.get("rules", {}).items()), ""])
        made = build_material(documents, folder, for_test=lambda _: False, rules=rules)
        return replace(made, text=self.text)

    def _part(self, sources: list[dict[str, str]], size: int) -> Iterator[Document]:
        paths = [self.text / source["path"] for source in sources]
        share = size / max(sum(path.stat().st_size for path in paths), 1)
        for source, path in zip(sources, paths, strict=True):
            for number, row in enumerate(read_rows(path)):
                if hash_share("part", source["name"], str(number)) < share:
                    yield Document(id=str(number), licence=source["licence"], **row)


def build_material(
    languages: Mapping[str, Callable[[], Iterable[Document]]],
    folder: Path,
    *,
    for_test: Callable[[Document], bool],
    rules: str = "",
    options: tuple[object, ...] = (),
    test_bytes: int = _TEST_BYTES,
) -> MultilingualMaterial:
    """Write the documents, and build the corpus of those that are not kept for tests; what is there is not made anew.

    Args:
        languages: The functions that yield the documents of a language, by code.
        folder: The folder of texts and corpus.
        for_test: The rule that says which documents are kept for tests.
        rules: The thresholds of quality, as TOML.
        options: The options of ``polygraft corpus build``.
        test_bytes: The bytes that are kept for tests of each language, about; the rest of those is used for nothing.
    """
    text = folder / "text"
    if not text.exists():
        with atomic_folder(text) as unfinished:
            (unfinished / "test").mkdir(parents=True)
            entries = [
                entry
                for code, documents in languages.items()
                for entry in _write_language(code, documents(), unfinished, for_test, test_bytes)
            ]
            (unfinished / "sources.toml").write_text("\n".join([rules, *entries]), encoding="utf-8")
    corpus = folder / "corpus"
    polygraft("corpus", "build", text / "sources.toml", "--out", corpus, *options)
    return MultilingualMaterial(corpus=corpus, text=text)


def _write_language(
    code: str, documents: Iterable[Document], folder: Path, for_test: Callable[[Document], bool], test_bytes: int
) -> list[str]:
    remark(f"writing the text of {code}")
    licences: dict[str, str] = {}
    kept = []
    with ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for document in documents:
            if for_test(document):
                kept.append(document)
                continue
            name = f"{code}-{document.source}"
            if name not in files:
                files[name] = stack.enter_context((folder / f"{name}.jsonl").open("w", encoding="utf-8"))
                licences[name] = document.licence
            files[name].write(_row(document))
    _write_test(kept, folder / "test" / f"{code}.jsonl", test_bytes)
    return [
        f'[[source]]\nname = "{name}"\nlanguage = "{code}"\nlicence = {json.dumps(licence)}\npath = "{name}.jsonl"\n'
        for name, licence in licences.items()
    ]


def _write_test(documents: list[Document], path: Path, limit: int) -> None:
    # some of the documents, spread evenly over all sources
    size = sum(len(document.text.encode()) for document in documents)
    wanted = min(1.0, limit / max(size, 1)) * len(documents)
    step = len(documents) / max(wanted, 1)
    chosen = [documents[int(place * step)] for place in range(max(1, int(wanted)))] if documents else []
    path.write_text("".join(map(_row, chosen)), encoding="utf-8")


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a file of documents: ``source`` and ``text``."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _row(document: Document) -> str:
    return json.dumps({"source": document.source, "text": document.text}, ensure_ascii=False) + "\n"
