"""Detect whether a file has changed, and whether two paths are of one file, without reading it."""

from __future__ import annotations

import contextlib
import hashlib
import os

# Bytes of a file; when it was last written; when it or its name was last changed. Both times are in ns.
Sign = tuple[int, int, int]


def sign_of(path: str | os.PathLike[str]) -> Sign | None:
    """Return numbers that change when a file is written or replaced, or None where there is no file.

    Commands such as `touch -r` and `cp -p` can give another file the same size and modification time, but not
    the third number, which only the system sets.

    Args:
        path: the file.

    Example:
        >>> sign_of("no such file") is None
        True
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def place_of(path: str | os.PathLike[str]) -> str:
    """Return a hash of a file's place on this machine, which every path to it has, and which names no folder.

    Example:
        >>> place_of("ntkspec/../README.md") == place_of(os.path.abspath("README.md"))
        True
    """
    place = os.fspath(path)
    with contextlib.suppress(ValueError):  # no path at all, such as one with a zero byte
        place = os.path.realpath(place)
    return hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
