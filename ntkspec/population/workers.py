"""Any jobs in worker processes: one that fails does not stop the others, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Generic, TypeVar

from ntkspec.errors import NtkspecError, UsageError

Job = TypeVar("Job")


@dataclass(frozen=True)
class Failure(Generic[Job]):
    """A job that came to nothing, and why."""

    job: Job
    error: NtkspecError


def in_workers(
    work: Callable[[Job], str],
    jobs: Sequence[Job],
    workers: int,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> list[Failure[Job]]:
    """Do all jobs, `workers` at a time with a thread each, and say a line for each that is done.

    Small networks and kernels gain little from a second thread, two processes nearly everything.

    Args:
        work: does one job and says what was done; a function of a module, since it is pickled.
        jobs: what it is called with, pickled too.
        workers: how many processes.
        say: called with the lines, here.

    Returns:
        The jobs that raised an `NtkspecError`, as they ended.

    Raises:
        UsageError: a worker died.
        BaseException: what else a job raised; those that have not begun are left.
    """
    start, failed = time.perf_counter(), []
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the children import NumPy and PyTorch
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        running = {pool.submit(work, job): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(running), 1):
                try:
                    said = future.result()
                except NtkspecError as error:
                    failed.append(Failure(running[future], error))
                    said = f"failed: {error}"
                minutes = (time.perf_counter() - start) / 60
                say(f"[{done}/{len(jobs)}, {minutes:.1f} min] {said}")
        except BrokenProcessPool as error:
            raise UsageError(
                "a worker", expected="to finish", got="its death", remedy="start again, with fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _start_worker() -> None:
    """Ctrl-C ends a worker at once, since whoever started it says so; and so does its parent's death."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, a worker whose parent is killed waits for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
