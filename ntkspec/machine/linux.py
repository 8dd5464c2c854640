"""Read the files below /proc and /sys in which Linux describes this machine, this process and its cgroups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

PROC = Path("/proc")


@dataclass(frozen=True)
class Cgroup:
    """A control group: its limits hold for all processes in it and in the groups below it, taken together."""

    version: Literal[1, 2]
    folder: Path  # holds the files that state its limits and what it uses


@dataclass(frozen=True)
class _Mount:
    """A folder that shows a tree of cgroups, or a part of one."""

    controllers: Sequence[str]  # what the groups of the tree limit; [""] for the one tree of version 2
    root: PurePosixPath  # the outermost group that is shown
    folder: Path


def cgroups(controller: str) -> Iterator[Cgroup]:
    """Yield the cgroups that this process is in, from its own to the outermost one that can be seen.

    Args:
        controller: what the cgroups limit, such as "memory" or "cpu".
    """
    mounts = list(_mounts())
    for line in lines(PROC / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            trees = [mount for mount in mounts if "" in mount.controllers]
            yield from (Cgroup(2, folder) for folder in _folders(PurePosixPath(path), trees))
        elif controller in controllers.split(","):
            trees = [mount for mount in mounts if controller in mount.controllers]
            yield from (Cgroup(1, folder) for folder in _folders(PurePosixPath(path), trees))


def _mounts() -> Iterator[_Mount]:
    for line in lines(PROC / "self/mountinfo"):  # fields as in `man proc_pid_mountinfo`
        place, _, tree = (part.split(" ") for part in line.partition(" - "))
        if tree[0] in ("cgroup", "cgroup2"):
            root, folder = map(_unescaped, place[3:5])
            controllers = tree[-1].split(",") if tree[0] == "cgroup" else [""]
            yield _Mount(controllers, PurePosixPath(root), Path(folder))


def _unescaped(path: str) -> str:
    r"""Return a path of mountinfo with its escapes undone: a space is written there as \040."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), path)


def _folders(path: PurePosixPath, mounts: Sequence[_Mount]) -> Iterator[Path]:
    """Yield the folders of a group and of all groups around it.

    In a container, the path and the roots of mounts are relative to the same group, whichever that is. Where
    no mount shows the path ("/../x" is not below a root "/"), the outermost group of each mount is taken.
    """
    shown = [
        (mount.folder, path.relative_to(mount.root)) for mount in mounts if path.is_relative_to(mount.root)
    ]
    shown = [(folder, group) for folder, group in shown if ".." not in group.parts]
    for folder, group in shown or [(mount.folder, PurePosixPath()) for mount in mounts]:
        yield from (folder / part for part in (group, *group.parents))


def field(path: Path, name: str) -> int:
    """Read the number that follows a name in a file of lines "name number"; return 0 if it is missing."""
    values = [line.split()[1] for line in lines(path) if line.split()[:1] == [name]]
    return int(values[0]) if values else 0


def numbers(path: Path) -> list[int]:
    """Read the whole numbers in a file; none if it is absent or holds anything else, such as "max"."""
    try:
        return [int(word) for line in lines(path) for word in line.split()]
    except ValueError:
        return []


def lines(path: Path) -> list[str]:
    """Read the lines of a file; none if it cannot be read."""
    try:
        return path.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
