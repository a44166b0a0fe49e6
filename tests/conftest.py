"""What every test has: no network, a home of its own, and a tiny language model."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

from scripts.__main__ import main
from scripts._app.cli import guard, read_command, run

settings.register_profile("polygraft", deadline=None)  # a busy machine is no failure
settings.load_profile("polygraft")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))


@pytest.fixture(scope="session")
def tiny_backbone():
    """Return the maker of tiny frozen language models: ``tiny_backbone(n_layer=1, seed=3)``."""
    from tests.backbone.tiny import tiny_backbone

    return tiny_backbone


@pytest.fixture
def images():
    """Return three small images."""
    from PIL import Image

    return [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]


_ROOT = Path(__file__).resolve().parents[1]


def _program(words: list[str]) -> int:
    """Run a command of polygraft, or ``benchmark NAME``, ``demo transfer`` for research outside the command."""
    if words[0] not in ("benchmark", "demo"):
        return main(words)
    file = _ROOT / (f"benchmarks/{words[1]}.py" if words[0] == "benchmark" else "starter_build/demo.py")
    return guard(lambda: run(read_command(file), words[2:]))


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
            code = _program(list(map(str, arguments)))
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        streams = capsys.readouterr()
        return Called(code, streams.out.splitlines(), streams.err.splitlines())

    return call
