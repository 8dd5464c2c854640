"""Do any jobs on workers: one that fails does not stop the others, and few are underway at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from ntkspec.cluster.workers import Workers
from ntkspec.errors import ClusterError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

TICK = 0.5  # seconds between two looks at whether the scheduler is there


@dataclass(frozen=True)
class Ended(Generic[Job, Answer]):
    """A job that came to its end: an answer, or an error."""

    job: Job
    answer: Answer | None
    error: Exception | None


def run_jobs(
    workers: Workers,
    work: Callable[[Job], Answer],
    jobs: Iterable[Job],
    submitted: Callable[[int], None] = lambda count: None,
) -> Iterator[Ended[Job, Answer]]:
    """Do all jobs and yield each as it ends, in whatever order; a lost worker's are done again.

    However many there are, only a few are underway: neither the scheduler nor this process grows with them.

    Args:
        workers: who does them.
        work: a function of a module, since it is pickled, as are job and answer.
        jobs: what it is called with; drawn as there is room.
        submitted: called with the number of jobs underway whenever that changes.

    Raises:
        ClusterError: the scheduler is gone; what was underway comes to nothing.
    """
    waiting, underway = iter(jobs), dict[Future[Answer], Job]()
    try:
        while True:
            for job in islice(waiting, workers.ahead - len(underway)):
                underway[workers.executor.submit(work, job)] = job
            submitted(len(underway))
            if not underway:
                return
            done, _ = wait(underway, timeout=TICK, return_when=FIRST_COMPLETED)
            workers.check()
            for future in done:
                yield _ended(underway.pop(future), future)
    finally:
        for future in underway:
            future.cancel()


def _ended(job: Job, future: Future[Answer]) -> Ended[Job, Answer]:
    try:
        return Ended(job, future.result(), None)
    except CancelledError:  # by Dask, where a scheduler that went away came back without what it knew
        raise ClusterError(
            "the scheduler",
            expected="to keep what was submitted",
            got="its end",
            remedy="start this command again: what is finished is kept",
        ) from None
    except Exception as error:
        return Ended(job, None, _in_words(error))


def _in_words(error: Exception) -> Exception:
    """Return what Dask says of a job whose workers died, in words of ours, and other errors as they are."""
    if type(error).__name__ != "KilledWorker":
        return error
    return ClusterError(
        "a worker",
        expected="to finish this",
        got="the death of every worker that tried",
        remedy="see whether memory was short: fewer --workers leave more for each",
    )
