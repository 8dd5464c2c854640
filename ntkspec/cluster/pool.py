"""Submit jobs to workers, and notice when none can do them any more.

`Workers.executor` is a `concurrent.futures.Executor`, which every kind of cluster has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ntkspec.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Scheduler

AHEAD = 2  # jobs submitted for each worker, so that it need not wait for its next one


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
