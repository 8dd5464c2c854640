"""Where run files are put: may we write there, is there room, and what the disk said if not."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from ntkspec._io import allocate, first_line
from ntkspec.errors import OutputError, UsageError

LOCKING = "HDF5_USE_FILE_LOCKING"  # an environment variable that HDF5 heeds before what a program asks for
OVERHEAD_BYTES = 2**20  # groups, attributes and chunk indices of a snapshot


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` unless a file can be put at `path`."""
    if path.is_dir():
        raise OutputError(str(path), expected="a file name", got="a folder", remedy="name a file in it")
    if path.exists() and not overwrite:
        raise OutputError(
            str(path), expected="a new file", got="one that exists", remedy="choose another name or overwrite"
        )
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        got = "one that cannot be written" if folder.is_dir() else "no such folder"
        raise OutputError(
            str(path), expected=f"a writable folder {folder}", got=got, remedy="create it or choose another"
        )


def open_hdf5(path: Path, mode: str) -> h5py.File:
    """Open a file with HDF5's lock, which keeps writers apart, or without it on a file system that has none.

    Raises:
        OSError: as `h5py.File`; `BlockingIOError` where somebody else has the lock.
        UsageError: the environment forbids to do without.
    """
    try:
        return h5py.File(path, mode)
    except OSError as error:
        if not _lockless(error):
            raise
    if mode == "x" and path.exists():  # made by the attempt before
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


def _lockless(error: OSError) -> bool:
    """Whether HDF5 says that no file could be locked there, rather than that somebody holds this one."""
    return "unable to lock file" in str(error) and not isinstance(error, BlockingIOError)


def locked(path: Path) -> bool:
    """Whether a writer is at work on this file: HDF5 locks it as long. The file itself is not looked at."""
    with contextlib.suppress(OSError), path.open("rb") as handle:
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):  # a network gives a file that is open to read the latter
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:  # none of this kind
                continue
            return False
    return False


def reserve(part: Path, size: int) -> None:
    """Raise `OSError` unless the file can grow by `size` bytes (and what HDF5 adds to them).

    HDF5 cannot recover from a failed write: the process may crash when the file is closed. So the room is
    tried out beforehand, on a scratch file as large as this one will be.
    """
    now = part.stat().st_size if part.exists() else 0
    scratch = part.with_name(part.name + ".room")
    scratch.unlink(missing_ok=True)  # left by a killed writer
    try:
        scratch.open("xb").close()  # never what a link points to
        allocate(scratch, now + size + size // 50 + OVERHEAD_BYTES)
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(
    path: Path,
    expected: str = "to write the file",
    remedy: str = "check space and permissions",
) -> Iterator[None]:
    """Turn the operating system's refusals into one line; too little memory is no matter of the disk.

    Args:
        path: what is written, for the message.
        expected, remedy: of the message.

    Raises:
        OutputError: for an `OSError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise
        got = error.strerror or first_line(error)
        raise OutputError(str(path), expected=expected, got=got, remedy=remedy) from None
