"""Commands called by other commands, each in a process of its own, as a user would call them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError

_ROOT = Path(__file__).resolve().parent.parent


def polygraft(*words: object, processes: int = 1, threads: int = 0) -> None:
    """Run a command; what it prints goes where ours goes.

    Args:
        words: the command and its options, as in ``polygraft("corpus", "build", path, "--out", out)``.
        processes: that share the work under torchrun, each with one thread.
        threads: of the process; 0: as many as it likes.

    Raises:
        PolygraftError: the command failed.
    """
    _run(words, processes, threads, capture=False)


def polygraft_rows(*words: object, threads: int = 0) -> list[dict[str, Any]]:
    """Run a command with ``--json`` and return the objects that it prints.

    Raises:
        PolygraftError: the command failed.
    """
    return [json.loads(line) for line in _run((*words, "--json"), 1, threads, capture=True).splitlines()]


def _run(words: tuple[object, ...], processes: int, threads: int, *, capture: bool) -> str:
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
    command = [sys.executable, "-m", *launcher, "scripts", *map(str, words)]
    # the folder of this code first: a command runs the code that calls it, wherever it was called
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    if threads or processes > 1:
        environment["OMP_NUM_THREADS"] = str(threads or 1)
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE if capture else None, encoding="utf-8", check=False
    )
    if done.returncode:
        asked = " ".join(map(str, words[:2]))
        raise PolygraftError(f"polygraft {asked} ended with code {done.returncode}: mend what it says and run again")
    return done.stdout or ""
