from pathlib import Path

import pytest
import torch

from backbone.checkpoint import STARTER_KINDS, starter_path, starter_root
from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POLYGRAFT_STARTER", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", STARTER_KINDS)
def test_a_starter_is_a_folder_under_the_root(root, kind):
    (root / kind).mkdir()
    (root / kind / "config.json").touch()
    assert starter_path(kind) == root / kind


def test_the_starters_lie_in_the_package_unless_said_otherwise(monkeypatch):
    monkeypatch.delenv("POLYGRAFT_STARTER", raising=False)
    assert starter_root().parts[-2:] == ("backbone", "starter_models")
    assert starter_root().is_absolute()


def test_a_starter_that_is_not_built_names_the_command_that_builds_it(root):
    (root / "gpt2").mkdir()  # empty, as a build that was stopped leaves it
    with pytest.raises(PolygraftError, match="python -m starter_build"):
        starter_path("gpt2")


def test_an_unknown_starter_lists_the_known_ones(root):
    with pytest.raises(PolygraftError, match="gpt2, clip, captioner"):
        starter_path("dalle")


def test_the_starter_in_french_is_french_on_the_english_body():
    french, english = (Backbone.from_pretrained(name, device="cpu") for name in ("starter-fr", "starter"))
    assert french.body_digest == english.body_digest and french.kin == (english.digest,)
    text = "Et Dieu dit à son peuple : je suis avec vous."
    costs = []
    for backbone in (french, english):
        tokens = backbone.encode([text], max_tokens=60)
        start = backbone.embed(torch.tensor([[backbone.bos_id]]))
        costs.append(float(backbone.loss(start, tokens.ids, tokens.mask)[0]))
    assert costs[0] < 0.6 * costs[1]


@pytest.mark.parametrize(
    "text",
    [
        "И сказал Бог: да будет свет. И стал свет.",
        "এবং যারা বিশ্বাস করে ও সৎকর্ম করে, তাদের জন্য রয়েছে জান্নাত।",
        "ファイルを保存するには、メニューからファイルを選択します。",
        "Dosya kaydetmek için menüden bir komut seçin.",
    ],
)
def test_the_multilingual_starter_knows_languages_that_the_english_one_does_not(text):
    costs = []
    for name in ("starter-multilingual", "starter"):
        backbone = Backbone.from_pretrained(name, device="cpu")
        tokens = backbone.encode([text], max_tokens=200)
        start = backbone.embed(torch.tensor([[backbone.bos_id]]))
        costs.append(float(backbone.loss(start, tokens.ids, tokens.mask)[0]))
    assert costs[0] < 0.5 * costs[1]


def test_all_starters_together_stay_within_their_budget():
    assert sum(file.stat().st_size for file in starter_root().rglob("*") if file.is_file()) < 60e6
