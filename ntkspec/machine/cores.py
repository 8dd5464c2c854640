"""Count the cores that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ntkspec.machine import slurm
from ntkspec.machine.linux import cgroups, numbers


def cores_here() -> int:
    """Count the cores that this process may use, at least 1.

    This is the least of three numbers: the cores that the process may run on, the quotas of its cgroups,
    rounded down, and what SLURM gives to its job.

    Example:
        >>> 1 <= cores_here() <= os.cpu_count()
        True
    """
    return max(min([_cores_to_run_on(), *_quotas(), *slurm.cpu_limits()]), 1)


def _cores_to_run_on() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS binds no process to cores


def _quotas() -> Iterator[int]:
    """Yield how many whole cores each cgroup may use: a thread beyond the quota makes all of them wait."""
    for group in cgroups("cpu"):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if group.version == 1 else ("cpu.max",)
        microseconds = [number for name in names for number in numbers(group.folder / name)]
        if len(microseconds) == 2 and min(microseconds) > 0:  # a quota of -1 means that there is none
            quota, period = microseconds
            yield quota // period
