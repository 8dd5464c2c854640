"""What must a reader know of the machine to judge the numbers? Needs Linux (/proc).

Imports the standard library only, as other tools' environments have no more.
"""

from __future__ import annotations

import os
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def environment(threads: int) -> dict[str, Any]:
    """Machine, versions, commit, threads and load, as they are now."""
    from ntkspec.population.made_by import made_by

    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **made_by(),
        "threads": threads,
        "load_average": {"start": os.getloadavg()},
    }


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak(children: bool) -> int:
    """Largest resident bytes of this process so far, or of the largest of its finished children."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss * 1024


def contain() -> None:
    """A process that asks for more than the machine has fails; where memory runs out, it is killed first."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = _memory() if hard == resource.RLIM_INFINITY else min(_memory(), hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
