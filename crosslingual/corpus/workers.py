"""The same jobs in this process or in several, and what a killed one leaves."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from backbone.errors import PolygraftError

Job = tuple[Any, ...]


def run_jobs(work: Callable[..., None], jobs: Sequence[Job], workers: int) -> Iterator[None]:
    """Call ``work(*job)`` for every job, in any order, and yield after each.

    The first error ends all of it: jobs that have not begun are left out.

    Args:
        work: a function at the top of a module.
        jobs: its arguments.
        workers: processes; 1 is this one.

    Raises:
        PolygraftError: a process was killed.
    """
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            work(*job)
            yield
        return
    # fresh processes: a fork would copy the threads' locks of torch and numpy
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_leave_interrupts_to_parent) as pool:
        futures = [pool.submit(work, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise PolygraftError(
                "a worker was killed, perhaps for want of memory: run the command again, which goes on where it was, "
                "with fewer --workers"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
