"""What every test has: no network, a home of its own, and a tiny language model."""

import os

import pytest
from hypothesis import settings

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
def pictures():
    """Return three small pictures."""
    from PIL import Image

    return [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
