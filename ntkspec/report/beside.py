"""Hidden names beside an output, under which it is made, and what killed runs left under such names."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def beside(target: Path, ending: str) -> Path:
    """A hidden name of its own in the same folder, so that a rename stays on one file system."""
    return target.with_name(f"{_start(target)}{secrets.token_hex(4)}.{ending}")


@contextmanager
def hidden_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, held as long as this lasts; then removed, if it is still there."""
    part = beside(target, "part")
    try:
        part.mkdir()
        with held(part):
            yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def hidden_file(target: Path) -> Iterator[Path]:
    """A new file beside `target`, as `hidden_folder`."""
    part = beside(target, "part")
    try:
        part.touch()
        with held(part):
            yield part
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether a file or folder could be locked: not while a living process has it. The lock dies with us."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except OSError:  # somebody holds it, or the file system has no locks
            locked = False
        yield locked
    finally:
        os.close(handle)


def remove_leftovers(target: Path, ours: Callable[[Path], bool]) -> None:
    """Remove what killed runs left beside `target`: under hidden names, held by nobody, `ours` to remove."""
    name = re.compile(re.escape(_start(target)) + r"[0-9a-f]{8}\.(part|old)")
    with suppress(OSError):
        for path in list(target.parent.iterdir()):
            if name.fullmatch(path.name) and not path.is_symlink():
                with held(path) as nobody, suppress(OSError):
                    if nobody and ours(path):
                        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def new_parents(target: Path) -> Iterator[None]:
    """Make the folders above `target`; on any failure take away those that were made and are empty."""
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def _start(target: Path) -> str:
    """How hidden names begin: short enough for any file system, whatever the target's name."""
    return f".{os.fsencode(target.name)[:100].decode('utf-8', 'ignore')}."
