"""Open a run file as an HDF5 file; for other files raise errors that say what they are instead."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from ntkspec._io import first_line
from ntkspec.errors import RunFileError
from ntkspec.store import schema
from ntkspec.store.disk import open_hdf5


def check_is_file(path: Path) -> None:
    """Raise `RunFileError` unless the path is that of a file, rather than of a folder or a device."""
    if not os.path.exists(path):  # Path raises at long names
        part = schema.part_of(path)
        unfinished = f"{part} is there, which its writer has not finished"
        remedy = unfinished if os.path.exists(part) else "check the path"
        raise RunFileError(str(path), expected="a run file", got="no such file", remedy=remedy)
    if path.is_dir():
        raise RunFileError(str(path), expected="a run file", got="a folder", remedy="name the .h5 file in it")
    if not path.is_file():
        raise RunFileError(str(path), expected="a run file", got="a device or pipe", remedy="name a file")


def open_for_reading(path: Path) -> h5py.File:
    """Open an HDF5 file; raise `RunFileError` where it is empty, damaged, locked or of another kind."""
    try:
        if path.stat().st_size == 0:
            raise not_a_run_file(path, "an empty file")
        with path.open("rb"):
            pass
        if not h5py.is_hdf5(path):
            raise not_a_run_file(path, "a file that is not HDF5")
        return open_hdf5(path, "r")
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise RunFileError(
            str(path),
            expected="a readable HDF5 file",
            got=f"a damaged or locked one ({reason})",
            remedy="copy or export it again; wait if it is being written",
        ) from None


def not_a_run_file(path: Path, got: str) -> RunFileError:
    """Return the `RunFileError` for a file that is not a run file; `got` says what it is instead."""
    return RunFileError(
        str(path),
        expected=f"a run file (HDF5, format {schema.FORMAT!r})",
        got=got,
        remedy="see docs/run-format.md",
    )
