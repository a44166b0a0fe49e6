"""polygraft corpus build sources.toml --out corpus

Build a corpus: text of many languages, cleaned and deduplicated, with a held-out part and a log of every drop.

SOURCES is a TOML file with a table for each source of text:

    [[source]]
    name = "wiki-sw"
    language = "sw"
    licence = "CC-BY-SA-4.0"
    path = "wiki/*.jsonl.gz"     # or dataset = "name or folder", config = "sw", split = "train"
    # format = "txt"           # or jsonl, parquet: where the suffix does not say
    # documents = "line"         # of txt: file, line or paragraph
    # text = "text"              # field of jsonl, parquet and data sets

    [rules]                      # other thresholds of quality, for all languages
    min_words = 20
    # preset = "fineweb-2"       # those of FineWeb-2 for each language, not Gopher's for all
    # identifier = "lid.176.bin" # drops what fastText takes for another language

    [language.ru]                # and for one
    max_word_length = 11

A killed build is resumed when the command is given again. The result does not depend on the number of workers.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.io.settings import check_range
from crosslingual.options import BuildOptions
from scripts._app.cli import Json, emit, remark, run_file

if TYPE_CHECKING:
    from crosslingual.corpus.corpus import Corpus, LanguageRecord


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which text, how it is cleaned, and where it goes."""

    sources: tyro.conf.Positional[Path]
    """TOML file of the sources."""
    out: Path
    """Folder of the corpus; new, empty, or a build of the same sources to go on with."""
    workers: int = 0
    """Processes; 0: one for each core."""
    overwrite: bool = False
    """Replace a corpus or an unfinished build of other sources or options."""
    build: BuildOptions = field(default_factory=BuildOptions)
    json: Json = False

    def __post_init__(self) -> None:
        check_range(self, "workers", 0)


def main(options: Options) -> int:
    """Build the corpus and print what is in each language."""
    from crosslingual.corpus.build import build_corpus
    from crosslingual.corpus.sources import read_sources

    corpus = build_corpus(
        read_sources(options.sources),
        options.out,
        options.build,
        workers=options.workers or os.cpu_count() or 1,
        overwrite=options.overwrite,
    )
    for language, record in corpus.records.items():
        if not record.size("train").documents:
            remark(f"{language} has no document left: {_reasons(record) or 'its sources are empty'}")
    _tell(corpus, as_json=options.json)
    return 0


def _tell(corpus: "Corpus", *, as_json: bool) -> None:
    if not as_json:
        emit("language\tread\ttrain\theldout\tMB\tdropped")
    for language, record in corpus.records.items():
        read, train, heldout = record.read, record.size("train"), record.size("heldout")
        if as_json:
            amounts = {"read": asdict(read), "train": asdict(train), "heldout": asdict(heldout)}
            dropped = {reason: asdict(amount) for reason, amount in record.dropped.items()}
            emit(json.dumps({"language": language, **amounts, "dropped": dropped, "licences": dict(record.licences)}))
            continue
        columns = [language, read.documents, train.documents, heldout.documents, f"{train.bytes / 1e6:.2f}"]
        emit("\t".join(map(str, [*columns, _reasons(record)])))


def _reasons(record: "LanguageRecord") -> str:
    ordered = sorted(record.dropped.items(), key=lambda item: -item[1].documents)
    return ", ".join(f"{reason} {amount.documents}" for reason, amount in ordered)


if __name__ == "__main__":
    run_file(__file__)
