"""Do any jobs on workers: one that fails does not stop the others, and few are underway at a time."""

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
    """A job that came to its end: an answer, or an error."""

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
    """Do all jobs and yield each as it ends, in whatever order.

    However many there are, only a few are underway: neither the scheduler nor this process grows with them.
    Jobs whose workers died again and again are tried once more at the end, each alone: it may have been
    another job that killed them, for whose end these only waited.

    Args:
        executor: of threads, of processes, or that of `ntkspec.cluster.workers.Workers`.
        work: a function of a module, since it is pickled, as are job and answer.
        jobs: what it is called with; drawn as there is room.
        ahead: says how many may be submitted at a time; asked again and again, since workers come and go.
        watch: called every half a second and after ends, with the number of jobs underway.

    Raises:
        ClusterError: the scheduler or the pool of processes is gone.
        Exception: what `watch` raises. Either way, what was underway comes to nothing.
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
    """What is said in the place of Dask's KilledWorker."""


def _ended(job: Job, future: Future[Answer]) -> Ended[Job, Answer]:
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
