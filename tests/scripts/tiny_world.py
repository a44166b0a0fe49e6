"""The text of two languages in the place of the world's, and commands called in this process to be quick."""

import contextlib
import io

import pytest

from scripts.__main__ import main
from scripts.multilingual import comparisons, world
from scripts.opendata.documents import Document
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
    monkeypatch.setattr("scripts._running._run", _run)


def _documents(_root, code):
    for number, text in enumerate(prose(code, DOCUMENTS)):
        yield Document(source=("letters", "notes")[number % 2], id=str(number), text=text, licence="CC0-1.0")


def _run(words, _processes, _threads, *, capture):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([str(word) for word in words]) == 0
    return out.getvalue() if capture else ""
