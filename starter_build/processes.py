"""Programs called by commands, each in a process of its own, and what they took; our own as a user would call them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError

_STANDARD_ERROR = 2  # the file descriptor
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A program that has ended."""

    code: int
    out: str  # what it printed, where that was caught
    seconds: float
    mebibytes: float  # that the largest of its processes held at most

    def rows(self) -> list[dict[str, Any]]:
        """Return the JSON objects that it printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run_program(
    command: Sequence[object], *, capture: bool = False, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run a program to its end.

    Args:
        command: The program and its arguments.
        capture: Whether to catch what it prints; else that goes to standard error, since it is no result of ours.
        environment: The environment in the place of ours.
    """
    began = time.perf_counter()
    out = subprocess.PIPE if capture else _STANDARD_ERROR
    with subprocess.Popen([str(word) for word in command], stdout=out, encoding="utf-8", env=environment) as process:
        text = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    return Ended(code=process.returncode, out=text, seconds=seconds, mebibytes=usage.ru_maxrss / 1024)


def polygraft(*words: object, processes: int = 1, threads: int = 0, capture: bool = False) -> Ended:
    """Run a command of ours.

    Args:
        words: The command and its options, as in ``polygraft("corpus", "build", path, "--out", out)``.
        processes: The processes that share the work under torchrun, each with one thread.
        threads: The threads of the process; 0: as many as it likes.
        capture: Whether to print objects (``--json``), and catch them.

    Raises:
        PolygraftError: the command failed.
    """
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
    command = [sys.executable, "-m", *launcher, "scripts", *words, *(["--json"] if capture else [])]
    # the folder of this code first: a command runs the code that calls it, wherever it was called
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    if threads or processes > 1:
        environment["OMP_NUM_THREADS"] = str(threads or 1)
    ended = run_program(command, capture=capture, environment=environment)
    if ended.code:
        asked = " ".join(map(str, words[:2]))
        raise PolygraftError(f"polygraft {asked} ended with code {ended.code}: mend what it says and run again")
    return ended
