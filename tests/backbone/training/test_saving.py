"""Saving in the background: whole states, one at a time, and errors at the next step."""

import threading

import pytest
import torch

from backbone.errors import PolygraftError
from backbone.training.distributed import World
from backbone.training.loop import TrainConfig, fit
from backbone.training.resume import RunState, SavedStates
from tests.backbone.training.toy_training import toy, toy_rows

ALONE = World(0, 1, torch.device("cpu"))


def state(step):
    return RunState(step=step, elapsed=0.0, identity={}, data="")


def train(folder, steps=8, **options):
    given = {"batch_size": 8, "lr": 1e-2, "save_every": 2, "schedule": "constant", "warmup": 0.0}
    return fit(toy(dropout=0.1), toy_rows(), TrainConfig(steps=steps, **(given | options)), folder=folder)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_saved_in_the_background_is_the_run_saved_at_once(tmp_path, optimizer):
    kinds = {"optimizer": optimizer, "ema": 0.9}
    train(tmp_path / "a", 4, **kinds)
    train(tmp_path / "b", 4, background_save=True, **kinds)
    one, other = train(tmp_path / "a", **kinds), train(tmp_path / "b", background_save=True, **kinds)
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert [path.name for path in (tmp_path / "b" / "resume").iterdir()] == ["step-000000008"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_weight_that_the_loss_does_not_touch_is_saved_and_read_again(tmp_path, optimizer):
    def unread(folder, steps):
        module = toy()
        module.spare = torch.nn.Linear(4, 4)
        config = TrainConfig(
            steps=steps, batch_size=8, lr=1e-2, save_every=2, schedule="constant", warmup=0.0, optimizer=optimizer
        )
        return fit(module, toy_rows(), config, folder=folder).tensors

    unread(tmp_path / "run", 3)
    resumed, whole = unread(tmp_path / "run", 6), unread(None, 6)
    assert "spare.weight" in whole and all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.fixture
def held(monkeypatch):
    """Let the writing wait until it is allowed, and count how many write at once."""
    allowed, running, most = threading.Event(), [], []
    write = SavedStates._write

    def waiting(*arguments):
        running.append(1)
        most.append(len(running))
        allowed.wait(20)
        write(*arguments)
        running.pop()

    monkeypatch.setattr(SavedStates, "_write", waiting)
    return allowed, most


def test_what_is_written_is_the_state_when_it_was_saved_and_the_caller_does_not_wait(tmp_path, held):
    allowed, most = held
    saver, weights = SavedStates(tmp_path, ALONE, background=True), {"w": torch.zeros(3)}
    saver.save(weights, state(1))
    weights["w"] += 7  # training goes on
    assert saver.latest() is None
    threading.Timer(0.1, allowed.set).start()
    saver.save(weights, state(2))  # waits for the first
    saver.wait()
    saver.close()
    assert most == [1, 1]
    kept, read = SavedStates(tmp_path, ALONE), {"w": torch.ones(3)}
    kept.fill(2, read)
    assert kept.latest().step == 2 and read["w"].tolist() == [7.0] * 3


def test_the_first_copy_is_not_touched_by_what_training_does_meanwhile(tmp_path, held):
    allowed, _ = held
    saver, weights = SavedStates(tmp_path, ALONE, background=True), {"w": torch.zeros(3)}
    saver.save(weights, state(1))
    weights["w"] += 7
    allowed.set()
    read = {"w": torch.ones(3)}
    saver.fill(1, read)
    saver.close()
    assert read["w"].tolist() == [0.0] * 3


def test_a_full_disk_is_told_at_a_later_step_and_the_older_state_stays(tmp_path, monkeypatch):
    train(tmp_path, 4, background_save=True)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backbone.training.resume.save", full)
    with pytest.raises(PolygraftError, match="step 6 .*No space left"):
        train(tmp_path, 12, background_save=True)
    monkeypatch.undo()
    assert len(train(tmp_path, 12, background_save=True).losses) == 8


def test_a_state_in_memory_comes_back():
    saver, weights = SavedStates(None, ALONE), {"w": torch.arange(3.0)}
    saver.save(weights, state(1))
    weights["w"].zero_()
    saver.fill(1, weights)
    saver.close()
    assert weights["w"].tolist() == [0.0, 1.0, 2.0]
