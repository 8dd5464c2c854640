"""Do jobs on workers: one that fails does not stop the others, and few are underway at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from ntkspec.errors import ClusterError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

TICK = 0.5  # seconds between two looks at whether all is well


@dataclass(frozen=True)
class Ended(Generic[Job, Answer]):
    """A job that has ended, with an answer or an error."""

    job: Job
    answer: Answer | None
    error: Exception | None


def run_jobs(
    executor: Executor,
    work: Callable[[Job], Answer],
    jobs: Iterable[Job],
    *,
    ahead: Callable[[], int],
    watch: Callable[[int], None] = lambda underway: None,
) -> Iterator[Ended[Job, Answer]]:
    """Do all jobs and yield each as it ends, in any order.

    Only a few are underway at a time, so that neither the scheduler nor this process grows with their number.
    A job whose workers died again and again is tried once more at the end, alone: another job that ran there
    at the same time may have killed them.

    Args:
        executor: of threads or processes, or the one of `ntkspec.cluster.workers.Workers`.
        work: does a job; a function of a module, since it is pickled, as are jobs and answers.
        jobs: what it is called with; taken from the iterable as they are submitted.
        ahead: returns how many may be submitted at a time; called again and again, since workers come and go.
        watch: called every half a second and after jobs have ended, with the number of jobs underway.

    Raises:
        ClusterError: the scheduler or the pool of processes is gone.
        Exception: what `watch` raises. After either, jobs that were underway are lost.
    """
    suspects: list[Job] = []
    for ended in _in_turn(executor, work, jobs, ahead, watch):
        if isinstance(ended.error, _WorkersDied):
            suspects.append(ended.job)
        else:
            yield ended
    for job in suspects:
        yield from _in_turn(executor, work, [job], lambda: 1, watch)


def _in_turn(
    executor: Executor,
    work: Callable[[Job], Answer],
    jobs: Iterable[Job],
    ahead: Callable[[], int],
    watch: Callable[[int], None],
) -> Iterator[Ended[Job, Answer]]:
    """Do jobs and yield each as it ends; those whose workers died end with `_WorkersDied`."""
    waiting, underway = iter(jobs), dict[Future[Answer], Job]()
    try:
        while True:
            for job in islice(waiting, max(ahead() - len(underway), 0)):
                underway[executor.submit(work, job)] = job
            watch(len(underway))
            if not underway:
                return
            for future in wait(underway, timeout=TICK, return_when=FIRST_COMPLETED).done:
                yield _ended(underway.pop(future), future)
    except BrokenExecutor:
        raise _gone("a process of the pool") from None
    finally:
        for future in underway:
            future.cancel()


class _WorkersDied(ClusterError):
    """Every worker that tried a job died; it stands for Dask's KilledWorker."""


def _ended(job: Job, future: Future[Answer]) -> Ended[Job, Answer]:
    """Return the answer or the error of a job; raise where the scheduler or the pool is gone."""
    try:
        return Ended(job, future.result(), None)
    except CancelledError:  # by Dask, when the scheduler goes away
        raise _gone("the scheduler") from None
    except BrokenExecutor:
        raise
    except Exception as error:
        return Ended(job, None, _killed() if type(error).__name__ == "KilledWorker" else error)


def _gone(who: str) -> ClusterError:
    return ClusterError(
        who,
        expected="to stay while there are jobs",
        got="its end",
        remedy="start this command again: what is finished is kept",
    )


def _killed() -> ClusterError:
    return _WorkersDied(
        "a worker",
        expected="to finish this",
        got="the death of every worker that tried",
        remedy="see whether memory was short: fewer --workers leave more for each",
    )
