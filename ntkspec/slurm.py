"""What a job of SLURM may use of this node, as the job's environment says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_BYTES = {"K": 2**10, "": 2**20, "M": 2**20, "G": 2**30, "T": 2**40}  # of a size's unit; SLURM leaves it out


def memory_limits() -> Iterator[int]:
    """Yield the bytes that this job may take on this node, in each way in which they are set.

    Nothing outside a job, where the job may take the whole node, or where a variable makes no sense.
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
    """Yield how many CPUs this task, and this job on this node, may use, where that is set."""
    counts = (_count("SLURM_CPUS_PER_TASK"), _count("SLURM_CPUS_ON_NODE"))
    yield from (count for count in counts if count)


def _size(variable: str) -> int:
    """Bytes; 0 if there is no limit."""
    size = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", _value(variable).upper())
    return int(size[1]) * _BYTES[size[2]] if size else 0


def _count(variable: str) -> int:
    """A whole number; 0 if there is none."""
    value = _value(variable)
    return int(value) if re.fullmatch(r"[0-9]{1,15}", value) else 0


def _value(variable: str) -> str:
    """What a job's variable says; nothing outside a job, whose variables some people leave in their shell."""
    return os.environ.get(variable, "").strip() if os.environ.get("SLURM_JOB_ID") else ""
