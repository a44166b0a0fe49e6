import errno
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import safetensors.torch
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import backbone.io.files
from backbone.checkpoint import (
    Checkpoint,
    FrozenPart,
    ModelCard,
    frozen_part,
    load_checkpoint,
    load_strict,
    load_tensors,
    read_header,
    save_checkpoint,
    write_card,
)
from backbone.errors import PolygraftError
from backbone.io.files import atomic_folder, write_json
from backbone.io.settings import config_from_dict

CARD = ModelCard(title="A test", summary="Nothing of use.", data="Noise (CC0-1.0).")
FROZEN = {
    "backbone": FrozenPart(name="gpt2", sha256="ab" * 32),
    "encoder": FrozenPart(name="starter", sha256="cd" * 32),
}


# a busy machine is slow, which is no failure
QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = 2


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = 8
    rate: float = 0.5
    kind: Literal["mlp", "transformer"] = "mlp"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "a")
    limit: float | None = None
    inner: Inner = Inner()

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width {self.width} is below 1")


def a_checkpoint(value: float = 1.0) -> Checkpoint:
    tensors = {"mapper.weight": torch.full((3, 2), value), "mapper.bias": torch.arange(3, dtype=torch.bfloat16)}
    return Checkpoint(kind="captioner", config=asdict(Config()), frozen=FROZEN, tensors=tensors)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "run", a_checkpoint(), card=CARD, record={"loss": float("nan"), "out": tmp_path})


@contextmanager
def weights_of(content: bytes) -> Iterator[Path]:
    """A weight file in a folder of its own, for tests that hypothesis repeats."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        path.write_bytes(content)
        yield path


def only(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# Round trips


def test_a_saved_checkpoint_comes_back_the_same(saved):
    loaded = load_checkpoint(saved, kind="captioner")
    assert config_from_dict(Config, loaded.config) == Config()
    assert loaded.frozen == FROZEN
    for name, tensor in a_checkpoint().tensors.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_the_folder_holds_four_files_and_no_traces(saved):
    assert only(saved) == ["README.md", "config.json", "model.safetensors", "training.json"]
    assert only(saved.parent) == ["run"]


def test_tied_and_transposed_tensors_are_saved_as_what_they_show(tmp_path):
    whole = torch.arange(6.0).reshape(2, 3)
    checkpoint = Checkpoint(kind="x", config={}, frozen={}, tensors={"a": whole, "b": whole, "c": whole.T})
    tensors = load_checkpoint(save_checkpoint(tmp_path / "run", checkpoint, card=CARD), kind="x").tensors
    assert torch.equal(tensors["a"], whole)
    assert torch.equal(tensors["b"], whole)
    assert torch.equal(tensors["c"], whole.T)


def test_the_record_is_plain_json_whatever_is_in_it(saved):
    record = json.loads((saved / "training.json").read_text())
    assert record["loss"] is None
    assert record["out"] == str(saved.parent)
    assert record["made_with"]["torch"]


def test_saving_again_replaces_the_checkpoint(saved):
    save_checkpoint(saved, a_checkpoint(2.0), card=CARD)
    assert load_checkpoint(saved, kind="captioner").tensors["mapper.weight"].mean() == 2
    assert only(saved.parent) == ["run"]


def test_a_link_to_a_checkpoint_stays_a_link(saved):
    link = saved.with_name("latest")
    link.symlink_to(saved)
    save_checkpoint(link, a_checkpoint(2.0), card=CARD)
    assert link.is_symlink()
    assert load_checkpoint(saved, kind="captioner").tensors["mapper.weight"].mean() == 2


# The card


def test_the_card_has_front_matter_that_hubs_read(saved):
    _, front, body = (saved / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "apache-2.0",
        "library_name": "polygraft",
        "tags": ["polygraft", "captioner"],
        "base_model": ["gpt2"],
    }
    assert "9 trained parameters in 2 tensors (bfloat16, float32)" in body
    assert f"| encoder | `starter` | `{'cd' * 32}` |" in body


def test_the_card_says_so_where_it_knows_nothing(saved):
    body = (saved / "README.md").read_text()
    assert "## Data\n\nNoise (CC0-1.0).\n" in body
    assert "## Limits\n\nNot stated.\n" in body


def test_a_language_model_gets_the_card_of_its_library(tmp_path):
    write_card(tmp_path, CARD)
    front = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n", 2)[1])
    assert front["library_name"] == "transformers"
    assert "base_model" not in front


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/venv/bin/polygraft", "train", "a b"], "polygraft train 'a b'"),
        (["/home/x/scripts/train_captioner.py", "d"], "python scripts/train_captioner.py d"),
        (["/home/x/scripts/__main__.py", "info"], "python -m scripts info"),
    ],
)
def test_the_card_names_the_command_that_made_it(monkeypatch, argv, command):
    monkeypatch.setattr(sys, "argv", argv)
    assert ModelCard(title="", summary="").command == command


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20)


@QUICK
@given(name=PRINTABLE, licence=PRINTABLE)
def test_front_matter_is_yaml_whatever_the_names(name, licence):
    card = ModelCard(title="t", summary="s", licence=licence)
    text = card.render(name, {"backbone": FrozenPart(name=name, sha256="")}, "none")
    front = yaml.safe_load(text.split("---\n", 2)[1])
    assert front["tags"] == ["polygraft", name]
    assert front["license"] == licence


# What is refused at saving


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, bad):
    with pytest.raises(PolygraftError, match=r"mapper\.weight"):
        save_checkpoint(tmp_path / "run", a_checkpoint(bad), card=CARD)
    assert only(tmp_path) == []


def test_a_folder_with_anything_else_in_it_is_never_replaced(saved):
    (saved / "thesis.txt").write_text("years of work")
    with pytest.raises(PolygraftError, match=r"thesis\.txt"):
        save_checkpoint(saved, a_checkpoint(2.0), card=CARD)
    assert (saved / "thesis.txt").read_text() == "years of work"


def test_a_model_of_another_library_is_never_replaced(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "gpt2"})
    with pytest.raises(PolygraftError, match="not replaced"):
        save_checkpoint(tmp_path, a_checkpoint(), card=CARD)
    assert only(tmp_path) == ["config.json"]


def test_a_file_in_the_way_is_kept(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(PolygraftError, match="exists already"):
        save_checkpoint(tmp_path / "run", a_checkpoint(), card=CARD)
    assert (tmp_path / "run").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run", a_checkpoint(), card=CARD)
    assert load_checkpoint(tmp_path / "run", kind="captioner").kind == "captioner"


# Saves that end early


def test_a_full_disk_is_one_sentence_and_leaves_the_old_checkpoint(saved, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PolygraftError, match="No space left on device"):
        save_checkpoint(saved, a_checkpoint(2.0), card=CARD)
    assert only(saved.parent) == ["run"]
    assert load_checkpoint(saved, kind="captioner").tensors["mapper.weight"].mean() == 1


def test_a_limit_on_file_size_leaves_nothing_half_written(tmp_path):
    large = Checkpoint(kind="x", config={}, frozen={}, tensors={"a": torch.zeros(100_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(PolygraftError, match="could not be saved"):
            save_checkpoint(tmp_path / "run", large, card=CARD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert only(tmp_path) == []


KILLED = """
import os, sys, signal
from backbone.io.files import atomic_folder
with atomic_folder(sys.argv[1], replace=True) as partial:
    (partial / "half").write_text("x")
    print("ready", flush=True)
    signal.pause()
