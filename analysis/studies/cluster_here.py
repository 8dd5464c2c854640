"""A small cluster on this machine, and runs to analyse on it: what a demonstration and a study share."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from ntkspec.population.results import all_made

BIN = Path(sys.executable).parent


def start_scheduler(port: int) -> subprocess.Popen[bytes]:
    """Start a scheduler of Dask's on the loopback interface, and wait until it answers."""
    words = [str(BIN / "dask"), "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    scheduler = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return scheduler
        time.sleep(0.1)


def start_workers(port: int, count: int) -> subprocess.Popen[bytes]:
    """Start workers that come to that scheduler; they end soon after it does."""
    words = [
        str(BIN / "dask"),
        "worker",
        f"tcp://127.0.0.1:{port}",
        "--nworkers",
        str(count),
        "--nthreads",
        "1",
    ]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*words, "--no-dashboard", "--death-timeout", "20"],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def cluster(port: int, count: int) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """A scheduler and its workers; both have ended afterwards."""
    scheduler = start_scheduler(port)
    workers = start_workers(port, count)
    try:
        yield scheduler, workers
    finally:
        for process in (workers, scheduler):
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(family, timeout=60)
    process.wait()


def worker_processes(parent: int) -> list[psutil.Process]:
    """Return the processes that do the work, below the one that started them."""
    family = psutil.Process(parent).children(recursive=True)
    return [child for child in family if "spawn_main" in " ".join(child.cmdline())]


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def finished(results: Path) -> dict[str, int]:
    """Return when each result that is there was written, by the path of its run file."""
    return {
        run: (made.folder(results) / "report.json").stat().st_mtime_ns
        for made in all_made(results)
        for run in made.seen
    }
