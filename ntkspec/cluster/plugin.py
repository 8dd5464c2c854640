"""Define the Dask plugin with which each worker takes its share of its machine's GPUs and memory."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from distributed import Status, WorkerPlugin

from ntkspec.cluster.shares import take_device
from ntkspec.errors import BackendError
from ntkspec.machine.memory import PROCESSES_HERE

if TYPE_CHECKING:
    from distributed import Worker

# What Dask does a hundred times a second in each worker, for its dashboard. It reads the stacks of all
# threads, over which Python 3.11.8 and older may stop for ever (github.com/python/cpython/issues/106883).
PROFILING = ("profile", "profile-cycle")
SECONDS = 10  # between two counts of the workers of a machine


class TakeShare(WorkerPlugin):  # type: ignore[misc]  # Dask's classes have no types
    """A worker plugin of Dask, which runs in each worker when it registers with the scheduler.

    It gives the worker a GPU, if workers have one each, tells it how many workers share the memory, and ends
    Dask's profiling in it.
    """

    name = "ntkspec"

    def __init__(self, gpus: int | None) -> None:
        """Store how many GPUs a worker sees.

        Args:
            gpus: 0 or 1; None: those that the worker had when it was started.
        """
        self.gpus = gpus

    async def setup(self, worker: Worker) -> None:
        """Take a GPU, and count the workers that share the memory.

        They are not counted if the environment variable `PROCESSES_HERE` already says how many there are. A
        worker that gets no GPU is paused, so that it does no jobs on the GPU of another worker.

        Raises:
            BackendError: there is no GPU left.
        """
        for name in PROFILING:
            if name in worker.periodic_callbacks:
                worker.periodic_callbacks.pop(name).stop()
        try:
            take_device(self.gpus)
        except BackendError:
            worker.status = Status.paused
            raise
        if PROCESSES_HERE not in os.environ:
            await _count(worker)
            worker.loop.add_callback(_keep_counting, worker)


async def _keep_counting(worker: Worker) -> None:
    """Count the workers on this machine every `SECONDS` seconds, since further workers may start later."""
    while worker.status in (Status.running, Status.paused):
        await asyncio.sleep(SECONDS)
        await _count(worker)


async def _count(worker: Worker) -> None:
    """Set the environment variable `PROCESSES_HERE` to the number of workers on this machine."""
    try:
        workers = (await worker.scheduler.identity(n_workers=-1))["workers"]
    except OSError:  # the scheduler is gone
        return
    count = sum(_host(address) == _host(worker.address) for address in workers)
    os.environ[PROCESSES_HERE] = str(max(count, 1))


def _host(address: str) -> str:
    """Return an address without its port."""
    return address.rpartition(":")[0]
