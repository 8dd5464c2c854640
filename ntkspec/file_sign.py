"""By what a file is known to be as it was, without reading it."""

from __future__ import annotations

import os

Sign = tuple[
    int, int, int
]  # bytes; when it was last written, and when it or its name was last changed, in ns


def sign_of(path: str | os.PathLike[str]) -> Sign | None:
    """Return what changes when a file is written or replaced, or None where there is none.

    The last of the three is the system's alone to set: `touch -r`, `cp -p` and the like give another file the
    size and the age of this one, and not that.

    Args:
        path: of the file.

    Example:
        >>> sign_of("no such file") is None
        True
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
