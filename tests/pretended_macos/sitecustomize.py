"""Take from a process, and from those that it starts, what Linux has and macOS lacks.

Python imports this file at its start if its folder is in PYTHONPATH. The package is then loaded on a system
called darwin, which starts processes anew, without `os.posix_fallocate`, `os.sched_getaffinity`, /proc, /sys,
or BLAS libraries that say how many threads they have. Packages that were built for this system have to be
imported before.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
from importlib.util import find_spec
from pathlib import Path

OTHERS = ("h5py", "matplotlib.pyplot", "multiprocessing.popen_spawn_posix", "numba", "psutil", "rich.console")
HIDDEN = ("posix_fallocate", "posix_fadvise", "sched_getaffinity", "pidfd_open", "memfd_create", "O_PATH")


class Pretender(importlib.abc.MetaPathFinder):
    """Pretends when ntkspec is imported, and finds nothing."""

    def find_spec(self, name, path=None, target=None):
        if name == "ntkspec":
            sys.meta_path.remove(self)
            pretend()


def pretend() -> None:
    """Make this process look as if macOS had started it."""
    import multiprocessing

    import threadpoolctl

    for name in filter(find_spec, OTHERS):
        __import__(name)
    multiprocessing.set_start_method("spawn", force=True)
    threadpoolctl.ThreadpoolController._load_libraries = lambda controller: None  # as of Apple's Accelerate
    for name in HIDDEN:
        if hasattr(os, name):
            delattr(os, name)
    Path.read_text = only_of_macos(Path.read_text)
    sys.platform = "darwin"


def only_of_macos(read):
    """Return a method that reads a file, but none of /proc and /sys."""

    def read_text(self, *words, **named):
        if self.parts[1:2] in (("proc",), ("sys",)):
            raise FileNotFoundError(2, os.strerror(2), str(self))
        return read(self, *words, **named)

    return read_text


sys.meta_path.insert(0, Pretender())