"""


def test_a_killed_save_leaves_the_old_folder_and_the_next_one_clears_up(tmp_path):
    target = tmp_path / "run[1]"  # the name is no pattern
    target.mkdir()
    (target / "old").write_text("old")
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    with atomic_folder(tmp_path / "other"):
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert only(target) == ["old"]
    assert len(only(tmp_path)) == 3
    with atomic_folder(target, replace=True) as partial:
        (partial / "new").touch()
    assert only(tmp_path) == ["other", "run[1]"]
    assert only(target) == ["new"]


def test_a_save_of_a_living_process_is_not_cleared_up(tmp_path):
    with atomic_folder(tmp_path / "run") as first:
        with atomic_folder(tmp_path / "run"):
            pass
        assert first.is_dir()
        shutil.rmtree(tmp_path / "run")
    assert only(tmp_path) == ["run"]


def test_two_renames_do_where_folders_cannot_change_places(saved, monkeypatch):
    monkeypatch.setattr(backbone.io.files, "_exchange", lambda *_: False)
    save_checkpoint(saved, a_checkpoint(2.0), card=CARD)
    assert load_checkpoint(saved, kind="captioner").tensors["mapper.weight"].mean() == 2
    assert only(saved.parent) == ["run"]


def test_a_folder_put_aside_by_a_killed_process_comes_back(tmp_path):
    aside = tmp_path / ".run.saving-1234.old"
    aside.mkdir()
    (aside / "old").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "run", replace=True):
        raise KeyboardInterrupt
    assert only(tmp_path / "run") == ["old"]


# What is refused at loading


def damage(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "config.json").read_text()) | changes
    write_json(folder / "config.json", {key: value for key, value in content.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, "install a newer polygraft"),
        ({"format": True}, "no format number"),
        ({"format": None}, "no polygraft checkpoint"),
        ({"kind": "narrator"}, "holds a narrator, but a captioner"),
        ({"kind": None}, "Header lacks kind"),
        ({"colour": "red"}, r"Header has no 'colour' .*: it knows format, kind, config, frozen"),
        ({"config": [1]}, "Header.config is"),
        ({"frozen": {"backbone": "gpt2"}}, "must be FrozenPart"),
        ({"frozen": {"backbone": {"name": "gpt2"}}}, "FrozenPart lacks sha256"),
    ],
)
def test_a_config_that_is_not_right_is_one_sentence(saved, changes, sentence):
    damage(saved, **changes)
    with pytest.raises(PolygraftError, match=sentence):
        load_checkpoint(saved, kind="captioner")


def test_the_example_in_the_documentation_is_read(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "checkpoint.md").read_text()
    (tmp_path / "config.json").write_text(page.split("```json\n")[1].split("```")[0])
    assert read_header(tmp_path).frozen["language_model"].name == "gpt2"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_one_sentence(saved, content):
    (saved / "config.json").write_bytes(content)
    with pytest.raises(PolygraftError, match=r"config\.json"):
        load_checkpoint(saved, kind="captioner")


def test_a_missing_folder_or_file_is_named(saved):
    with pytest.raises(PolygraftError, match="no checkpoint folder"):
        load_checkpoint(saved / "nowhere", kind="captioner")
    (saved / "model.safetensors").unlink()
    with pytest.raises(PolygraftError, match=r"model\.safetensors"):
        load_checkpoint(saved, kind="captioner")
    (saved / "config.json").unlink()
    with pytest.raises(PolygraftError, match=r"has no config\.json"):
        load_checkpoint(saved, kind="captioner")


class Bomb:
    def __reduce__(self):
        return (os._exit, (1,))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_posing_as_weights_is_never_opened(saved, protocol):
    (saved / "model.safetensors").write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(PolygraftError, match="is a pickle"):
        load_checkpoint(saved, kind="captioner")


def test_a_torch_archive_posing_as_weights_is_never_opened(saved):
    torch.save({"w": torch.zeros(1)}, saved / "model.safetensors")
    with pytest.raises(PolygraftError, match="is a pickle"):
        load_checkpoint(saved, kind="captioner")


@QUICK
@given(content=st.binary(max_size=200))
def test_any_other_bytes_for_weights_are_one_sentence(content):
    with weights_of(content) as path, pytest.raises(PolygraftError, match=r"model\.safetensors"):
        load_tensors(path)


@QUICK
@given(changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3), length=st.integers(0, 300))
def test_weights_cut_short_or_altered_never_crash(changes, length):
    content = bytearray(safetensors.torch.save(a_checkpoint().tensors))
    for place, value in changes:
        content[place % len(content)] = value
    with weights_of(content[:length]) as path, suppress(PolygraftError):
        load_tensors(path)


# Joining


def test_a_checkpoint_joins_only_the_models_it_was_trained_on(saved):
    checkpoint = load_checkpoint(saved, kind="captioner")
    copy = SimpleNamespace(name="a copy under another name", digest="ab" * 32)
    assert frozen_part(checkpoint, "backbone", copy, pytest.fail) is copy
    medium = SimpleNamespace(name="gpt2-medium", digest="0" * 64)
    with pytest.raises(PolygraftError, match=r"'gpt2' \(SHA-256 abababababab\).*'gpt2-medium' \(0{12}\)"):
        frozen_part(checkpoint, "backbone", medium, pytest.fail)
    with pytest.raises(PolygraftError, match="names no frozen ear"):
        frozen_part(checkpoint, "ear", medium, pytest.fail)


def test_strict_loading_fills_a_module_that_fits():
    module = nn.Linear(2, 3)
    load_strict(module, {"weight": torch.ones(3, 2), "bias": torch.ones(3)})
    assert module(torch.ones(1, 2)).tolist() == [[3, 3, 3]]


def test_strict_loading_names_everything_that_does_not_fit():
    module = nn.Linear(2, 3)
    before = module.weight.clone()
    with pytest.raises(PolygraftError) as caught:
        load_strict(module, {"weight": torch.ones(2, 2), "head": torch.ones(1)})
    assert str(caught.value) == (
        "the weights do not fit the model (missing: bias; unexpected: head; of another shape: weight (2, 2) for (3, 2))"
    )
    assert torch.equal(module.weight, before)


# Configs


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"widht": 3}, r"no 'widht' \(nearest: 'width'\): it knows width, rate, kind"),
        ({"width": "8"}, "Config.width is '8', but must be int"),
        ({"width": True}, "Config.width is True"),
        ({"width": 0}, "width 0 is below 1"),
        ({"rate": "fast"}, "must be float"),
        ({"rate": 10**400}, "must be float"),
        ({"kind": "tree"}, "must be 'mlp' or 'transformer'"),
        ({"sizes": [1, "2"]}, "must be int"),
        ({"pair": [1]}, "must have 2 values"),
        ({"limit": "none"}, "must be float or null"),
        ({"inner": {"depth": None}}, "Inner.depth is None"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_what_is_allowed(change, sentence):
    with pytest.raises(PolygraftError, match=sentence):
        config_from_dict(Config, asdict(Config()) | change)


def test_a_missing_setting_is_named_even_if_it_has_a_default():
    with pytest.raises(PolygraftError, match="Config lacks rate"):
        config_from_dict(Config, {key: value for key, value in asdict(Config()).items() if key != "rate"})


@QUICK
@given(
    config=st.builds(
        Config,
        width=st.integers(1),
        rate=st.floats(allow_nan=False, allow_infinity=False),
        sizes=st.lists(st.integers()).map(tuple),
        pair=st.tuples(st.integers(), st.text()),
        limit=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_every_config_survives_json(config):
    assert config_from_dict(Config, json.loads(json.dumps(asdict(config)))) == config
