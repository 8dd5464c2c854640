"""Do jobs on workers: a failed job does not stop the others, and few jobs are submitted at a time."""

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

    Only a few jobs are submitted at a time, so that the memory of the scheduler and of this process does not
    grow with the number of jobs. A job whose workers died several times is tried once more at the end, alone,
    since another job that ran at the same time may have been the cause.

    Args:
        executor: one of threads or processes, or that of `ntkspec.cluster.pool.Workers`.
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
    """Do jobs and yield each as it ends; the error of a job whose workers died is `_WorkersDied`."""
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
    """The error of a job if every worker that tried it died, which Dask reports as KilledWorker."""


def _ended(job: Job, future: Future[Answer]) -> Ended[Job, Answer]:
    """Return the answer or the error of a job; raise an error if the scheduler or the pool is gone."""
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
        remedy="see whether memory was short: fewer ⟦--workers⟧ leave more for each",
    )
