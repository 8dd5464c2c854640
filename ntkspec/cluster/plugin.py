"""A plugin of Dask by which workers take their share of a machine."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from distributed import Status, WorkerPlugin

from ntkspec.cluster.shares import take_device
from ntkspec.errors import BackendError
from ntkspec.memory import PROCESSES_HERE

if TYPE_CHECKING:
    from distributed import Worker

SECONDS = 10  # between two counts of the workers of a machine


class TakeShare(WorkerPlugin):  # type: ignore[misc]  # Dask's classes have no types
    """A plugin that has each worker take its share of the machine when it comes to the scheduler."""

    name = "ntkspec"

    def __init__(self, gpus: int | None) -> None:
        """Keep how many devices a worker sees.

        Args:
            gpus: 0 or 1; None: those that the worker was started with.
        """
        self.gpus = gpus

    async def setup(self, worker: Worker) -> None:
        """Take a device, and count the workers that share the memory, unless the worker knows already.

        A worker that gets no device is paused, lest it do jobs on another worker's device.

        Raises:
            BackendError: there is no device left.
        """
        try:
            take_device(self.gpus)
        except BackendError:
            worker.status = Status.paused
            raise
        if PROCESSES_HERE not in os.environ:
            await _count(worker)
            worker.loop.add_callback(_keep_counting, worker)


async def _keep_counting(worker: Worker) -> None:
    """Count the workers again and again, since they come one after the other."""
    while worker.status in (Status.running, Status.paused):
        await asyncio.sleep(SECONDS)
        await _count(worker)


async def _count(worker: Worker) -> None:
    """Set the variable that says how many workers share this machine's memory."""
    try:
        workers = (await worker.scheduler.identity(n_workers=-1))["workers"]
    except OSError:  # the scheduler is gone
        return
    count = sum(_host(address) == _host(worker.address) for address in workers)
    os.environ[PROCESSES_HERE] = str(max(count, 1))


def _host(address: str) -> str:
    """Return an address without its port."""
    return address.rpartition(":")[0]
