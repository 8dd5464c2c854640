"""The folder beside a run file: its checkpoints and its loss curve. No torch is needed here."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec._io import hidden_folder, remove_leftovers
from ntkspec.errors import OutputError
from ntkspec.store.disk import writing
from ntkspec.store.schema import FORMAT
from ntkspec.store.unfinished import check_unfinished

__all__ = [
    "CURVE_NAME",
    "all_or_nothing",
    "check_output",
    "check_run_file",
    "checkpoint_folder",
    "folder_beside",
    "is_run_file",
    "part_beside",
    "write_curve",
]

Exporter = TypeVar("Exporter")
CURVE_NAME = "loss.csv"


def folder_beside(run: Path) -> Path:
    """Return the folder for the checkpoints of a run file.

    >>> folder_beside(Path("runs/fine.h5")).name
    'fine.checkpoints'
    """
    return run.with_name(f"{run.stem}.checkpoints")


def part_beside(run: Path) -> Path:
    """Return the name of a run file while it is written."""
    return run.with_name(f"{run.name}.part")


def check_output(run: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before any work, a run file with checkpoints that cannot or must not be written.

    Args:
        run: the run file.
        overwrite: whether an older run file and its checkpoints may be replaced; nothing else ever is.
        inputs: files that the run reads.

    Raises:
        OutputError: the name of the run file or of its checkpoints is taken, or their folder is not writable.
    """
    check_run_file(run, overwrite=overwrite, inputs=inputs)
    _check_free(folder_beside(run), overwrite)
    _check_ours(folder_beside(run))


def check_run_file(run: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse a run file as `check_output` does, but do not check the folder of its checkpoints."""
    if not run.name or os.path.isdir(run):  # os.path, since Path raises at long names
        raise _refused(run, "a file name", "a folder", "name a file in it, such as run.h5")
    for path in inputs:
        if os.path.exists(run) and os.path.exists(path) and run.samefile(path):
            raise _refused(
                run, "a file that this run does not read", f"its input {path}", "choose another name"
            )
    _check_free(run, overwrite)
    for path in (run, part_beside(run)):
        if os.path.exists(path) and not is_run_file(path):
            expected = "no file, or a run file of ntkspec to replace"
            raise _refused(path, expected, "another kind of file", "move it away or choose another name")
    check_unfinished(part_beside(run), overwrite=overwrite)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder_beside(run).name}.", dir=run.absolute().parent):
            pass
    except OSError as error:
        got = f"{run.absolute().parent}: {error.strerror}"
        remedy = "create it, or choose another folder or a shorter name"
        raise _refused(run, "a file that can be written", got, remedy) from error


def _check_free(path: Path, overwrite: bool) -> None:
    if os.path.lexists(path) and not overwrite:
        raise _refused(
            path, "a name that is free", "one that exists", "give ⟦--overwrite=True⟧ or another name"
        )


@contextmanager
def checkpoint_folder(run: Path) -> Iterator[Path]:
    """Make a temporary folder to fill; it gets its final name at a success, and is removed otherwise.

    At a success, files that killed runs left under temporary names of this run file are removed as well.
    """
    final = folder_beside(run)
    with hidden_folder(final) as part:
        yield part
        if final.exists():
            _check_ours(final)
            shutil.rmtree(final)
        os.replace(part, final)
    remove_leftovers(final, lambda path: path.is_dir() and not _foreign(path, unfinished=True))


@contextmanager
def all_or_nothing(exporter: AbstractContextManager[Exporter], run: Path) -> Iterator[Exporter]:
    """Enter an exporter; after an error inside, remove the unfinished file that it leaves to be resumed."""
    opened = False
    try:
        with exporter as entered:
            opened = True
            yield entered
    except BaseException:
        if opened:
            part_beside(run).unlink(missing_ok=True)
        raise


def write_curve(folder: Path, steps: NDArray[np.int64], losses: NDArray[np.float64]) -> None:
    """Write the loss curve as a table of two columns.

    Raises:
        OutputError: it cannot be written.
    """
    rows = [f"{step},{loss:.9g}" for step, loss in zip(steps, losses, strict=True)]
    with writing(folder / CURVE_NAME):
        (folder / CURVE_NAME).write_text("\n".join(["step,loss", *rows]) + "\n", encoding="utf-8")


def _check_ours(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but checkpoints and a loss curve."""
    if not os.path.exists(folder):
        return
    foreign = _foreign(folder) if folder.is_dir() else [folder]
    if foreign:
        expected = f"a folder of .pt files and {CURVE_NAME}, to replace"
        raise _refused(
            folder, expected, f"also {foreign[0].name}", "move it away or choose another ⟦-o|output⟧"
        )


def _foreign(folder: Path, *, unfinished: bool = False) -> list[Path]:
    """Return the paths in a folder that training does not write; `unfinished` files are its own if asked."""
    ours = {".pt", ".part"} if unfinished else {".pt"}
    return [
        path
        for path in folder.iterdir()
        if not path.is_file() or (path.suffix not in ours and path.name != CURVE_NAME)
    ]


def is_run_file(path: Path) -> bool:
    """Return whether a file is a run file of ntkspec, by its content."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            mark = file.attrs.get("format")
    except OSError:
        return False
    return isinstance(mark, str) and mark == FORMAT


def _refused(path: Path, expected: str, got: str, remedy: str) -> OutputError:
    return OutputError(str(path), expected=expected, got=got, remedy=remedy)
