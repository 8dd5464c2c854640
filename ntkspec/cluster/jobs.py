"""Do jobs on workers: a failed one does not stop the others, and workers that are gone are noticed.

`Workers.executor` is a `concurrent.futures.Executor`, which every kind of cluster has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from ntkspec.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Scheduler

Job = TypeVar("Job")
Answer = TypeVar("Answer")

TICK = 0.5  # seconds between two looks at whether all is well
AHEAD = 2  # jobs submitted for each worker, so that it need not wait for its next one


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
) -> Generator[Ended[Job, Answer]]:
    """Do all jobs and yield each as it ends, in any order.

    Only a few jobs are submitted at a time, so that the memory of the scheduler and of this process does not
    grow with the number of jobs. A job whose workers died several times is tried once more at the end, alone,
    since another job that ran at the same time may have been the cause.

    Args:
        executor: one of threads or processes, or that of `Workers`.
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


@dataclass
class Patience:
    """How long to wait for a worker. The wait begins with a waiting job, and goes on when that is gone."""

    seconds: float
    _since: float | None = None  # when a job was first seen to wait, and no worker has come since

    def ends(self, *, workers: bool, waiting: bool) -> bool:
        """Return whether there has been no worker for longer than that.

        Args:
            workers: whether there are any at the moment.
            waiting: whether jobs wait at the moment.
        """
        now = time.monotonic()
        if workers:
            self._since = None
        elif waiting and self._since is None:
            self._since = now
        return self._since is not None and now - self._since > self.seconds


@dataclass(frozen=True)
class Workers:
    """Worker processes to which jobs can be submitted."""

    executor: Executor
    count: int  # as many as were asked for
    where: str  # the scheduler, in words
    _client: Client
    _refused: Sequence[str] = ()  # what sbatch said of jobs that it refused
    _patience: Patience = field(default_factory=lambda: Patience(math.inf))
    _gpus: int | None = 0  # of each worker

    def connected(self) -> int:
        """Return how many workers the scheduler has; the number may be two seconds old."""
        return int(self._client._scheduler_identity.get("n_workers", 0))

    def ahead(self) -> int:
        """Return how many jobs to keep submitted at a time.

        It grows with the number of workers that were asked for, or that are connected if these are more.
        """
        return AHEAD * max(self.count, self.connected())

    def check(self, underway: int = 0) -> None:
        """Raise `ClusterError` if the scheduler is gone, or has no workers that take jobs and can get none.

        Args:
            underway: number of jobs that wait for workers or are being done.
        """
        if self._client.status != "running":
            raise ClusterError(
                self.where,
                expected="a scheduler that answers",
                got="its end",
                remedy="start it and this command again: what is finished is kept",
            )
        if self._refused and not self.connected():
            raise ClusterError(
                "sbatch",
                expected="to take the jobs",
                got=self._refused[-1],
                remedy="see the profile, and ⟦--dry-run|`batch --dry-run`⟧ for the script of a job",
            )
        if self._patience.ends(workers=self.connected() > 0, waiting=underway > 0):
            raise ClusterError(
                "workers on this machine",
                expected="others to start when all have died",
                got=f"none in {self._patience.seconds} s",
                remedy="see what limits processes and memory here, and start again: what is finished is kept",
            )
        if self._gpus and self._all_paused():
            raise ClusterError(
                "workers with a GPU each",
                expected="a device for one of them at least",
                got=f"none for any of {self.count}",
                remedy="see what the profile asks for, or take ⟦--profile=cpu⟧",
            )

    def _all_paused(self) -> bool:
        """Return whether all workers have come and are paused, as they are if `TakeShare` found no device."""
        count = self.count

        # A function inside another is sent by value: a scheduler need not know this program.
        def paused(dask_scheduler: Scheduler) -> bool:
            workers = dask_scheduler.workers.values()
            return len(workers) >= count and all(worker.status.name == "paused" for worker in workers)

        try:
            return bool(self._client.run_on_scheduler(paused))
        except OSError:  # it is gone, as the client's status will soon say
            return False
