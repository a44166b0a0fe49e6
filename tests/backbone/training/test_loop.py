import json
import sys
from types import SimpleNamespace

import pytest
import torch

from backbone.errors import PolygraftError
from backbone.training.logger import read_log
from backbone.training.loop import TrainConfig, fit
from tests.backbone.training.toy_training import Toy, toy, toy_rows


def train(folder=None, evaluate=None, module=None, **options):
    defaults = {"steps": 8, "batch_size": 8, "lr": 1e-2, "log_every": 1}
    return fit(module or toy(), toy_rows(), TrainConfig(**(defaults | options)), folder=folder, evaluate=evaluate)


def same(first, second):
    return all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


def test_training_lowers_the_loss():
    result = train(steps=60)
    assert result.losses[-1] < 0.7 * result.losses[0]


@pytest.mark.parametrize("options", [{"optimizer": "muon"}, {"schedule": "wsd"}, {"ema": 0.9}, {"clip_norm": 0.0}])
def test_every_option_trains(options):
    assert train(steps=40, **options).losses[-1] < train(steps=1).losses[0]


def test_the_same_seed_gives_the_same_weights_whatever_the_global_generator_did():
    first = train(module=toy(dropout=0.2))
    module = toy(dropout=0.2)
    torch.rand(17)
    assert same(first, train(module=module))


def test_another_seed_gives_other_weights():
    assert not same(train(seed=1), train(seed=2))


def test_accumulation_gives_the_losses_of_whole_batches():
    assert train().losses == pytest.approx(train(micro_batch=3).losses, abs=1e-5)


def test_activation_checkpointing_changes_no_loss():
    assert train().losses == pytest.approx(train(activation_checkpointing=True).losses, abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"optimizer": "muon"}, {"ema": 0.95}, {"schedule": "wsd"}])
def test_an_interrupted_run_ends_bit_identical(tmp_path, options):
    def interrupt():
        raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError):
        train(tmp_path / "run", module=toy(dropout=0.1), save_every=3, eval_every=5, evaluate=interrupt, **options)
    resumed = train(tmp_path / "run", module=toy(seed=9, dropout=0.1), save_every=3, **options)
    assert len(resumed.losses) == 5
    assert same(resumed, train(module=toy(dropout=0.1), **options))


def test_a_finished_run_does_not_train_again(tmp_path):
    first = train(tmp_path)
    again = train(tmp_path, module=toy(seed=5))
    assert again.losses == [] and same(first, again)


def test_a_longer_bound_continues_a_finished_run(tmp_path):
    train(tmp_path, schedule="constant")
    assert train(tmp_path, steps=12, schedule="constant").steps == 12


@pytest.mark.parametrize(("change", "named"), [({"lr": 5e-3}, "lr"), ({"seed": 4}, "seed")])
def test_other_settings_are_refused_by_name(tmp_path, change, named):
    train(tmp_path)
    with pytest.raises(PolygraftError, match=named):
        train(tmp_path, **change)


def test_other_data_is_refused(tmp_path):
    train(tmp_path)
    rows = toy_rows()
    rows.digest = "something else"
    with pytest.raises(PolygraftError, match="other data"):
        fit(toy(), rows, TrainConfig(steps=9, batch_size=8, lr=1e-2), folder=tmp_path)


def test_a_damaged_state_is_one_sentence(tmp_path):
    train(tmp_path)
    (state,) = (tmp_path / "resume").glob("step-*/*.safetensors")
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(PolygraftError, match="cannot be read"):
        train(tmp_path, steps=9)


def test_a_full_disk_is_one_sentence_and_keeps_the_older_state(tmp_path, monkeypatch):
    train(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backbone.training.resume.save", full)
    with pytest.raises(PolygraftError, match="No space left"):
        train(tmp_path, steps=9)
    monkeypatch.undo()
    assert train(tmp_path, steps=9).steps == 9


def test_a_loss_that_is_not_finite_stops_the_run():
    class Broken(Toy):
        def forward(self, rows):
            loss, weight = super().forward(rows)
            return loss * float("nan"), weight

    with pytest.raises(PolygraftError, match="step 1"):
        train(module=Broken())


def test_the_best_scored_weights_are_kept_and_patience_ends_the_run(tmp_path):
    module, scores = toy(), iter([1.0, 3.0, 2.0, 2.0, 9.0])
    seen = []

    def evaluate():
        seen.append(module.norm.weight.detach().clone())
        return {"score": next(scores)}

    result = train(tmp_path, evaluate, module, steps=50, eval_every=2, patience=2)
    assert result.metrics["score"] == 3.0 and result.steps == 8
    assert torch.equal(result.tensors["norm.weight"], seen[1]) and torch.equal(module.norm.weight, seen[1])


def test_the_moving_average_is_what_is_evaluated_and_kept():
    module = toy()
    evaluated = []
    result = train(module=module, ema=0.9, evaluate=lambda: evaluated.append(module.norm.weight.detach().clone()) or {})
    assert torch.equal(evaluated[-1], result.tensors["norm.weight"])
    assert not torch.equal(result.tensors["norm.weight"], train().tensors["norm.weight"])


def test_a_clock_bound_ends_the_run():
    result = train(module=toy(delay=0.02), steps=0, minutes=0.3 / 60)
    assert 2 <= result.steps <= 20 and result.seconds >= 0.3


def test_the_log_has_one_line_a_step_and_none_twice_after_a_resumption(tmp_path):
    train(tmp_path, steps=4, schedule="constant", warmup=0)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 5, "loss": 0}) + "\n" + '{"step": 6, "lo')
    train(tmp_path, steps=8, schedule="constant", warmup=0)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == list(range(1, 9))


def test_tensorboard_gets_every_figure_of_the_log(tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            assert folder == str(tmp_path / "tensorboard")

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def close(self):
            written.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    train(tmp_path, steps=2, log_every=1, tensorboard=True)
    lines = read_log(tmp_path / "log.jsonl")
    assert written == [*((k, v, line["step"]) for line in lines for k, v in line.items() if k != "step"), "closed"]


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(PolygraftError, match=r"polygraft\[tensorboard\]"):
        train(tmp_path, steps=1, tensorboard=True)


def test_a_module_reports_its_health(tmp_path):
    module = toy()
    module.health = lambda: {"prefix_ratio": 1.5}
    train(tmp_path, module=module)
    assert read_log(tmp_path / "log.jsonl")[0]["prefix_ratio"] == 1.5


def test_a_frozen_parameter_is_left_alone():
    module = toy()
    module.embedding.requires_grad_(False)
    before = module.embedding.weight.clone()
    result = train(module=module)
    assert "embedding.weight" not in result.tensors and torch.equal(module.embedding.weight, before)


def test_nothing_to_train_is_said():
    with pytest.raises(PolygraftError, match="nothing to train"):
        train(module=toy().requires_grad_(False))
