"""Keep worker processes running on this machine."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ntkspec._io import first_line
from ntkspec.cluster.shares import environment
from ntkspec.cluster.slurm import NO_PAGE
from ntkspec.errors import ClusterError
from ntkspec.machine.cores import cores_here

if TYPE_CHECKING:
    from distributed import SpecCluster

ATTEMPTS = 3  # to start all workers
_LEVEL = logging.CRITICAL + 1  # of the workers' own log: nothing is shown


@contextlib.contextmanager
def processes(count: int, threads: int | None) -> Iterator[SpecCluster]:
    """Keep `count` workers running until the `with` block ends.

    They communicate over TLS, since other users may be logged in.

    Args:
        count: how many workers.
        threads: of each; None: its share of the cores.

    Yields:
        The cluster.

    Raises:
        ClusterError: they do not start.
    """
    with _cluster(count, environment(threads or max(cores_here() // count, 1), count)) as cluster:
        # Dask gives up a worker that died and does not come back within 15 seconds. This starts another one.
        cluster.adapt(minimum=count, maximum=count)
        yield cluster


def _cluster(count: int, variables: dict[str, str]) -> SpecCluster:
    """Start a scheduler and workers with these environment variables."""
    from distributed import Nanny, Scheduler, Security, SpecCluster

    safe = {"security": Security.temporary(), "protocol": "tls://", "host": "127.0.0.1"}
    worker = {"nthreads": 1, "memory_limit": 0, "env": variables, "dashboard": False, "silence_logs": _LEVEL}
    for _ in range(ATTEMPTS):
        try:
            return SpecCluster(
                workers={number: {"cls": Nanny, "options": worker | safe} for number in range(count)},
                scheduler={"cls": Scheduler, "options": {"port": 0, **NO_PAGE, **safe}},
                security=safe["security"],
                silence_logs=_LEVEL,
            )
        except (RuntimeError, OSError) as error:  # a worker died at its start, or there is no room
            reason = first_line(error.__cause__ or error)
    raise ClusterError(
        f"{count} workers",
        expected="processes that start",
        got=f"an end of some, {ATTEMPTS} times ({reason})",
        remedy="start fewer ⟦--workers⟧, or see what limits processes and memory here",
    )
