"""What a task costs Dask: a scheduler and workers in processes of their own, tasks like those of a batch.

Processor time is read from /proc, so Linux only. The scheduler, the workers and the client share this
machine's cores; the processor time of each is its own.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkspec.runs.analysis import RunSettings
from scaling.simulation import Costs

STUDIES = Path(__file__).parents[1]
RUN = "/scratch/population/goldfish/mpe-fine.h5"  # a path of usual length; nothing is read
WORKERS = (1, 2, 4)
TASKS, ALONE = 1500, 200  # tasks that do nothing: several at a time, and one after another
DEEP = 250  # tasks a worker ahead, where the scheduler is to have no pause
WINDOW = 2  # tasks a worker ahead, as `batch` keeps them
SLEEPS = (0.005, 0.02, 0.1)  # seconds
LASTING = 2.0  # seconds that a run of sleeping tasks takes at the least
IDLE = 1.0  # seconds of rest after workers have joined


@dataclass(frozen=True)
class Load:
    """Tasks that do nothing, on some workers: seconds a task."""

    workers: int
    window: int  # tasks a worker ahead
    wall_s: float
    scheduler_s: float  # of processor time, as are the next two
    client_s: float
    worker_s: float


@dataclass(frozen=True)
class Sleep:
    """Tasks that sleep, on some workers, `WINDOW` tasks a worker ahead."""

    workers: int
    task_s: float
    tasks: int
    measured_s: float


@dataclass(frozen=True)
class Measured:
    """What was measured of Dask on this machine."""

    loads: tuple[Load, ...]
    sleeps: tuple[Sleep, ...]
    alone_s: float  # from submitting one task to its result, nothing else under way
    join_s: float  # until a worker that is started has joined
    join_scheduler_s: float  # the scheduler's processor time of that

    @property
    def costs(self) -> Costs:
        """What the simulation takes: costs with a batch's window, and what a task alone takes beyond them.

        With more tasks ahead a task costs less, as several messages are taken up at a time: this is cautious.
        """
        load = max((load for load in self.loads if load.window == WINDOW), key=lambda load: load.workers)
        spent = load.client_s + load.scheduler_s + load.worker_s
        return Costs(load.client_s, load.scheduler_s, load.worker_s, max(self.alone_s - spent, 0.0) / 4)


def analyse(path: str, settings: RunSettings, seconds: float = 0.0) -> str:
    """Take and return what an analysis does, and sleep instead."""
    if seconds:
        time.sleep(seconds)
    return f"{path}: analysed by route {settings.method} in {seconds} s"


def measure_dask() -> Measured:
    """Measure with one worker, then two, then four, in a minute."""
    loads: list[Load] = []
    sleeps: list[Sleep] = []
    joined: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, _Cluster(Path(folder)) as cluster:
        alone_s = 0.0
        for workers in WORKERS:
            joined.append(cluster.grow(workers))
            cluster.load(4 * WINDOW, tasks=50 * workers)  # imports what workers need
            time.sleep(IDLE)
            if workers == 1:
                alone_s = cluster.submit(ALONE, 1) / ALONE
            loads += [cluster.load(WINDOW), cluster.load(DEEP)]
            sleeps += [cluster.sleep(seconds) for seconds in SLEEPS]
    wall, spent = (sum(part) / WORKERS[-1] for part in zip(*joined, strict=True))
    return Measured(tuple(loads), tuple(sleeps), alone_s, wall, spent)


class _Cluster(contextlib.AbstractContextManager["_Cluster"]):
    """A scheduler and workers in processes of this machine, and a client here."""

    def __init__(self, folder: Path) -> None:
        import distributed

        connect: Any = distributed.Client  # parts of Dask have no types
        self.folder, self.file = folder, folder / "scheduler.json"
        self.log = (folder / "log").open("w")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--host", "127.0.0.1")
        while not self.file.exists() and self.scheduler.poll() is None:
            time.sleep(0.05)
        self.client = connect(scheduler_file=str(self.file))
        self.executor = self.client.get_executor(pure=False)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for process in (*self.workers, self.scheduler):
            process.terminate()
            process.wait()
        self.log.close()

    def grow(self, workers: int) -> tuple[float, float]:
        """Start workers until there are so many; returns seconds summed over them, and the scheduler's own.

        They are started one after another: on few cores they would only wait for each other.
        """
        wall, before = 0.0, _processor_s(self.scheduler.pid)
        while len(self.workers) < workers:
            start = time.perf_counter()
            self.workers.append(
                self._start("dask_worker", "--nthreads", "1", "--nworkers", "1", "--no-nanny")
            )
            self.client.wait_for_workers(len(self.workers))
            wall += time.perf_counter() - start
        return wall, _processor_s(self.scheduler.pid) - before

    def load(self, window: int, tasks: int = TASKS) -> Load:
        """Do tasks that do nothing."""
        processes = [self.scheduler.pid, os.getpid(), *(worker.pid for worker in self.workers)]
        before = [_processor_s(process) for process in processes]
        wall = self.submit(tasks, window * len(self.workers))
        spent = [_processor_s(process) - s for process, s in zip(processes, before, strict=True)]
        scheduler, client, *workers = (seconds / tasks for seconds in spent)
        return Load(len(self.workers), window, wall / tasks, scheduler, client, sum(workers))

    def sleep(self, seconds: float) -> Sleep:
        """Do tasks that sleep so long."""
        count = len(self.workers)
        tasks = int(LASTING / seconds) * count
        return Sleep(count, seconds, tasks, self.submit(tasks, WINDOW * count, seconds))

    def submit(self, tasks: int, ahead: int, seconds: float = 0.0) -> float:
        """Return the seconds of all tasks, of which at most `ahead` are under way."""
        start, left = time.perf_counter(), tasks
        under_way: set[concurrent.futures.Future[str]] = set()
        while left or under_way:
            while left and len(under_way) < ahead:
                under_way.add(self.executor.submit(analyse, RUN, RunSettings(backend="cpu"), seconds))
                left -= 1
            _, under_way = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
        return time.perf_counter() - start

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        paths = [str(STUDIES), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", str(self.file)]
        command += ["--no-dashboard", *options]
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=self.log, stderr=self.log)


def _processor_s(process: int) -> float:
    """Seconds of processor time that a process's threads have had, those that have ended left out."""
    return sum(_thread_s(process))


def _thread_s(process: int) -> Iterator[float]:
    for thread in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield int((thread / "schedstat").read_text().split()[0]) / 1e9
