"""Do the jobs of a population on workers, with a line for each; a failed job does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ntkspec.cluster.jobs import run_jobs
from ntkspec.cluster.workers import Cluster
from ntkspec.display import format_seconds
from ntkspec.errors import NtkspecError

Job = TypeVar("Job")


@dataclass(frozen=True)
class Failure(Generic[Job]):
    """A job that failed, and its error."""

    job: Job
    error: NtkspecError


def in_workers(
    work: Callable[[Job], str],
    jobs: Sequence[Job],
    cluster: Cluster,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
    networks: Callable[[Job], int] | None = None,
) -> list[Failure[Job]]:
    """Do all jobs, and report each one in a line when it has ended.

    Args:
        work: does one job and returns what was done; a function of a module, since it is pickled.
        jobs: what it is called with, pickled too.
        cluster: where the workers are.
        say: called in this process with each line.
        networks: returns how many networks a job trains; after the first job a line says how long all take.

    Returns:
        The jobs that raised an `NtkspecError` or whose workers died, in the order in which they ended.

    Raises:
        NtkspecError: the workers cannot be had, or are lost.
        Exception: any other exception of a job; jobs that have not begun are then not done.
    """
    if not jobs:
        return []  # without starting workers
    start, failed, foretold = time.perf_counter(), [], False
    with cluster.start() as workers:
        began = time.perf_counter()
        ends = run_jobs(workers.executor, work, jobs, ahead=workers.ahead, watch=workers.check)
        for count, ended in enumerate(ends, 1):
            if isinstance(ended.error, NtkspecError):
                failed.append(Failure(ended.job, ended.error))
            elif ended.error is not None:
                raise ended.error
            words = f"failed: {ended.error}" if ended.error else ended.answer
            minutes = (time.perf_counter() - start) / 60
            say(f"[{count}/{len(jobs)}, {minutes:.1f} min] {words}")
            if networks and not foretold and ended.error is None and count < len(jobs):
                foretold, total = True, sum(map(networks, jobs))
                at_once = networks(ended.job) * min(workers.count, len(jobs))
                seconds = (time.perf_counter() - began) * total / at_once
                say(f"{total} networks, about {format_seconds(seconds)}")
    return failed
