import pytest
import torch
from torch import nn

from backbone.errors import UsageError
from backbone.training.config import TrainConfig
from backbone.training.optim import MovingAverage, build_optimizers, rate_at
from tests.backbone.training.toy_training import Toy


def config(**options):
    return TrainConfig(**({"steps": 10, "lr": 1.0} | options))


def groups(module, **options):
    return [
        (type(optimizer).__name__, group["weight_decay"], p)
        for optimizer in build_optimizers(module, config(**options))
        for group in optimizer.param_groups
        for p in group["params"]
    ]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_trainable_parameter_is_in_exactly_one_group(optimizer):
    module = Toy()
    module.norm.requires_grad_(False)
    held = [id(p) for _, _, p in groups(module, optimizer=optimizer)]
    assert sorted(held) == sorted(id(p) for p in module.parameters() if p.requires_grad)


def test_norms_biases_and_embeddings_do_not_decay():
    module = Toy()
    decayed = {id(p) for _, decay, p in groups(module, weight_decay=0.5) if decay}
    assert decayed == {id(p) for block in module.blocks for p in (block.up.weight, block.down.weight)}


def test_muon_takes_the_hidden_matrices_and_nothing_else():
    module = Toy()
    taken = {id(p) for name, _, p in groups(module, optimizer="muon") if name == "Muon"}
    assert taken == {id(p) for block in module.blocks for p in (block.up.weight, block.down.weight)}


def test_a_head_tied_to_an_embedding_does_not_decay():
    module = nn.Module()
    module.head, module.embedding = nn.Linear(4, 9, bias=False), nn.Embedding(9, 4)
    module.head.weight = module.embedding.weight
    assert [decay for _, decay, _ in groups(module, weight_decay=0.5)] == [0.0]


def test_learned_vectors_do_not_decay():
    module = nn.Linear(3, 3)
    module.queries = nn.Parameter(torch.zeros(5, 3))
    assert [id(p) for _, decay, p in groups(module, weight_decay=0.5) if decay] == [id(module.weight)]


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        ("constant", {0.05: 0.5, 0.1: 1.0, 1.0: 1.0}),
        ("cosine", {0.05: 0.5, 0.1: 1.0, 0.55: 0.6, 1.0: 0.2}),
        ("wsd", {0.05: 0.5, 0.1: 1.0, 0.6: 1.0, 0.8: 0.6, 1.0: 0.2}),
    ],
)
def test_schedules_pass_through_their_known_points(schedule, points):
    options = config(schedule=schedule, warmup=0.1, decay=0.4, floor=0.2)
    assert {progress: rate_at(progress, options) for progress in points} == pytest.approx(points)


def test_a_moving_average_follows_and_steps_aside():
    parameter = nn.Parameter(torch.zeros(1))
    average = MovingAverage({"w": parameter}, 0.5)
    with torch.no_grad():
        parameter.fill_(1.0)
    average.update(1)
    with average.applied():
        assert parameter.item() == pytest.approx(0.9)
    assert parameter.item() == 1.0


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"lr": 0.0}, {"warmup": 1.5}, {"schedule": "wsd", "warmup": 0.6, "decay": 0.6}, {"batch_size": 0}],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match=r"allowed|end"):
        config(**options)


def test_epochs_and_steps_bound_a_run_whichever_is_shorter():
    assert TrainConfig(epochs=2, batch_size=10).total_steps(100) == 20
    assert TrainConfig(epochs=2, steps=7, batch_size=10).total_steps(100) == 7
    assert TrainConfig(minutes=1).total_steps(100) is None
