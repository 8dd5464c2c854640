"""Find how much memory this process may use: free memory, limits of process and job, and the budget."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from numbers import Real

from ntkspec.errors import MemoryBudgetError, UsageError, shown
from ntkspec.machine import linux, slurm

PROCESSES_HERE = "NTKSPEC_PROCESSES_HERE"  # the variable that says how many processes share the memory here
GIB = 2**30
SHARE = 0.8  # of what is free; the rest is left to the operating system and to libraries
BUDGET = "the memory budget"
LARGEST = 2**62  # bytes; more cannot be addressed, and limits of processes are 64-bit numbers
LIBRARIES = {"RLIMIT_AS": 2**28, "RLIMIT_DATA": 2**27}  # bytes for libraries that are loaded only when needed

_CGROUP_FILES = {  # by version: files of limits, the file of what is used, the field of what is only cached
    1: (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    # Above "high" a process hardly runs any more.
    2: (("memory.max", "memory.high"), "memory.current", "inactive_file"),
}


def available_bytes() -> int:
    """Count the bytes that can be allocated now.

    These are the free bytes of the machine, within the limits of the process, of its cgroups and of the SLURM
    job. Where several processes share them, as `PROCESSES_HERE` says, they are at most the rest of this
    process's share.

    Raises:
        UsageError: `PROCESSES_HERE` is set to anything but a whole number, 1 or more.
    """
    free, resident = _free_and_resident()
    left_to_cgroups = [limit - used for limit, used in _of_cgroups()]
    left_here = [limit - resident for limit in (*slurm.memory_limits(), *_share())]
    return max(min([free, *_left_to_process(), *left_to_cgroups, *left_here]), 0)


def capacity_bytes() -> int:
    """Count the bytes of this machine, or, if that is less, those that cgroups or SLURM allow this job."""
    limits = [limit for limit, _ in _of_cgroups()]
    return min([_machine_bytes(), *limits, *slurm.memory_limits()])


def budget_bytes(gib: float | None = None) -> int:
    """Return the memory budget in bytes: `gib` GiB if given, else 80% of what is available.

    Raises:
        UsageError: `gib` is no positive number, or more than can be addressed.
    """
    if gib is None:
        return int(SHARE * available_bytes())
    if not _is_size(gib):
        expected = f"a positive number of GiB, at most {LARGEST // GIB}, which is more than any machine has"
        raise UsageError("⟦--memory⟧", expected=expected, got=shown(gib), remedy="e.g. 4")
    return int(float(gib) * GIB)


def _is_size(gib: object) -> bool:
    if isinstance(gib, bool) or not isinstance(gib, Real):
        return False
    try:
        return 0 < float(gib) <= LARGEST // GIB
    except OverflowError:
        return False


def require(what: str, needed: int, budget: int, remedy: str, limit: str = BUDGET) -> None:
    """Raise `MemoryBudgetError` unless `needed` bytes fit the budget, whose name is `limit`."""
    if needed > budget:
        raise MemoryBudgetError(
            what,
            expected=f"at most {format_bytes(budget)} ({limit})",
            got=f"a need of {format_bytes(needed)}",
            remedy=remedy,
        )


def samples_at_once(limit: int, samples: int, nbytes: int) -> int:
    """Return how many samples to read at once: as many as fit `limit` bytes, and at least one.

    Args:
        limit: bytes that may be read at once.
        samples: all samples.
        nbytes: bytes of all samples.

    Example:
        >>> samples_at_once(100, 50, 1000)
        5
    """
    return max(limit * samples // max(nbytes, 1), 1)


def format_bytes(count: float) -> str:
    """Return a number of bytes with its unit, for people.

    Example:
        >>> format_bytes(1_500_000_000)
        '1.4 GiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or abs(count) >= 100 else f"{count:.3g} {unit}"


def _free_and_resident() -> tuple[int, int]:
    """Count the free bytes of this machine, and those that this process takes."""
    free = linux.field(linux.PROC / "meminfo", "MemAvailable:") * 1024
    resident = linux.field(linux.PROC / "self/status", "VmRSS:") * 1024
    if free:
        return free, resident
    try:
        import psutil  # a dependency on every system but Linux
    except ImportError:  # a Linux that does not say what is free
        return _machine_bytes(), resident
    return psutil.virtual_memory().available, psutil.Process().memory_info().rss


def _machine_bytes() -> int:
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return linux.field(linux.PROC / "meminfo", "MemTotal:") * 1024 or pages


def _left_to_process() -> Iterator[int]:
    """Yield the bytes that each limit of this process leaves (`ulimit -v`, `-d`).

    Memory for libraries is subtracted, but never more than half of the rest.
    """
    pages = linux.numbers(linux.PROC / "self/statm")
    for name, mapped in (("RLIMIT_AS", pages[:1]), ("RLIMIT_DATA", pages[5:6])):
        limit, _ = resource.getrlimit(getattr(resource, name))
        if limit != resource.RLIM_INFINITY and mapped:
            left = limit - mapped[0] * os.sysconf("SC_PAGE_SIZE")
            yield left - min(LIBRARIES[name], left // 2)


def _of_cgroups() -> Iterator[tuple[int, int]]:
    """Yield the limit and the bytes in use, for each limit of the cgroups that this process is in."""
    for group in linux.cgroups("memory"):
        limits, usage, cached = _CGROUP_FILES[group.version]
        used = sum(linux.numbers(group.folder / usage)) - linux.field(group.folder / "memory.stat", cached)
        for name in limits:
            yield from ((limit, used) for limit in linux.numbers(group.folder / name))


def _share() -> Iterator[int]:
    """Yield the bytes that are this process's share of the machine, if others share it."""
    processes = os.environ.get(PROCESSES_HERE)
    if processes is None:
        return
    if not re.fullmatch(r"0*[1-9][0-9]{0,17}", processes):
        raise UsageError(
            PROCESSES_HERE,
            expected="a whole number, 1 or more: how many processes share the memory here",
            got=shown(processes),
            remedy="correct this environment variable, or unset it",
        )
    yield capacity_bytes() // int(processes)
