"""Read from the environment what a job of SLURM may use of this node."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_BYTES = {"K": 2**10, "": 2**20, "M": 2**20, "G": 2**30, "T": 2**40}  # by the unit of a size; none means MiB


def memory_limits() -> Iterator[int]:
    """Yield the bytes that this job may take on this node, once for each variable that limits them.

    Yield nothing outside a job, where the job may take the whole node, or for a variable that is no size.
    """
    for size, per in (
        ("SLURM_MEM_PER_NODE", None),
        ("SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"),
        ("SLURM_MEM_PER_GPU", "SLURM_GPUS_ON_NODE"),
    ):
        limit = _size(size) * (_count(per) if per else 1)
        if limit:
            yield limit


def cpu_limits() -> Iterator[int]:
    """Yield how many CPUs this task may use, and how many this job on this node, where that is set."""
    counts = (_count("SLURM_CPUS_PER_TASK"), _count("SLURM_CPUS_ON_NODE"))
    yield from (count for count in counts if count)


def _size(variable: str) -> int:
    """Return the bytes that a variable states; 0 if it states no limit."""
    size = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", _value(variable).upper())
    return int(size[1]) * _BYTES[size[2]] if size else 0


def _count(variable: str) -> int:
    """Return the whole number that a variable states; 0 if it states none."""
    value = _value(variable)
    return int(value) if re.fullmatch(r"[0-9]{1,15}", value) else 0


def _value(variable: str) -> str:
    """Return the text of a job's variable; "" outside a job, where a shell may still hold an old one."""
    return os.environ.get(variable, "").strip() if os.environ.get("SLURM_JOB_ID") else ""
