"""Runs that change the number of their processes, and several processes that go back from a spike together."""

import pytest

from tests.backbone.training.forked import finish, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OPTIONS = {"steps": 12, "batch_size": 8, "lr": 1e-2, "save_every": 2, "schedule": "constant"}


def run(folder, processes=1, **options):
    return finish(start(folder, processes, **(OPTIONS | options)), folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run(tmp_path_factory.mktemp("worlds") / "alone")


@pytest.mark.parametrize("options", [{"parallel": "ddp"}, {"parallel": "fsdp", "background_save": True}])
def test_one_process_two_and_one_again_give_the_losses_of_one(tmp_path, alone, options):
    first = run(tmp_path, steps=4, **options)
    second = run(tmp_path, 2, steps=8, **options)
    third = run(tmp_path, **options)
    losses = [*first["losses"], *second["losses"], *third["losses"]]
    assert losses == pytest.approx(alone["losses"], abs=1e-5)


@pytest.mark.parametrize("options", [{"parallel": "ddp"}, {"parallel": "fsdp", "background_save": True}])
def test_two_processes_go_back_from_a_spike_like_one(tmp_path, options):
    given = {"steps": 9, "spike": 5, "spike_guard": 6.0}
    one = run(tmp_path / "one", **given)
    two = run(tmp_path / "two", 2, **given, **options)
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5) and len(one["losses"]) == 9
