"""Tell without reading a file whether it is still what it was."""

from __future__ import annotations

import os

# Bytes of a file; when it was last written; when it or its name was last changed. Both times are in ns.
Sign = tuple[int, int, int]


def sign_of(path: str | os.PathLike[str]) -> Sign | None:
    """Return numbers that change when a file is written or replaced, or None where there is no file.

    Only the system sets the last of the three: `touch -r`, `cp -p` and the like can give another file the
    size and the time of writing of this one, but not that.

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
