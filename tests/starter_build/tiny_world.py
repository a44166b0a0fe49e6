"""The text of two languages in the place of the world's, and commands called in this process to be quick."""

import contextlib
import io

import pytest

from benchmarks.multilingual import comparisons
from scripts.__main__ import main
from starter_build.datasets import world
from starter_build.datasets.documents import Document
from starter_build.processes import Ended
from tests.crosslingual.tiny_corpus import prose

DOCUMENTS = 60


def made_up_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the world be English and Russian prose, tokenizers two, and rates one."""
    monkeypatch.setattr(world, "WORLD", {"en": None, "ru": None})
    monkeypatch.setattr(world, "world_documents", _documents)
    monkeypatch.setattr(
        comparisons, "TOKENIZERS", {"default": (), "marks": ("--marks",), "char": ("--strategy", "char")}
    )
    monkeypatch.setattr(comparisons, "OPTIMIZERS", {"adamw": (1e-3, 1e-6), "muon": (6e-3,)})
    callers = ("benchmarks.multilingual.comparisons", "benchmarks.multilingual.stream")
    for module in (*callers, "starter_build.datasets.multilingual_texts", "starter_build.starter.language"):
        monkeypatch.setattr(f"{module}.polygraft", _run)


def _documents(_root, code):
    for number, text in enumerate(prose(code, DOCUMENTS)):
        yield Document(source=("letters", "notes")[number % 2], id=str(number), text=text, licence="CC0-1.0")


def _run(*words, capture=False, **_):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*map(str, words), *(["--json"] if capture else [])]) == 0
    return Ended(code=0, out=out.getvalue(), seconds=1.0, mebibytes=1.0)
