"""Open run files with their locks, check that the disk has room, and turn system errors into ours."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import h5py

from ntkspec._io import allocate, first_line, release_lock, take_lock
from ntkspec.errors import OutputError, UsageError

LOCKING = "HDF5_USE_FILE_LOCKING"  # an environment variable, which HDF5 obeys rather than the program
OVERHEAD_BYTES = 2**20  # texts and attributes
DATASET_BYTES = 2**13  # of HDF5's own structures: one, with its group and its chunk index, takes some 5 KiB
_SAID = re.compile("error message = '(.*?)'")  # where HDF5 quotes the system


def open_hdf5(path: Path, mode: str) -> h5py.File:
    """Open a file with HDF5's lock, which excludes other writers; without it if the file system has no locks.

    Args:
        path: the file.
        mode: as for `h5py.File`.

    Raises:
        OSError: as for `h5py.File`; `BlockingIOError` if another process has locked the file.
        UsageError: the file system has no locks, but an environment variable of HDF5 requires them.
    """
    try:
        return h5py.File(path, mode)
    except OSError as error:
        if not _lockless(error):
            raise
    if mode == "x" and path.exists():  # the first attempt made it
        mode = "w"
    try:
        return h5py.File(path, mode, locking=False)
    except OSError as error:
        if not _lockless(error):
            raise
        raise UsageError(
            LOCKING,
            expected=f"no value that asks for locks, which the file system of {path} has not",
            got=repr(os.environ.get(LOCKING)),
            remedy="unset it, or set it to FALSE",
        ) from None


def close_hdf5(file: h5py.File) -> None:
    """Close a file that was written, and release its lock for processes that were forked meanwhile, too."""
    file.flush()
    handle = os.dup(file.id.get_vfd_handle())  # by which the lock is released when nothing more is written
    try:
        file.close()
    finally:
        release_lock(handle)
        os.close(handle)


def _lockless(error: OSError) -> bool:
    """Return whether an HDF5 error means that the file system has no locks, not that the file is locked."""
    return "unable to lock file" in str(error) and not isinstance(error, BlockingIOError)


def is_locked(path: Path) -> bool:
    """Return whether a process has this file open, judged by HDF5's lock on it; the content is not read."""
    with contextlib.suppress(OSError), path.open("rb") as handle:
        for shared in (False, True):  # over a network, a file opened to read gets only the latter
            free = take_lock(handle.fileno(), shared=shared)
            if free is not None:
                return not free
    return False


def reserve(part: Path, size: int = 0, datasets: int = 0) -> None:
    """Raise `OSError` unless the disk has room for what is to be written to a file next.

    HDF5 cannot recover from a failed write: the process may crash when the file is closed. So a scratch file
    is created first, and removed again. It is as long as the file will be, since there are limits on that,
    too, but takes no room for what the file already has.

    Args:
        part: the file.
        size: bytes of the numbers.
        datasets: in how many new datasets they are.
    """
    now = part.stat().st_size if part.exists() else 0
    more = size + size // 50 + datasets * DATASET_BYTES + OVERHEAD_BYTES
    scratch = part.with_name(part.name + ".room")
    scratch.unlink(missing_ok=True)  # left by a killed writer
    try:
        scratch.open("xb").close()  # never what a link points to
        allocate(scratch, now + more, now)
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(
    path: Path,
    expected: str = "to write the file",
    remedy: str = "check space and permissions",
) -> Iterator[None]:
    """Turn an `OSError` in the `with` block, or HDF5's error of a failed write, into an `OutputError`.

    An `OSError` that reports lack of memory (ENOMEM) is raised unchanged, since it is not about the disk.

    Args:
        path: the file that is written, for the message.
        expected: what should have been possible, for the message.
        remedy: what to do, for the message.

    Raises:
        OutputError: the block raised such an error.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        said = _SAID.search(str(error))
        if not (said or isinstance(error, OSError)) or getattr(error, "errno", None) == errno.ENOMEM:
            raise
        got = said[1] if said else getattr(error, "strerror", None) or first_line(error)
        raise OutputError(str(path), expected=expected, got=got, remedy=remedy) from None
