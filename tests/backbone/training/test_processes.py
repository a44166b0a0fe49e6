"""Runs of `fit` in processes of their own: several of them, killed ones, and both."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# generous, since on a busy machine starting two processes alone takes long
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[3]
TOY = Path(__file__).with_name("toy_training.py")
OPTIONS = {"steps": 12, "batch_size": 8, "lr": 1e-2, "save_every": 2, "schedule": "constant"}


def command(folder, processes=1, **options):
    settings = OPTIONS | {"out": str(folder), "report": str(folder / "report.json")} | options
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    return [sys.executable, *launcher, str(TOY), json.dumps(settings)]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def run(folder, processes=1, **options):
    folder.mkdir(exist_ok=True)
    started = subprocess.Popen(
        command(folder, processes, **options), env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        _, errors = started.communicate(timeout=250)
    except subprocess.TimeoutExpired:
        started.terminate()  # torchrun then ends the processes it has started; a kill would leave them behind
        raise
    assert started.returncode == 0, errors
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run(tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_give_the_losses_of_one(tmp_path, alone, parallel):
    both = run(tmp_path, 2, parallel=parallel, micro_batch=2)
    assert both["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    assert both["weights"] == pytest.approx(alone["weights"], abs=1e-3)


def test_one_process_continues_what_two_shards_began(tmp_path, alone):
    run(tmp_path, 2, parallel="fsdp", steps=6)
    assert run(tmp_path)["losses"] == pytest.approx(alone["losses"][6:], abs=1e-5)


def test_two_shards_continue_what_one_process_began(tmp_path, alone):
    run(tmp_path, steps=6)
    assert run(tmp_path, 2, parallel="fsdp")["losses"] == pytest.approx(alone["losses"][6:], abs=1e-5)


def test_muon_shards_its_state_too(tmp_path):
    whole = run(tmp_path / "whole", optimizer="muon")
    run(tmp_path / "parts", 2, parallel="fsdp", optimizer="muon", steps=6)
    rest = run(tmp_path / "parts", optimizer="muon")
    # Newton-Schulz iterations run in bfloat16, where the order of sums shows: up to 1.3e-4 of the loss was seen
    assert rest["losses"] == pytest.approx(whole["losses"][6:], rel=2e-4)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_ends_bit_identical(tmp_path, processes):
    unbroken = run(tmp_path / "unbroken", processes, dropout=0.1)
    broken = tmp_path / "broken"
    broken.mkdir()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = subprocess.Popen(command(broken, processes, dropout=0.1, slow=0.1), env=environment(), **quiet)
    wait_for_step(broken / "resume", 4, killed)
    for file in broken.glob("pid-*"):
        os.kill(int(file.read_text()), signal.SIGKILL)
    killed.wait()
    (broken / "resume" / ".partial-000000099").mkdir()  # what a kill while saving leaves behind
    resumed = run(broken, processes, dropout=0.1)
    assert 0 < len(resumed["losses"]) < OPTIONS["steps"]
    assert resumed["weights"] == unbroken["weights"]
    assert resumed["losses"] == unbroken["losses"][-len(resumed["losses"]) :]


def wait_for_step(folder, step, process):
    deadline = time.monotonic() + 200
    while not any(int(path.name[-9:]) >= step for path in folder.glob("step-*")):
        assert process.poll() is None and time.monotonic() < deadline, "the run ended before it could be killed"
        time.sleep(0.02)


def test_an_interrupted_run_saves_before_it_leaves(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, slow=0.1, save_every=0), env=environment(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    assert list((tmp_path / "resume").glob("step-*"))
