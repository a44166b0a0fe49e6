import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.training.sampler import SampleOrder, split_evenly, step_seed


@given(st.integers(1, 50), st.integers(0, 200), st.integers(0, 60))
def test_any_stretch_is_known_without_the_ones_before_it(samples, start, length):
    whole = SampleOrder(samples, 3, "data").take(0, start + length)
    assert SampleOrder(samples, 3, "data").take(start, start + length) == whole[start:]


@given(st.integers(1, 50), st.integers(0, 5))
def test_each_epoch_has_every_sample_once(samples, epoch):
    taken = SampleOrder(samples, 0, "data").take(epoch * samples, (epoch + 1) * samples)
    assert sorted(taken) == list(range(samples))


def test_epochs_seeds_and_data_are_shuffled_differently():
    order = SampleOrder(40, 0, "data")
    others = [SampleOrder(40, 1, "data").take(0, 40), SampleOrder(40, 0, "other").take(0, 40), order.take(40, 80)]
    assert all(other != order.take(0, 40) for other in others)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 7))
def test_blocks_are_even_and_together_the_whole(items, parts):
    blocks = [split_evenly(items, parts, part) for part in range(parts)]
    assert [item for block in blocks for item in block] == items
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1


def test_no_two_steps_or_processes_share_a_seed():
    assert len({step_seed(seed, step, rank) for seed in (0, 1) for step in range(20) for rank in range(4)}) == 160


def test_an_order_of_nothing_is_refused():
    with pytest.raises(ValueError):
        SampleOrder(0, 0, "data")
