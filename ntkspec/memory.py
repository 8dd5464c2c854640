"""How much memory there is to plan with."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from numbers import Real
from pathlib import Path

from ntkspec.errors import MemoryBudgetError, UsageError, shown

GIB = 2**30
SHARE = 0.8  # of what is free; the rest is left to the operating system and to libraries
LARGEST = 2**62  # bytes; more cannot be addressed, and limits of processes are 64-bit numbers
LIBRARIES = {"RLIMIT_AS": 2**28, "RLIMIT_DATA": 2**27}  # bytes that those take which are loaded when needed

_CGROUPS = "/sys/fs/cgroup"
_CGROUP_NAMES = {  # of the limit, of what is used, and of the part of that which is only cached
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    "": ("memory.max", "memory.current", "inactive_file"),
}


def available_bytes() -> int:
    """Bytes that can be allocated now: what the machine has free, within limits of process and cgroups."""
    free = _meminfo_available() or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(min([free, *_left_to_process(), *_left_to_cgroups()]), 0)


def budget_bytes(gib: float | None = None) -> int:
    """Give the memory budget: `gib` GiB if given, else 80% of what is available.

    Raises:
        UsageError: `gib` is no positive number, or more than can be addressed.
    """
    if gib is None:
        return int(SHARE * available_bytes())
    if not _is_size(gib):
        expected = f"a positive number of GiB, at most {LARGEST // GIB}, which is more than any machine has"
        raise UsageError("memory", expected=expected, got=shown(gib), remedy="e.g. 4")
    return int(float(gib) * GIB)


def _is_size(gib: object) -> bool:
    if isinstance(gib, bool) or not isinstance(gib, Real):
        return False
    try:
        return 0 < float(gib) <= LARGEST // GIB
    except OverflowError:
        return False


def require(what: str, needed: int, budget: int, remedy: str) -> None:
    """Raise `MemoryBudgetError` unless `needed` bytes fit the budget."""
    if needed > budget:
        raise MemoryBudgetError(
            what,
            expected=f"at most {format_bytes(budget)} (the memory budget)",
            got=f"a need of {format_bytes(needed)}",
            remedy=remedy,
        )


def samples_at_once(limit: int, samples: int, nbytes: int) -> int:
    """Choose how many of some samples, which take `nbytes` in all, to read at once: `limit` bytes, but one.

    Example:
        >>> samples_at_once(100, 50, 1000)
        5
    """
    return max(limit * samples // max(nbytes, 1), 1)


def format_bytes(count: float) -> str:
    """Bytes for people: '1.4 GiB'."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or abs(count) >= 100 else f"{count:.3g} {unit}"


def _meminfo_available() -> int:
    return _field(Path("/proc/meminfo"), "MemAvailable:") * 1024


def _left_to_process() -> Iterator[int]:
    """What the limits of this process leave (`ulimit -v`, `-d`), less room for libraries, half at most."""
    pages = _numbers("/proc/self/statm")
    for name, mapped in (("RLIMIT_AS", pages[:1]), ("RLIMIT_DATA", pages[5:6])):
        limit, _ = resource.getrlimit(getattr(resource, name))
        if limit != resource.RLIM_INFINITY and mapped:
            left = limit - mapped[0] * os.sysconf("SC_PAGE_SIZE")
            yield left - min(LIBRARIES[name], left // 2)


def _left_to_cgroups() -> Iterator[int]:
    """What the limits of this process's cgroups leave, from its own to the outermost that can be seen."""
    for controller, folder in _cgroups():
        limit_name, usage_name, cached_name = _CGROUP_NAMES[controller]
        limit, usage = _numbers(folder / limit_name), _numbers(folder / usage_name)
        if limit and usage:
            yield limit[0] - usage[0] + _field(folder / "memory.stat", cached_name)


def _cgroups() -> Iterator[tuple[str, Path]]:
    """Controller, "memory" or "" for all of version 2, and folder of each cgroup that this process is in."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        for controller in _CGROUP_NAMES:
            if controller in controllers.split(","):
                own = Path(path.strip("/"))
                yield from ((controller, Path(_CGROUPS, controller, part)) for part in (own, *own.parents))


def _field(path: Path, name: str) -> int:
    """A number after its name in a file of such lines; 0 where there is none."""
    found = [line.split()[1] for line in _lines(path) if line.split()[:1] == [name]]
    return int(found[0]) if found else 0


def _numbers(path: str | Path) -> list[int]:
    """The numbers in a file; none where it is absent, or says something else, such as "max"."""
    try:
        return [int(word) for line in _lines(path) for word in line.split()]
    except ValueError:
        return []


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
