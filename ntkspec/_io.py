"""Write files and folders completely or not at all, lock them, and show an exception in one line."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LONGEST = 160  # characters of an exception's message that are shown
PIECE = 2**20  # bytes that are written at once to allocate a file


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, cut if it is long, or its type if it has none.

    A line that ends with a colon is followed by the next one, which says what it announces.

    Args:
        error: any exception.

    Example:
        >>> first_line(ValueError("no such axis\\nsee the docs")), first_line(KeyError())
        ('no such axis', 'KeyError')
    """
    line, *others = (str(error).strip() or type(error).__name__).splitlines()
    line = " ".join([line, others[0].strip()]) if others and line.endswith(":") else line
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def type_and_line(error: BaseException) -> str:
    """Return the type of an exception, and the first line of its message if it has one.

    Example:
        >>> type_and_line(ValueError("no such axis\\nsee the docs")), type_and_line(AssertionError())
        ('ValueError: no such axis', 'AssertionError')
    """
    name, message = type(error).__name__, first_line(error)
    return name if message == name else f"{name}: {message}"


def try_folder(folder: Path, prefix: str) -> None:
    """Make a folder in a folder, and remove it: who may write is hard to tell otherwise.

    An interruption, such as Ctrl-C, removes it, too.

    Args:
        folder: where.
        prefix: of its name, which is eight characters longer.

    Raises:
        OSError: it cannot be made.
    """
    made = folder / f"{prefix}{secrets.token_hex(4)}"
    try:
        made.mkdir()
    finally:
        with suppress(OSError):
            made.rmdir()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a new file to write to, which replaces `target` at the end, once it is on the disk.

    The new file is hidden beside `target`, and locked; the folder must exist. On any failure the new file is
    removed, and `target` is left as it was.
    """
    part = beside(target, "part")
    try:
        part.touch()
        with locked(part):
            yield part
            with part.open("rb+") as handle:
                wait_for_disk(handle.fileno())
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def hidden_folder(target: Path) -> Iterator[Path]:
    """Make a new folder beside `target`, locked inside the `with` block and removed after it.

    Whoever wants to keep the folder renames it before the block ends.
    """
    part = beside(target, "part")
    try:
        part.mkdir()
        with locked(part):
            yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def beside(target: Path, ending: str) -> Path:
    """Return a new hidden path in the folder of `target`, so that a rename stays within one file system."""
    return target.with_name(f"{_start(target)}{secrets.token_hex(4)}.{ending}")


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool | None]:
    """Lock an existing file or folder until the `with` block ends or the process dies.

    Args:
        path: what to lock; no symbolic link.
        wait: whether to wait for a process that holds it.

    Yields:
        True: it is locked. False: a living process holds it. None: it cannot be opened, or its file system
        has no locks.
    """
    # Over a network, only who may write may have a file alone; a folder cannot be opened so.
    access = os.O_RDWR if path.is_file() and os.access(path, os.W_OK) else os.O_RDONLY
    try:
        handle = os.open(path, access | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield take_lock(handle, wait=wait)
    finally:
        release_lock(handle)
        os.close(handle)


def take_lock(handle: int, *, shared: bool = False, wait: bool = False) -> bool | None:
    """Lock an open file or folder until it is closed.

    Args:
        handle: its descriptor.
        shared: whether others may lock it so, too.
        wait: whether to wait for a process that holds it.

    Returns:
        True: it is locked. False: another process holds it. None: its file system has no such locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def release_lock(handle: int) -> None:
    """Release the lock of an open file; closing does not while processes forked since have the file open."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


def remove_leftovers(target: Path, ours: Callable[[Path], bool]) -> None:
    """Remove the hidden files and folders that killed processes left beside `target`.

    Args:
        target: what those processes were writing.
        ours: returns whether a path may be removed; a path that another process has locked is never removed.
    """
    name = re.compile(re.escape(_start(target)) + r"[0-9a-f]{8}\.(part|old)")
    with suppress(OSError):
        for path in list(target.parent.iterdir()):
            if name.fullmatch(path.name) and not path.is_symlink():
                with locked(path) as free, suppress(OSError):
                    if free and ours(path):
                        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def new_parents(target: Path) -> Iterator[None]:
    """Make the folders above `target`; after a failure inside, remove those that were made and are empty."""
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def allocate(path: Path, size: int, start: int = 0) -> None:
    """Make an existing file `size` bytes long, with room on the disk for those from `start` on.

    Raises:
        OSError: there is no room.
    """
    with path.open("r+b") as handle:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), start, size - start)
        else:  # macOS
            _write_throughout(handle, start, size)


def _write_throughout(handle: BinaryIO, start: int, size: int) -> None:
    """Write the bytes start:size of a file, those that it has and zeros behind, so that it has no holes."""
    for first in range(start, size, PIECE):
        stop = min(first + PIECE, size)
        handle.seek(first)
        content = handle.read(stop - first)
        handle.seek(first)
        handle.write(content.ljust(stop - first, b"\0"))


def wait_for_disk(handle: int) -> None:
    """Wait until what was written to an open file is on the disk, not only in the cache of a drive.

    Args:
        handle: its descriptor.
    """
    # Only macOS has this command: its fsync leaves the numbers in the cache.
    command: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if command is not None:
        with suppress(OSError):  # a file system that does not know it
            fcntl.fcntl(handle, command)
            return
    os.fsync(handle)


def _start(target: Path) -> str:
    """Return the prefix of hidden names, short enough for any file system and for any name of the target."""
    return f".{os.fsencode(target.name)[:100].decode('utf-8', 'ignore')}."
