"""Start worker processes, or connect to those of a running scheduler; both have the same interface.

Dask distributed (https://distributed.dask.org) starts the processes, sends them jobs, and repeats the jobs of
a worker that was lost. On every cluster a worker is a process that does one job at a time.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from ntkspec._io import first_line
from ntkspec._version import __version__
from ntkspec.cluster.jobs import Patience, Workers
from ntkspec.cluster.profile import read_profile
from ntkspec.cluster.shares import devices, workers_for
from ntkspec.errors import ClusterError, UsageError
from ntkspec.extras import needs_cluster
from ntkspec.machine.cores import cores_here

if TYPE_CHECKING:
    from distributed import Client, Scheduler

LOCAL, SLURM = "local", "slurm"
ADDRESSES = ("tcp://", "tls://")
SECONDS = 30  # that a scheduler may take to answer
PATIENCE = 120  # seconds to wait for a worker on this machine, if all have died
_LEVEL = logging.CRITICAL + 1  # of Dask's own log: nothing is shown
NEVER = 1e9  # seconds
# Dask need not limit the memory of workers: results are files, and analyses plan with a budget.
_KEEP = {f"distributed.worker.memory.{limit}": False for limit in ("target", "spill", "pause", "terminate")}


@dataclass(frozen=True)
class Cluster:
    """A choice of workers: where they run, and how many.

    Args:
        place: "local", this machine; "slurm"; or the address of a scheduler, such as "tcp://node17:8786".
        workers: how many; default: one for each device or core of this machine. It must be left out if
            `place` is the address of a scheduler, which uses the workers that are connected to it.
        profile: the resources of each worker, see `ntkspec.cluster.profile.read_profile`; default: "cpu".
        threads: of a worker on this machine; default: its share of the cores.

    Raises:
        UsageError: there is no such place, or `workers` is given or missing where it must not be.

    Example:
        >>> Cluster("tcp://node17:8786").is_address
        True
    """

    place: str = LOCAL
    workers: int | None = None
    profile: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.is_address:
            if self.workers is not None:
                raise UsageError(
                    "⟦--workers⟧",
                    expected="a number for local or slurm",
                    got=f"{self.workers} at {self.place}",
                    remedy="leave it out: the workers are those that came to this scheduler",
                )
        elif self.place not in (LOCAL, SLURM):
            raise UsageError(
                "⟦--cluster|place⟧",
                expected="local, slurm or a scheduler's address, such as tcp://node17:8786",
                got=repr(self.place),
                remedy="leave it out for this machine",
            )
        if self.place == SLURM and self.workers is None:
            raise UsageError(
                "⟦--cluster|place=slurm⟧",
                expected="⟦--workers⟧ beside it",
                got="none",
                remedy="say how many jobs",
            )

    @property
    def is_address(self) -> bool:
        """Return whether the place is the address of a scheduler, which runs already."""
        return self.place.startswith(ADDRESSES)

    @contextlib.contextmanager
    def start(self, most: int | None = None) -> Iterator[Workers]:
        """Start the workers or connect to them; those that were started are ended after the `with` block.

        Args:
            most: how many to start at most, such as the number of jobs.

        Yields:
            The workers.

        Raises:
            NotInstalledError: the extra `cluster` is not installed.
            ClusterError: the workers do not start, the scheduler does not answer, or no worker came to it.
            BackendError: there is no device, or there are fewer than workers that want one.
        """
        with needs_cluster(f"⟦--cluster|place={self.place}⟧"):
            import dask
            import distributed

            from ntkspec.cluster import local, slurm
            from ntkspec.cluster.plugin import TakeShare
        _silence()
        profile = read_profile(self.profile or "cpu")
        refused: list[str] = []
        stack = contextlib.ExitStack()
        try:
            stack.enter_context(dask.config.set(_KEEP))
            if self.is_address:
                client = stack.enter_context(_connected(self.place))
                count, gpus = _count_workers(client, self.place), profile.gpus if self.profile else None
            else:
                count = self.workers or workers_for(devices(), cores_here(), profile.gpus)
                count = min(count, count if most is None else most)
                with _interrupts_wait():
                    if self.place == LOCAL:
                        cluster = stack.enter_context(local.processes(count, self.threads))
                    else:
                        cluster, refused = stack.enter_context(slurm.jobs(count, profile.slurm))
                client = stack.enter_context(distributed.Client(cluster))
                gpus = profile.gpus
            _wait_for_long_solves(client)
            client.register_plugin(TakeShare(gpus))
            executor = client.get_executor(pure=False)
            stack.callback(executor.shutdown, wait=False)  # there may be no worker left to wait for
            where = f"the scheduler at {client.scheduler.address}"
            patience = PATIENCE if self.place == LOCAL else math.inf  # elsewhere there may be a queue
            yield Workers(executor, count, where, client, refused, Patience(patience), gpus)
        finally:
            with blocked({signal.SIGINT, signal.SIGTERM}):  # a second one must not end this halfway
                stack.close()


@contextlib.contextmanager
def blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """Block signals until the `with` block ends, if this is the main thread, to which Python sends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_long_solves(client: Client) -> None:
    """Let the scheduler wait for workers that do not answer, as happens during a long call of a library.

    By default it gives a worker up after five minutes, and starts its job again on another one.
    """

    never = NEVER

    def wait(dask_scheduler: Scheduler) -> None:  # sent by value: a scheduler need not know this program
        dask_scheduler.worker_ttl = never

    client.run_on_scheduler(wait)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM until the `with` block ends; processes started inside never receive Ctrl-C.

    Dask cannot close a cluster that has started only in part. A terminal sends Ctrl-C to all processes; those
    that were started while the signal was blocked ignore it, and this process ends them.
    """
    resource_tracker.ensure_running()  # it unblocks the signal when it starts
    late: list[int] = []
    alone = threading.current_thread() is threading.main_thread()  # to which signals are sent
    usual = signal.signal(signal.SIGTERM, lambda number, _: late.append(number)) if alone else None
    try:
        with blocked({signal.SIGINT}):
            yield
    finally:
        if alone:
            signal.signal(signal.SIGTERM, usual)
    if late:
        signal.raise_signal(signal.SIGTERM)


def _silence() -> None:
    """Silence Dask's own log on stderr, since commands print their own messages."""
    for name in ("distributed", "tornado.application", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(_LEVEL)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Client]:
    """Connect to a running scheduler; raise `ClusterError` if it does not answer."""
    from distributed import Client

    try:
        client = Client(address, timeout=SECONDS)
    except (OSError, ValueError) as error:
        raise ClusterError(
            address,
            expected="a scheduler that answers",
            got=first_line(error),
            remedy="start one: dask scheduler --port 8786",
        ) from None
    with client:
        yield client


def _count_workers(client: Client, address: str) -> int:
    """Count the workers of a scheduler, once it has one.

    Raises:
        ClusterError: no worker connects, or one has another version of ntkspec or none.
    """
    try:
        client.wait_for_workers(1, timeout=SECONDS)
    except TimeoutError:
        raise ClusterError(
            address,
            expected="workers that came to this scheduler",
            got=f"none in {SECONDS} s",
            remedy=f"start some: dask worker {address} --nthreads 1",
        ) from None
    versions = client.run(version, "ntkspec", on_error="return")
    try:
        of_scheduler = client.run_on_scheduler(version, "ntkspec")
    except PackageNotFoundError as error:
        of_scheduler = error
    for process, installed in (*versions.items(), ("scheduler", of_scheduler)):
        if installed != __version__:
            raise ClusterError(
                f"{address}, {process}",
                expected=f"ntkspec {__version__}, as here",
                got="none" if isinstance(installed, Exception) else str(installed),
                remedy="install it where scheduler and workers start",
            )
    return len(versions)
