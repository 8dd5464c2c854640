"""Machines made of files: a /proc of one's own, and trees of cgroups as mounts show them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ntkspec.machine import linux

GIB = 2**30
TREES = {  # by version: kind and options of a mount, and what stands before the path of a group
    1: ("cgroup", "rw,cpu,memory", "5:cpu,memory:"),
    2: ("cgroup2", "rw", "0::"),
}
MEMORY_FILES = {  # by version: of the limit of memory, of what is used, and the name of what is only cached
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


class Machine:
    """A machine of 64 GiB, 48 of them free, on which this process takes 1 GiB and is in no cgroup or job."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        monkeypatch.setattr(linux, "PROC", folder / "proc")
        for name in [name for name in os.environ if name.startswith(("SLURM_", "NTKSPEC_"))]:
            monkeypatch.delenv(name)
        kib = GIB // 1024
        self.write("proc/meminfo", f"MemTotal: {64 * kib} kB\nMemFree: 7 kB\nMemAvailable: {48 * kib} kB\n")
        self.write("proc/self/status", f"Name: python\nVmHWM: 9 kB\nVmRSS: {kib} kB\n")

    def write(self, name: str, text: str) -> None:
        """Write a file, and the folders that it lies in."""
        path = Path(self.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def join(self, version: int, path: str, mounts: Mapping[str, str]) -> None:
        """Let /proc say that this process is in a cgroup, and which folders show which groups."""
        kind, options, membership = TREES[version]
        lines = [
            f"33 29 0:26 {root} {self.folder / folder} ro,nosuid shared:9 master:4 - {kind} none {options}\n"
            for folder, root in mounts.items()
        ]
        self.write("proc/self/cgroup", f"1:name=systemd:/init\n{membership}{path}\n")
        self.write("proc/self/mountinfo", "22 1 0:21 / / rw - ext4 /dev/sda rw\n" + "".join(lines))

    def limit_memory(self, version: int, folder: str, limit: object, used: int, cached: int = 0) -> None:
        """Set the limit of a cgroup, and what its processes use, in bytes."""
        limit_file, usage_file, cached_name = MEMORY_FILES[version]
        self.write(f"{folder}/{limit_file}", f"{limit}\n")
        self.write(f"{folder}/{usage_file}", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"active_file 99\n{cached_name} {cached}\n")
