"""The folder beside a run file: its checkpoints and its loss curve. No torch is needed here."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import OutputError

__all__ = ["CURVE_NAME", "check_output", "checkpoint_folder", "folder_beside", "write_curve"]

CURVE_NAME = "loss.csv"


def folder_beside(run: Path) -> Path:
    """Where the checkpoints of a run file are.

    >>> folder_beside(Path("runs/fine.h5")).name
    'fine.checkpoints'
    """
    return run.with_name(f"{run.stem}.checkpoints")


def check_output(run: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a run file that cannot or must not be written.

    Raises:
        OutputError: there is something of that name, or of its checkpoints', or its folder cannot be written.
    """
    for path in (run, folder_beside(run)):
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise _refused(path, "a name that is free", "one that exists", "give --overwrite or another -o")
    if run.is_dir():
        raise _refused(run, "a file name", "a folder", "name a file in it, such as run.h5")
    _check_ours(folder_beside(run))
    try:
        with tempfile.TemporaryFile(dir=run.absolute().parent):
            pass
    except OSError as error:
        got = f"{run.absolute().parent}: {error.strerror}"
        raise _refused(run, "a folder that can be written", got, "create it or choose another") from error


@contextmanager
def checkpoint_folder(run: Path) -> Iterator[Path]:
    """A temporary folder to fill; it gets its final name if all goes well, and is removed if not."""
    final = folder_beside(run)
    partial = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=run.absolute().parent))
    try:
        yield partial
        if final.exists():
            _check_ours(final)
            shutil.rmtree(final)
        partial.chmod(0o777 & ~_umask())
        os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_curve(folder: Path, steps: NDArray[np.int64], losses: NDArray[np.float64]) -> None:
    """The loss curve as a table of two columns."""
    rows = [f"{step},{loss:.9g}" for step, loss in zip(steps, losses, strict=True)]
    (folder / CURVE_NAME).write_text("\n".join(["step,loss", *rows]) + "\n", encoding="utf-8")


def _check_ours(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but checkpoints and a loss curve."""
    if not folder.exists():
        return
    foreign = [] if folder.is_dir() else [folder]
    if not foreign:
        foreign = [path for path in folder.iterdir() if path.suffix != ".pt" and path.name != CURVE_NAME]
    if foreign:
        expected = f"a folder of .pt files and {CURVE_NAME}, to replace"
        raise _refused(folder, expected, f"also {foreign[0].name}", "move it away or choose another -o")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refused(path: Path, expected: str, got: str, remedy: str) -> OutputError:
    return OutputError(str(path), expected=expected, got=got, remedy=remedy)
