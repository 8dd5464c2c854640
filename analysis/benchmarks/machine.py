"""What must a reader know of the machine to judge the numbers? Standard library only; needs Linux (/proc)."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

LEFT_OUT = (
    ":(exclude,top)analysis/benchmarks/results",
    ":(exclude,top)analysis/results",
    ":(exclude,top)docs",
)
HERE = Path(__file__).parent
PACKAGES = ("ntkspec", "numpy", "scipy", "numba", "torch")


def environment(threads: int) -> dict[str, Any]:
    """Machine, versions, commit, threads and load, as they are now."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "memory_bytes": _memory()},
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {package: version(package) for package in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": changed(),
        "threads": threads,
        "load_average": {"start": os.getloadavg()},
    }


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def changed() -> bool:
    """Whether the working tree differs from the commit, results apart."""
    return bool(_git("status", "--porcelain", "--", ":/", *LEFT_OUT))


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


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return done.stdout.strip()
