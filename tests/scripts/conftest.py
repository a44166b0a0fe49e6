"""Fixtures for commands: a tiny starter on disk, and a way to call a command in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.__main__ import main


class Called(NamedTuple):
    """What a command left behind."""

    code: int
    out: list[str]
    err: list[str]


@pytest.fixture(scope="session")
def starter_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny starter: language model, image encoder, untrained captioner."""
    from tests.multimodal.tiny_captioner import write_captioner, write_starter

    root = write_starter(tmp_path_factory.mktemp("starter"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYGRAFT_STARTER", str(root))
        write_captioner(root)
    return root


@pytest.fixture
def starter(starter_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny starter in the place of the real one."""
    monkeypatch.setenv("POLYGRAFT_STARTER", str(starter_root))
    return starter_root


@pytest.fixture
def polygraft(starter: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Call a command as from the shell; returns exit code and the lines of both streams."""

    def call(*arguments: object) -> Called:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        streams = capsys.readouterr()
        return Called(code, streams.out.splitlines(), streams.err.splitlines())

    return call
