import platform

import pytest
import torch

from backbone.device import autocast, keep_big_blocks, pick_device, pick_dtype, seed_everything
from backbone.errors import UsageError


def test_auto_finds_a_device_that_can_hold_a_tensor():
    assert torch.zeros(1, device=pick_device()).item() == 0


@pytest.mark.parametrize("name", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_a_usage_error_naming_it(name):
    with pytest.raises(UsageError, match=name):
        pick_device(name)


def test_cpu_weights_are_float32_and_names_are_checked():
    assert pick_dtype(torch.device("cpu")) is torch.float32
    assert pick_dtype(torch.device("cpu"), "float16") is torch.float16
    with pytest.raises(UsageError, match="float7"):
        pick_dtype(torch.device("cpu"), "float7")


def test_cpu_training_is_not_autocast():
    with autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


def test_the_same_seed_gives_the_same_numbers():
    seed_everything(3)
    first = torch.rand(4)
    seed_everything(3)
    assert torch.equal(first, torch.rand(4))


def test_the_allocator_is_tuned_where_there_is_glibc():
    assert keep_big_blocks() == (platform.libc_ver()[0] == "glibc")
