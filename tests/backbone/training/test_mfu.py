"""What a training tells of its speed, and of the losses of groups."""

import torch

from backbone.training.distributed import World
from backbone.training.logger import read_log
from backbone.training.loop import TrainConfig, fit
from backbone.training.losses import GroupLosses, group_sums
from backbone.training.mfu import Gauge, measure_peak
from tests.backbone.training.toy_training import Toy, toy, toy_rows

ALONE = World(0, 1, torch.device("cpu"))


def test_the_peak_of_a_cpu_is_no_less_than_a_product_that_was_timed():
    state = torch.get_rng_state()
    assert 1e8 < measure_peak(torch.device("cpu"), torch.float32, seconds=0.1) < 1e14
    assert torch.equal(torch.get_rng_state(), state)


def test_shares_are_operations_of_the_peak():
    gauge = Gauge(6.0, ALONE, torch.float32)
    gauge.peak = 800.0
    assert gauge.shares(100.0) == {"mfu": 0.75}


class Counting(Toy):
    """Tells its work and the losses of even and odd targets."""

    groups = ("even", "odd", "none")

    def work(self):
        return 1e6

    def forward(self, rows):
        loss, weight = super().forward(rows)
        targets = rows[:, 1:].flatten()
        groups = torch.where(targets == 5, -1, targets % 2)
        return loss, weight, group_sums(torch.full(targets.shape, 2.0) + groups, groups, 3)


def train(module, folder, **options):
    config = TrainConfig(**({"steps": 6, "batch_size": 8, "log_every": 3, "micro_batch": 3} | options))
    result = fit(module, toy_rows(), config, folder=folder)
    return result, read_log(folder / "log.jsonl")


def test_the_log_has_the_share_of_the_speed_only_when_asked(tmp_path):
    (_, log), (_, plain) = train(Counting(), tmp_path / "a", mfu=True), train(Counting(), tmp_path / "b")
    assert all(0 < line["mfu"] < 10 for line in log) and not any("mfu" in line for line in plain)
    _, unknown = train(toy(), tmp_path / "c", mfu=True)
    assert not any("mfu" in line for line in unknown)


def test_the_log_has_the_mean_loss_of_each_group_that_occurred(tmp_path):
    _, log = train(Counting(), tmp_path)
    assert [(line["loss.even"], line["loss.odd"]) for line in log] == [(2.0, 3.0)] * 2
    assert not any("loss.none" in line for line in log)


def test_groups_change_nothing_that_is_learned(tmp_path):
    torch.manual_seed(0)
    module = Counting()
    told, _ = train(module, tmp_path / "a")
    plain, _ = train(toy(), tmp_path / "b")
    assert all(torch.equal(told.tensors[name], plain.tensors[name]) for name in plain.tensors)


def test_sums_are_means_over_all_that_was_added():
    losses = GroupLosses(("a", "b"))
    losses.add(group_sums(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0, 0, -1]), 2))
    losses.add(group_sums(torch.tensor([6.0, 5.0]), torch.tensor([0, 1]), 2))
    assert losses.take(ALONE) == {"loss.a": 3.0, "loss.b": 5.0} and losses.take(ALONE) == {}
