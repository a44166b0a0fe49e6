"""Loss spikes: distinguished from noise, rewound, left out; a run that was killed meanwhile ends the same."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from backbone.training.logger import read_log
from backbone.training.loop import TrainConfig, fit
from backbone.training.losses import WINDOW, SpikeError, SpikeGuard
from backbone.training.sampler import SampleOrder, place_after, skip_batches
from tests.backbone.training.toy_training import spiky, toy, toy_rows

# The guard


def noisy(count):
    return [3.0 + 0.05 * math.sin(7 * step) for step in range(count)]


def test_noise_and_a_falling_loss_are_no_spikes():
    guard = SpikeGuard(6.0)
    for step, loss in enumerate(noisy(300)):
        guard.check(loss - 0.005 * step, 1.0)
    assert len(guard.recent) == WINDOW


def test_a_jump_is_a_spike_and_is_not_learned_from():
    guard = SpikeGuard(6.0, noisy(40))
    with pytest.raises(SpikeError, match="rose to 4, above 3"):
        guard.check(4.0, 1.0)
    assert guard.recent == noisy(40)


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan), (3.0, math.inf)])
def test_what_is_not_finite_is_a_spike_from_the_first_step_on(loss, norm):
    with pytest.raises(SpikeError, match="became"):
        SpikeGuard(6.0).check(loss, norm)


def test_a_guard_that_is_off_lets_everything_pass_and_keeps_nothing():
    guard = SpikeGuard(0.0)
    guard.check(math.nan, math.nan)
    assert not guard and guard.recent == []


def test_losses_that_stand_still_do_not_make_every_tremor_a_spike():
    SpikeGuard(6.0, [2.0] * 30).check(2.05, 1.0)


# The ledger


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=5), st.integers(1, 4))
def test_the_ledger_leaves_out_what_was_seen_and_nothing_else(rewinds, size):
    """Against a slow reference that writes down the stream."""
    stream, skips = list(range(1000)), []
    step = 0
    for forward, back in rewinds:
        failed = step + forward
        anchor = max(0, failed - back) if not skips else max(step, failed - back)
        skips = skip_batches(skips, anchor, failed, size)
        del stream[anchor * size : (failed + 1) * size]
        step = anchor
        assert [place_after(place, skips) for place in range(100)] == stream[:100]
        assert skips == sorted(skips) and all(one[1] <= other[0] for one, other in pairwise(skips))


# Runs


def train(module, folder=None, **options):
    given = {"steps": 20, "batch_size": 4, "lr": 1e-2, "log_every": 1, "save_every": 6, "spike_guard": 6.0}
    return fit(module, toy_rows(), TrainConfig(**(given | options)), folder=folder)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("factor", [math.nan, 50.0])
def test_a_run_goes_back_leaves_out_the_batches_and_makes_all_its_steps(tmp_path, kept, factor):
    module = spiky(15, factor=factor)
    result = train(module, tmp_path if kept else None)
    assert result.steps == len(result.losses) == 20 and all(map(math.isfinite, result.losses))
    # steps 13 to 16 (12 to 15 counted from 0) went back to the state of step 12
    rows = toy_rows()
    order = SampleOrder(len(rows), 0, rows.digest)
    seen = [tuple(row.tolist()) for row in rows.collate([*order.take(0, 64), *order.take(64, 96)])]
    assert module.seen == seen
    if kept:
        (told,) = (line for line in read_log(tmp_path / "log.jsonl") if "rewound_from" in line)
        assert told["step"] == 12 and told["rewound_from"] == 16
        steps = [line["step"] for line in read_log(tmp_path / "log.jsonl") if "loss" in line]
        assert steps == list(range(1, 21))


def test_the_weights_are_those_of_a_run_that_never_saw_the_batches():
    rows = toy_rows()
    order = SampleOrder(len(rows), 0, rows.digest)
    stream = [*order.take(0, 24), *order.take(40, 96)]  # without the batches 6 to 9
    batches = iter([stream[start : start + 4] for start in range(0, 80, 4)])
    rows_left = toy_rows()
    rows_left.collate = lambda indices: rows.collate(next(batches, indices))
    expected = fit(toy(), rows_left, TrainConfig(steps=20, batch_size=4, lr=1e-2))
    assert same(train(spiky(9)), expected)


def same(one, other):
    return all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


class PulledError(Exception):
    pass


def pull_at(module, call):
    """Let a module raise at its forward pass of this number."""
    forward, calls = module.forward, iter(range(1, 10_000))

    def counted(rows):
        if next(calls) == call:
            raise PulledError
        return forward(rows)

    module.forward = counted
    return module


@pytest.mark.parametrize(("call", "background"), [(3, False), (16, False), (17, False), (23, False), (17, True)])
def test_a_run_broken_around_a_spike_ends_bit_identical(tmp_path, call, background):
    whole = train(spiky(15))
    with pytest.raises(PulledError):
        train(pull_at(spiky(15), call), tmp_path, background_save=background)
    assert same(train(spiky(15, seed=9), tmp_path, background_save=background), whole)


@pytest.mark.parametrize(("spike", "end", "anchor"), [(15, 14, 12), (4, 3, 0)])
def test_a_run_stopped_between_saves_goes_back_as_far_as_one_that_was_not(tmp_path, spike, end, anchor):
    """A bound on the steps saves where the run ends, but the spike leads back to the regular save before."""
    options = {"schedule": "constant", "warmup": 0.0}
    whole = train(spiky(spike), **options)
    train(spiky(spike), tmp_path, steps=end, **options)
    kept = sorted(int(path.name[-9:]) for path in (tmp_path / "resume").iterdir())
    assert kept == [anchor, end]
    assert same(train(spiky(spike, seed=9), tmp_path, **options), whole)


def test_a_run_that_spikes_again_and_again_is_one_sentence_and_can_go_on(tmp_path):
    with pytest.raises(PolygraftError, match="nan at step 7, after 2"):
        train(hurt_after(6), tmp_path, spike_rewinds=2)
    assert train(toy(), tmp_path, spike_rewinds=2).steps == 20


def hurt_after(step):
    """Return a module whose loss is nothing in every call after those of ``step`` steps."""
    module = toy()
    forward, calls = module.forward, iter(range(10_000))

    def broken(rows):
        loss, weight = forward(rows)
        return loss * (1.0 if next(calls) < step else math.nan), weight

    module.forward = broken
    return module


def test_a_guard_may_be_put_on_when_a_run_goes_on(tmp_path):
    train(spiky(15), tmp_path, steps=12, spike_guard=0.0, schedule="constant", warmup=0.0)
    assert train(spiky(15), tmp_path, schedule="constant", warmup=0.0).steps == 20


def test_muon_average_and_best_weights_go_back_too():
    scores = iter(range(1, 100))
    options = {"optimizer": "muon", "ema": 0.9, "eval_every": 3}
    result = fit(
        spiky(15), toy_rows(), TrainConfig(steps=20, batch_size=4, lr=1e-2, save_every=6, spike_guard=6.0, **options),
        evaluate=lambda: {"score": float(next(scores))},
    )  # fmt: skip
    assert result.steps == 20 and all(bool(tensor.isfinite().all()) for tensor in result.tensors.values())
