"""The starter's language model: a small GPT-2 on open English text, which holds no caption."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from backbone.checkpoint.model_card import ModelCard
from starter_build.datasets.captions import normalise
from starter_build.datasets.images import images
from starter_build.datasets.multilingual_texts import build_material, read_rows
from starter_build.datasets.text import Document, english_documents, held_out
from starter_build.starter.commands import CONTEXT, VOCABULARY, Making, score_table, ship, train_by_commands

_ALL = 10**9
# the text is clean already, and definitions and fortunes are short
_AS_IT_IS = ("--no-rules", "--tails", 0, "--heldout", 0)


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """How the language model is trained."""

    steps: int = 560
    """Optimiser steps, of 16,384 tokens each."""
    processes: int = 2
    """Training processes on this machine (a CPU that other work shares prefers one per core)."""
    seed: int = 0
    """Seed of weights and sample order."""


def build_language(data: Path, work: Path, out: Path, run: LanguageRun) -> Path:
    """Make the starter's language model in ``out``, a folder in transformers' own format.

    Args:
        data: where fetched packages are kept.
        work: where intermediate files and the unfinished run are kept; a second call goes on where the first stopped.
        out: the model folder to write.
        run: how to train.
    """
    languages = {"en": partial(_documents, data)}
    material = build_material(languages, work, for_test=held_out, options=_AS_IT_IS, test_bytes=_ALL)
    making = Making(
        training=("--warmup", 0.01, "--decay", 0.4, "--steps", run.steps), processes=run.processes,
    )  # fmt: skip
    trained = train_by_commands(material.corpus, work, making, seed=run.seed)
    tests: dict[str, list[str]] = {}
    for row in read_rows(material.tests()[0]):
        tests.setdefault(row["source"], []).append(row["text"])
    ship(trained, out, tests, _card)
    return out


def _documents(data: Path) -> Iterator[Document]:
    """Yield the documents of which no line is the caption of an image, whatever its split."""
    captions = {normalise(image.text) for image in images(data)}
    for document in english_documents(data):
        if not any(normalise(line) in captions for line in document.text.splitlines()):
            yield document


def _card(record: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        title="polygraft starter: a small English GPT-2",
        summary=f"{record['parameters'] / 1e6:.1f}M parameters, context {CONTEXT}, its own byte-level BPE of "
        f"{VOCABULARY:,}; GPT-2 architecture, transformers' own format.",
        data="Austen's novels, three Bibles, Wikibooks recipes, WordNet's glosses, LibreOffice's help, Debian's "
        "package descriptions, fortunes and Endless Sky. About 1 % of the documents was set aside before the tokenizer "
        "was trained. No text it saw has a line that is the caption of a test image.",
        use="Trying polygraft offline. For real work name `gpt2` or a larger model.",
        limits="Trained for about an hour on two cores: phrases, not facts.",
        metrics=score_table(record, "source"),
        command="python -m starter_build --only language",
        licence="apache-2.0",
    )
