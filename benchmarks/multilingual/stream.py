"""How fast a corpus is built, and in what memory: streams of made-up documents, each of sentences of real ones."""

import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from scripts._app.cli import remark
from starter_build.datasets.multilingual_texts import MultilingualMaterial, read_rows
from starter_build.processes import polygraft

_PIECES = 25  # sentences of a document, which then has some three kilobytes, as pages of the web do
_SHORTEST, _LONGEST = 10, 1000  # characters of a sentence: headings are none, and verses of a chapter may have no end
_FILE_BYTES = 100_000_000


def measure_builds(
    world: MultilingualMaterial, folder: Path, size: float, workers: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Build a quarter of a stream with the most workers, then the whole of it with each number of workers.

    Args:
        world: The text to make documents of.
        folder: The folder of the streams while they are needed.
        size: The bytes of the whole stream.
        workers: The numbers of processes.

    Returns:
        The speed, the start of Python included, and the memory of the largest process, by size and workers.
    """
    rows = {}
    for part, counts in ((size / 4, [max(workers)]), (size, workers)):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".stream-") as place:
            sources, out = _write_stream(world, Path(place) / "text", part), Path(place) / "corpus"
            for count in counts:
                remark(f"building with {count} processes")
                words = ("corpus", "build", sources, "--out", out, "--near", "off", "--workers", count)
                ended = polygraft(*words, capture=True)
                shutil.rmtree(out)
                read = sum(row["read"]["bytes"] for row in ended.rows())
                figures = {"MB a second": read / 1e6 / ended.seconds, "MiB of the largest process": ended.mebibytes}
                rows[f"{read / 1e9:.2f} | {count}"] = figures
    return rows


def _write_stream(world: MultilingualMaterial, folder: Path, size: float) -> Path:
    """Write files of documents in each language, as much of each, and the list of them; return the list."""
    remark(f"writing {size / 1e9:.2f} GB of documents")
    folder.mkdir()
    languages = [path.stem for path in world.tests()]
    entries = []
    for code in languages:
        documents = _documents(world, code)
        left, number = size / len(languages), 0
        while left > 0:
            left -= _write_file(documents, folder / f"{code}-{number}.txt", min(left, _FILE_BYTES))
            number += 1
        entries.append(
            f'[[source]]\nname = "{code}"\nlanguage = "{code}"\nlicence = "mixed"\npath = "{code}-*.txt"\n'
            'documents = "line"\n'
        )
    (folder / "sources.toml").write_text("\n".join(entries), encoding="utf-8")
    return folder / "sources.toml"


def _write_file(documents: Iterator[str], path: Path, size: float) -> int:
    written = 0
    with path.open("wb") as file:
        while written < size:
            written += file.write("".join(islice(documents, 20)).encode())
    return written


def _documents(world: MultilingualMaterial, code: str) -> Iterator[str]:
    # without end; sentences are drawn anew, so hardly any two documents are equal
    draw = random.Random(code)
    texts = (row["text"] for path in world.text.glob(f"{code}-*.jsonl") for row in read_rows(path))
    sentences = [
        piece[:_LONGEST]
        for text in texts
        for piece in re.split(r"(?<=[.!?。।؟])\s+|\n", text)
        if len(piece) > _SHORTEST
    ]
    while True:
        yield " ".join(draw.choices(sentences, k=_PIECES)) + "\n"
