"""The folder beside a run file: its checkpoints and its loss curve. No torch is needed here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ntkspec._io import hidden_folder, remove_leftovers
from ntkspec.store.disk import writing
from ntkspec.store.new_file import check_can_be_made, check_free, check_new_file, refused

CURVE_NAME = "loss.csv"


def folder_beside(run: Path) -> Path:
    """Return the folder for the checkpoints of a run file.

    >>> folder_beside(Path("runs/fine.h5")).name
    'fine.checkpoints'
    """
    return run.with_name(f"{run.stem}.checkpoints")


def check_output(run: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before any work, a run file with checkpoints that cannot or must not be written.

    Args:
        run: the run file.
        overwrite: whether an older run file and its checkpoints may be replaced; nothing else ever is.
        inputs: files that the run reads.

    Raises:
        OutputError: the name of the run file or of its checkpoints is taken, or their folder is not writable.
    """
    check_new_file(run, overwrite=overwrite, inputs=inputs)
    folder = folder_beside(run)
    check_free(folder, overwrite=overwrite)
    _check_ours(folder)
    check_can_be_made(folder)


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
        raise refused(
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
