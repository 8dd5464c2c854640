"""The plugin by which Dask's workers take their share of a machine."""

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
    """Let a worker take its share when it comes to the scheduler."""

    name = "ntkspec"

    def __init__(self, gpus: int | None) -> None:
        """Keep how many devices a worker sees; None: those that it was started with."""
        self.gpus = gpus

    async def setup(self, worker: Worker) -> None:
        """Take a device, and count who shares the memory, unless the worker was told at its start.

        A worker that gets no device takes no jobs: it would do them on another's.
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
    """Workers come one after the other: count again, as long as there are any."""
    while worker.status in (Status.running, Status.paused):
        await asyncio.sleep(SECONDS)
        await _count(worker)


async def _count(worker: Worker) -> None:
    """Say how many workers share this machine's memory."""
    try:
        workers = (await worker.scheduler.identity(n_workers=-1))["workers"]
    except OSError:  # the scheduler is gone
        return
    here = [address for address in workers if _host(address) == _host(worker.address)]
    os.environ[PROCESSES_HERE] = str(max(len(here), 1))


def _host(address: str) -> str:
    """Return an address without its port."""
    return address.rpartition(":")[0]
