"""Check the place of a new run file before any work, and leave nothing there after an error."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import h5py

from ntkspec._io import try_folder
from ntkspec.errors import OutputError
from ntkspec.store import schema
from ntkspec.store.unfinished import check_unfinished

Writer = TypeVar("Writer")


def check_new_file(run: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before any work, a run file that cannot or must not be written.

    Args:
        run: the run file.
        overwrite: whether an older run file may be replaced; nothing else ever is.
        inputs: files that are read.

    Raises:
        OutputError: it is one of the inputs, a folder, or another kind of file; its name is taken; or its
            folder is not writable.
    """
    _require_name(run)
    for path in inputs:
        if os.path.exists(run) and os.path.exists(path) and run.samefile(path):
            raise refused(run, "a file to write", f"{path}, which is read", "choose another ⟦-o|output⟧")
    check_free(run, overwrite=overwrite)
    part = schema.part_of(run)
    for path in (run, part):
        if os.path.lexists(path) and not _is_run_file(path):
            expected = "no file, or a run file of ntkspec to replace"
            raise refused(
                path, expected, "another kind of file", "move it away or choose another ⟦-o|output⟧"
            )
    check_unfinished(part, overwrite=overwrite)
    check_can_be_made(run)


def check_place(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` unless a file can be made at `path`, or replaced there if `overwrite`."""
    _require_name(path)
    check_free(path, overwrite=overwrite)
    check_can_be_made(path)


def _require_name(path: Path) -> None:
    if not path.name or os.path.isdir(path):  # os.path, since Path raises at long names
        raise refused(path, "a file name", "a folder", "name a file in it, such as run.h5")


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` if there is a file or folder that may not be replaced."""
    if os.path.lexists(path) and not overwrite:
        remedy = "give ⟦--overwrite=True⟧ or another name"
        raise refused(path, "a name that is free", "one that exists", remedy)


def check_can_be_made(path: Path) -> None:
    """Raise `OutputError` unless a file or folder can be made in the folder of `path`, of a longer name."""
    folder = path.absolute().parent
    try:
        try_folder(folder, f".{path.name}.")
    except OSError as error:
        got, remedy = f"{folder}: {error.strerror}", "choose another folder or a shorter name"
        if not os.path.exists(folder):
            remedy = f"create it, or {remedy}"
        raise refused(path, "a place that can be written", got, remedy) from error


def refused(path: Path, expected: str, got: str, remedy: str) -> OutputError:
    """Return the error about a path."""
    return OutputError(str(path), expected=expected, got=got, remedy=remedy)


def _is_run_file(path: Path) -> bool:
    """Return whether a file is a run file of ntkspec, by its content."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            mark = file.attrs.get("format")
    except OSError:
        return False
    return isinstance(mark, str) and mark == schema.FORMAT


@contextmanager
def all_or_nothing(writer: AbstractContextManager[Writer], run: Path) -> Iterator[Writer]:
    """Enter a writer of a run file; after an error inside, remove the unfinished file that it leaves.

    It is for callers that could not resume it.
    """
    opened = False
    try:
        with writer as entered:
            opened = True
            yield entered
    except BaseException:
        if opened:
            schema.part_of(run).unlink(missing_ok=True)
        raise
