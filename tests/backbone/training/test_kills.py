"""A run that is killed again and again, also while it saves, ends bit-identical to one that was left alone.

`KILLS=20 pytest tests/backbone/training/test_kills.py` kills more often.
"""

import os
import random
import signal
import time

import pytest

from tests.backbone.training.forked import finish, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("KILLS", "5"))
OPTIONS = {"steps": 20 * KILLS, "batch_size": 8, "lr": 1e-2, "save_every": 2, "dropout": 0.1, "ema": 0.9, "slow": 0.02}


def last_step(folder):
    return max((int(path.name[-9:]) for path in (folder / "resume").glob("step-*")), default=0)


def wait_until(happens, process):
    deadline = time.monotonic() + 200
    while not happens():
        assert process.is_alive() and time.monotonic() < deadline, "the run ended before it could be killed"
        time.sleep(0.0005)


@pytest.mark.parametrize("background", [False, True])
def test_a_run_killed_at_random_moments_ends_bit_identical(tmp_path, background):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    whole, draw = start(unbroken, **OPTIONS), random.Random(0)
    saving = 0
    for number in range(KILLS):
        before = last_step(broken)
        (process,) = start(broken, background_save=background, **OPTIONS)
        wait_until(lambda before=before: last_step(broken) > before, process)
        if number % 2:
            wait_until(lambda: any((broken / "resume").glob(".partial-*")), process)
        else:
            time.sleep(draw.random() * 0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        saving += any((broken / "resume").glob(".partial-*"))
    assert saving, "no kill met a state half written"
    resumed = finish(start(broken, background_save=background, **OPTIONS), broken)
    expected = finish(whole, unbroken)
    assert 0 < len(resumed["losses"]) < OPTIONS["steps"]
    assert resumed["sha256"] == expected["sha256"]
    assert resumed["losses"] == expected["losses"][-len(resumed["losses"]) :]
