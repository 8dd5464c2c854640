"""Record what made a result: the machine, the versions of packages, and the commit."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("ntkspec", "numpy", "scipy", "numba", "torch")
LEFT_OUT = (  # folders of results, whose changes do not change results
    ":(exclude,top)analysis/benchmarks/results",
    ":(exclude,top)analysis/results",
    ":(exclude,top)docs",
)
HERE = Path(__file__).parent


@functools.cache
def made_by() -> dict[str, Any]:
    """Return the machine, the versions and the commit as JSON values; they are computed once in a process."""
    return {
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "memory_bytes": _memory()},
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": _versions(),
        "commit": _git("rev-parse", "HEAD") if _in_checkout() else None,
        "uncommitted_changes": changed(),
    }


def changed() -> bool:
    """Return whether the working tree of this program differs from its commit; results are ignored."""
    return _in_checkout() and bool(_git("status", "--porcelain", "--", ":/", *LEFT_OUT))


def _in_checkout() -> bool:
    """Return whether the repository that contains this file tracks it.

    An installed copy of the package may lie inside the repository of another project.
    """
    return _git("ls-files", "--error-unmatch", Path(__file__).name) is not None


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # PyTorch, where runs are only analysed
            continue
    return versions


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _git(*arguments: str) -> str | None:
    """Return what git prints, run in the folder of this file, or None if it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return done.stdout.strip()
