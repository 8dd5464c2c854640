"""The plugin by which Dask's workers take their share of a machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from distributed import WorkerPlugin

from ntkspec.cluster.shares import take_device
from ntkspec.memory import PROCESSES_HERE

if TYPE_CHECKING:
    from distributed import Worker


class TakeShare(WorkerPlugin):  # type: ignore[misc]  # Dask's classes have no types
    """Let a worker take its share when it comes to the scheduler."""

    name = "ntkspec"

    def __init__(self, gpus: int | None) -> None:
        """Keep how many devices a worker sees; None: those that it was started with."""
        self.gpus = gpus

    async def setup(self, worker: Worker) -> None:
        """Take a device, and count who shares the memory, unless the worker was told at its start."""
        if self.gpus is not None:
            take_device(self.gpus)
        if PROCESSES_HERE not in os.environ:
            workers = (await worker.scheduler.identity())["workers"]
            here = [address for address in workers if _host(address) == _host(worker.address)]
            os.environ[PROCESSES_HERE] = str(max(len(here), 1))


def _host(address: str) -> str:
    """Return an address without its port."""
    return address.rpartition(":")[0]
