"""Toy runs in processes that begin with torch in memory: a start takes milliseconds, not seconds."""

import json
import multiprocessing
import os
import socket
from pathlib import Path

from tests.backbone.training.toy_training import run

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([run.__module__])


def start(folder: Path, processes: int = 1, **options: object) -> list[multiprocessing.Process]:
    """Begin a run of `toy_training`, in one process or in several that train together."""
    folder.mkdir(exist_ok=True)
    settings = {"out": str(folder), "report": str(folder / "report.json"), **options}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [FORKS.Process(target=_member, args=(settings, rank, processes, port)) for rank in range(processes)]
    for process in started:
        process.start()
    return started


def finish(started: list[multiprocessing.Process], folder: Path) -> dict[str, object]:
    """Wait for the end of a run and return its report."""
    for process in started:
        process.join(250)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert not any(codes) and None not in codes, f"exit codes {codes}"
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def _member(settings: dict[str, object], rank: int, size: int, port: int) -> None:
    if size > 1:  # as torchrun tells it
        told = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in told.items()})
    run(dict(settings))
