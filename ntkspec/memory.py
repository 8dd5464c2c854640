"""How much memory there is to plan with."""

from __future__ import annotations

import os
from pathlib import Path

from ntkspec.errors import MemoryBudgetError, UsageError

GIB = 2**30
SHARE = 0.8  # of what is free; the rest is left to the operating system and to libraries

_CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_bytes() -> int:
    """Bytes that can be allocated now: what the machine has free, within the limits of the cgroup."""
    free = _meminfo_available() or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit_file, usage_file in _CGROUP_FILES:
        limit, usage = _read_number(limit_file), _read_number(usage_file)
        if limit is not None and usage is not None:
            free = min(free, max(limit - usage, 0))
    return free


def budget_bytes(gib: float | None = None) -> int:
    """The memory budget: `gib` GiB if given, else 80% of what is available."""
    if gib is None:
        return int(SHARE * available_bytes())
    if not gib > 0:
        raise UsageError("memory", expected="a positive number of GiB", got=str(gib), remedy="e.g. 4")
    return int(gib * GIB)


def require(what: str, needed: int, budget: int, remedy: str) -> None:
    """Raise `MemoryBudgetError` unless `needed` bytes fit the budget."""
    if needed > budget:
        raise MemoryBudgetError(
            what,
            expected=f"at most {format_bytes(budget)} (the memory budget)",
            got=f"a need of {format_bytes(needed)}",
            remedy=remedy,
        )


def format_bytes(count: float) -> str:
    """Bytes for people: '1.4 GiB'."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _read_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # absent, or "max"
        return None
