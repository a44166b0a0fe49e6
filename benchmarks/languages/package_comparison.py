"""A whole transfer against the public package: ``python -m benchmarks.languages.package_comparison --python PYTHON``.

A GPT-2 small with random weights, byte-level BPE of English and of French, and a fastText file of the public ones' size
(2 million words, 2 million n-gram rows, width 300, 7.2 GB, random numbers), which serves as both languages' vectors;
FreeDict's pairs of words align them. Ours is `polygraft transfer`; the package's is its README's recipe, run by the
Python that has it installed. Each in a process of its own, one after the other; seconds and peak memory of the process.
"""

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from backbone.io.files import atomic_file
from crosslingual.vectors.fasttext_bin import MAGIC
from scripts._app.cli import emit, remark
from starter_build.datasets.readers import english_documents
from starter_build.datasets.transfer_texts import language_documents, parallel_verses
from starter_build.processes import run_program

_TOKENS = 50_257  # as GPT-2's own vocabulary
_RECIPE = """
import sys
from pathlib import Path
import numpy as np, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from wechsel import WECHSEL, load_embeddings
model_folder, tokenizer_folder, vectors, dictionary, out = sys.argv[1:]
source, target = AutoTokenizer.from_pretrained(model_folder), AutoTokenizer.from_pretrained(tokenizer_folder)
model = AutoModelForCausalLM.from_pretrained(model_folder)
wechsel = WECHSEL(load_embeddings(vectors), load_embeddings(vectors), bilingual_dictionary=dictionary)
rows, info = wechsel.apply(source, target, model.get_input_embeddings().weight.detach().numpy())
model.resize_token_embeddings(len(rows))
model.get_input_embeddings().weight.data = torch.from_numpy(rows)
model.save_pretrained(out)
target.save_pretrained(out)
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured, and where it is kept."""

    python: Path | None = None
    """A Python with the package wechsel; without it ours alone."""
    words: int = 2_000_000
    """Words of the vectors, and as many rows for n-grams."""
    width: int = 300
    """Numbers in a vector."""
    work: Path = Path("~/.cache/polygraft/benchmark/whole")
    """Folder of the model and the vectors: 8 GB; remove it afterwards."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""


def main(options: Options) -> None:
    """Make what is missing, measure and print."""
    work, data = options.work.expanduser(), options.data.expanduser()
    work.mkdir(parents=True, exist_ok=True)
    model, tokenizer = _models(work, data)
    vectors = work / f"vectors-{options.words}-{options.width}.bin"
    dictionary = work / "dictionary.tsv"
    if not vectors.exists():
        remark(f"writing {vectors}")
        _write_vectors(vectors, _words(dictionary, data, options.words), options.width)
    out = work / "out"
    ours = [
        *(sys.executable, "-m", "scripts", "transfer", "--overwrite", "--init", "wechsel"),
        *("--model", model, "--tokenizer", tokenizer, "--source-vectors", vectors, "--target-vectors", vectors),
        *("--dictionary", dictionary, "--out", out),
    ]
    figures = {"ours": _run(ours)}
    if options.python:
        recipe = [options.python, "-c", _RECIPE, model, tokenizer, vectors, dictionary, work / "published"]
        figures["published"] = _run(recipe)
    for name, (seconds, memory) in figures.items():
        emit(f"{name:10} {seconds:7.1f} s {memory:7.0f} MiB")
    if "published" in figures:
        seconds, memory = (figures["published"][part] / figures["ours"][part] for part in (0, 1))
        emit(f"{seconds:.1f} times as fast, in 1/{memory:.1f} of the memory")


def _run(command: Sequence[object]) -> tuple[float, float]:
    ended = run_program(command, capture=True)
    if ended.code:
        raise SystemExit(f"{command[0]} ended with code {ended.code}")
    return ended.seconds, ended.mebibytes


def _models(work: Path, data: Path) -> tuple[Path, Path]:
    from crosslingual.tokenization.train import train_byte_bpe, untrained_gpt2

    model, tokenizer = work / "model", work / "tokenizer"
    if not (tokenizer / "tokenizer.json").exists():
        remark("making the model and the tokenizers")
        english = train_byte_bpe((document.text for document in english_documents(data)), _TOKENS, context=1024)
        untrained_gpt2(english, context=1024, width=768, layers=12, heads=12).save_pretrained(model)
        english.save_pretrained(model)
        texts = (document.text for document in language_documents(data, "fr"))
        train_byte_bpe(texts, _TOKENS, context=1024).save_pretrained(tokenizer)
    return model, tokenizer


def _words(dictionary: Path, data: Path, number: int) -> list[str]:
    # the words of verses come first: a file of the public ones' size holds them all
    from crosslingual.vectors.dictionary import Dictionary
    from starter_build.datasets.transfer_texts import dictionary_files

    ((path, reverse),) = dictionary_files(data, "fr")
    pairs = [pair for pair in Dictionary.open(path, reverse=reverse).cleaned().pairs if pair[0] != pair[1]]
    dictionary.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    verses = [word for side in parallel_verses(data, "fr") for line in side for word in line.split()]
    words = dict.fromkeys(["</s>", *verses, *(word for pair in pairs for word in pair)])
    place = 0
    while len(words) < number:
        words[f"word{place}"] = None
        place += 1
    return list(words)[:number]


def _write_vectors(path: Path, words: Sequence[str], width: int) -> None:
    # as fastText's own files: n-grams of five letters, and random numbers
    rows, generator = 2 * len(words), np.random.default_rng(0)
    with atomic_file(path) as partial, partial.open("wb") as file:
        file.write(MAGIC + struct.pack("<13i", 12, width, 5, 5, 5, 10, 1, 2, 1, len(words), 5, 5, 100))
        file.write(struct.pack("<d3i2q", 1e-4, len(words), len(words), 0, 10**9, -1))
        for rank, word in enumerate(words, start=1):
            file.write(word.encode("utf-8", "surrogateescape") + struct.pack("<xqb", 10**9 // rank, 0))
        for matrix in (rows, len(words)):
            file.write(struct.pack("<?2q", False, matrix, width))
            for start in range(0, matrix, 10_000):
                block = generator.standard_normal((min(10_000, matrix - start), width), dtype=np.float32)
                file.write(block.tobytes())


if __name__ == "__main__":
    main(tyro.cli(Options))
