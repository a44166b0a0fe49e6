"""Processes that begin with torch in memory: a start takes milliseconds, not seconds."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.backbone.training.toy_training", "scripts.__main__", "transformers", "timm"])


def start(target: Callable[..., object], *arguments: object, processes: int = 1) -> list[multiprocessing.Process]:
    """Begin a call in one process, or in several that train together as if torchrun had started them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    members = [
        FORKS.Process(target=_member, args=(target, arguments, rank, processes, port)) for rank in range(processes)
    ]
    for process in members:
        process.start()
    return members


def finish(started: Sequence[multiprocessing.Process]) -> None:
    """Wait for the end of all processes, none of which may fail."""
    for process in started:
        process.join(250)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert not any(codes) and None not in codes, f"exit codes {codes}"


def program(words: Sequence[str], out: Path) -> None:
    """Run a command of polygraft with its output in a file; the first of several processes alone has one."""
    from scripts.__main__ import main

    with (out if os.environ.get("RANK", "0") == "0" else Path(os.devnull)).open("w") as sys.stdout:
        code = main(words)
    sys.exit(code)


def _member(target: Callable[..., object], arguments: Sequence[object], rank: int, size: int, port: int) -> None:
    if size > 1:  # as torchrun sets them
        variables = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in variables.items()})
    target(*arguments)
