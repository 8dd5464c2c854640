"""Kernel files: created at their full size, filled through a memory map, with a mark for every tile.

A file is called <path>.part while it is being written, then <path>. It contains

    attributes       format "ntkspec-kernel", version 1, fingerprint, outputs, precision, backend, step
    kernels/<name>   (N, N) a sum of blocks, symmetric, contiguous
    done             (strips, strips) 1 if the tile in this row and column of tiles is in the file, else 0

The datasets are created before the first tile, and tiles are written through a memory map. The structures of
HDF5 itself do not change after that, so the file stays readable if the process is killed at any moment.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec._io import allocate, locked, remove_leftovers, replacing
from ntkspec.errors import MemoryBudgetError, OutputError, UsageError, shown
from ntkspec.kernel import tiles
from ntkspec.kernel.assembly import Assembly
from ntkspec.store.disk import writing
from ntkspec.store.schema import KERNELS_FORMAT as FORMAT

VERSION = 1
KERNELS, DONE = "kernels", "done"


@dataclass(frozen=True, eq=False)
class KernelFile:
    """An unfinished kernel file that this process has locked and is filling."""

    path: Path  # of the complete file; until then it is at `unfinished_path(path)`
    fingerprint: str
    plan: Assembly  # in the tiles that the file was begun with, on which its bits depend
    kernels: Mapping[str, NDArray[Any]]  # name -> (N, N), in the memory map
    done: NDArray[np.uint8]  # (strips, strips), in the memory map
    memory: mmap.mmap

    def has(self, row: int, column: int) -> bool:
        """Return whether the tile that begins at the samples (row, column) is in the file."""
        step = self.plan.tiling.step
        return bool(self.done[row // step, column // step])

    @property
    def share(self) -> float:
        """Return the share of the tiles that are in the file."""
        strips = len(self.done)
        return float(self.done.sum(dtype=np.int64)) / (strips * (strips + 1) // 2)

    def mark(self, computed: Iterable[tuple[int, int]]) -> None:
        """Write the memory map to disk, then mark tiles, given by their first samples, as done.

        The order ensures that after a power cut no tile is marked that is not on disk.
        """
        step = self.plan.tiling.step
        with writing(self.path):
            self.memory.flush()
            for row, column in computed:
                self.done[row // step, column // step] = 1
            self.memory.flush()
            self.memory.madvise(mmap.MADV_DONTNEED)  # frees the pages: their content is on disk


def unfinished_path(path: Path) -> Path:
    """Return the path of a kernel file while it is being written."""
    return path.with_name(path.name + ".part")


def begin(path: Path, plan: Assembly, attributes: Mapping[str, str]) -> None:
    """Create a kernel file with room for all tiles, unless it was begun already.

    Args:
        path: path of the complete file.
        plan: the kernels to assemble.
        attributes: attributes of the file, with its fingerprint.

    Raises:
        OutputError: there is no room for it on the disk.
    """
    folder = Path(os.path.realpath(path.parent))  # Path.resolve raises at links to themselves
    with writing(path), locked(folder, wait=True):  # other writers that begin files here wait
        if not unfinished_path(path).exists():
            _lay_out(unfinished_path(path), plan, attributes)


@contextlib.contextmanager
def continued(path: Path, plan: Assembly, fingerprint: str) -> Iterator[KernelFile]:
    """Open a kernel file that was begun, and lock it against other writers meanwhile.

    Raises:
        OutputError: the file holds other kernels, or another process is writing it.
        MemoryBudgetError: the tiles with which it was begun do not fit the budget of the plan.
    """
    unfinished = unfinished_path(path)
    with contextlib.ExitStack() as stack:
        with writing(path):
            stack.enter_context(_locked(unfinished))
            require_same(unfinished, fingerprint)
            opened = _mapped(path, _as_begun(unfinished, plan), fingerprint)
        yield opened


def require_same(path: Path, fingerprint: str) -> None:
    """Raise `OutputError` unless the file holds, or will hold, the kernels with this fingerprint."""
    attributes = _attributes(path)
    of_kernels = attributes.get("format") == FORMAT
    if not of_kernels or attributes.get("fingerprint") != fingerprint:
        raise not_ours(
            path, "kernels of another Jacobian, or of other settings" if of_kernels else "another file"
        )


def require_kernel_file(path: Path) -> None:
    """Raise `OutputError` if a file exists at `path` and is not a kernel file."""
    if os.path.lexists(path) and _attributes(path).get("format") != FORMAT:
        raise not_ours(path, "another file")


def not_ours(path: Path, got: str) -> OutputError:
    """Return the `OutputError` to raise if something other than the kernel file is at `path`."""
    expected, remedy = "no file, or one of these kernels", "remove it or choose another place"
    return OutputError(str(path), expected=expected, got=got, remedy=remedy)


def check_names(names: Iterable[str]) -> None:
    """Raise `UsageError` if names of kernels cannot be names of datasets, or two would have the same name."""
    names = list(names)
    if not all(isinstance(name, str) and name not in ("", ".", "..") for name in names) or len(
        set(map(_dataset, names))
    ) < len(names):
        raise UsageError(
            "names of kernels",
            expected="names that can stand in a file, and differ there",
            got=", ".join(map(shown, names)),
            remedy="choose others; '/' is written as '|'",
        )


def _mapped(path: Path, plan: Assembly, fingerprint: str) -> KernelFile:
    """Map the datasets of a kernel file into memory."""
    unfinished = unfinished_path(path)
    with _open(unfinished, "r") as file:
        offsets = {name: int(file[_dataset(name)].id.get_offset()) for name in plan.names}
        done_offset, strips = int(file[DONE].id.get_offset()), file[DONE].shape
    with unfinished.open("r+b") as handle:
        memory = mmap.mmap(handle.fileno(), 0)  # closed when the last array in it is deleted
    kernels = {
        name: np.ndarray(plan.kernel.shape, plan.kernel.dtype, memory, offset)
        for name, offset in offsets.items()
    }
    done = np.ndarray(strips, np.uint8, memory, done_offset)
    return KernelFile(path, fingerprint, plan, kernels, done, memory)


def _as_begun(unfinished: Path, plan: Assembly) -> Assembly:
    """Return the plan with the tile size with which the file was begun: the bits of kernels depend on it."""
    with _open(unfinished, "r") as file:
        step = int(file.attrs["step"])
    if step > plan.tiling.step:
        raise MemoryBudgetError(
            str(unfinished),
            expected=f"room for tiles of {step} samples, as it began",
            got=f"a budget for {plan.tiling.step}",
            remedy="raise ⟦--memory⟧, or remove the file to begin again",
        )
    tiling = tiles.Tiling.from_sizes(plan.kernel, plan.tiling.panel, step * plan.kernel.repeat)
    return replace(plan, tiling=tiling)


def _lay_out(unfinished: Path, plan: Assembly, attributes: Mapping[str, str]) -> None:
    """Create the file with all datasets at full size, under a temporary name until this is done."""
    strips = -(-plan.kernel.rows.samples // plan.tiling.step)
    with replacing(unfinished) as new:
        with _open(new, "w") as file:
            file.attrs.update({"format": FORMAT, "version": VERSION, "step": plan.tiling.step, **attributes})
            file.create_group(KERNELS)
            for name in plan.names:
                _contiguous(file, _dataset(name), plan.kernel.shape, plan.kernel.dtype)
            _contiguous(file, DONE, (strips, strips), np.dtype(np.uint8))
        allocate(new, new.stat().st_size)
    remove_leftovers(unfinished, lambda path: path.is_file())


def _contiguous(file: h5py.File, name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """Create a contiguous dataset whose space is allocated at once; in a new file it reads as zeros."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
    h5py.h5d.create(file.id, name.encode(), kind, space, settings)


def _dataset(name: str) -> str:
    """Return the path of a kernel's dataset; "/" in its name, which HDF5 reads as a group, becomes "|"."""
    return f"{KERNELS}/{name.replace('/', '|')}"


def _open(path: Path, mode: str) -> h5py.File:
    """Open a file without HDF5's own lock, which would conflict with ours."""
    return h5py.File(path, mode, locking=False)


def _attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of an HDF5 file; an empty dict if the file is not HDF5."""
    try:
        with _open(path, "r") as file:
            return dict(file.attrs)
    except OSError:
        return {}


@contextlib.contextmanager
def _locked(unfinished: Path) -> Iterator[None]:
    """Lock a file in the `with` block; raise `OutputError` if another process has locked it."""
    with locked(unfinished) as free:
        if free is False:
            raise OutputError(
                str(unfinished),
                expected="a file that nobody else is writing",
                got="one that another process is at work on",
                remedy="wait for it, or choose another place",
            )
        yield
