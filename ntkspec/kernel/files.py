"""Kernels in an HDF5 file, assembled tile by tile; a killed run goes on at the tiles that are missing.

    path.part while it is being written, then path:
        attributes       format "ntkspec-kernel", version 1, fingerprint, outputs, precision, panel, step
        kernels/<name>   (N, N) a sum of blocks, symmetric, contiguous
        done             (strips, strips) 1 where the tile with that row and column of strips is there

The datasets are laid out before the first tile, and tiles go through a memory map: nothing that HDF5 itself
keeps in the file changes meanwhile, so there is no moment at which a kill could damage it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Backend, Choice, Precision
from ntkspec.errors import MemoryBudgetError, OutputError, UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.dense import Assembly, Progress, require_finite
from ntkspec.kernel.problem import Kernel, blocks_of
from ntkspec.memory import samples_at_once
from ntkspec.store.disk import writing

FORMAT, VERSION = "ntkspec-kernel", 1
KERNELS, DONE = "kernels", "done"
SECONDS = 5.0  # between two moments at which what was computed is made safe
PANEL_BYTES = 2**26  # of a factor, hashed at once


def write_kernels(
    path: str | Path,
    parts: Mapping[str, Jacobian],
    outputs: Outputs = "trace",
    *,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Assemble kernels into a file; returns its path.

    The budget covers tiles and panels of factors. The kernels lie in the file, whose pages the operating
    system keeps in memory only while it has room. A file that is complete and of the same Jacobian is left as
    it is; one that was interrupted is continued, to the same bits as without the interruption.

    Args:
        path: the file to write.
        parts: name -> blocks to add up, as for `ntkspec.kernel.dense.gram_sums`; other arguments likewise.

    Raises:
        OutputError: the file exists and is another one's, is being written, or there is no room for it.
        MemoryBudgetError: the factors of two samples and the tiles at work do not fit.
        UsageError: a name that cannot stand in a file.
    """
    whole = Jacobian(tuple(blocks_of(parts).values()))
    kernel = Kernel.of(whole, outputs, precision=precision, backend=backend, memory=memory)
    return write_sums(Path(path), kernel, parts, progress)


def write_sums(
    path: Path, kernel: Kernel, parts: Mapping[str, Jacobian], progress: Progress | None = None
) -> Path:
    """Assemble the kernels of sums of a kernel's blocks into a file; see `write_kernels`."""
    _check_names(parts)
    plan = Assembly.of(kernel, parts, targets_given=True)
    said = {
        "outputs": str(kernel.outputs),
        "precision": kernel.precision,
        "backend": kernel.backend.name,
    }
    said["fingerprint"] = _fingerprint(plan, parts, said)
    if path.exists():
        _require_same(path, said["fingerprint"])
        return path
    part = path.with_name(path.name + ".part")
    with writing(path), _alone_in(path.parent):
        if not part.exists():
            _lay_out(part, plan, said)
    with writing(path), _locked(part):
        _require_same(part, said["fingerprint"])
        _assemble(part, _as_begun(part, plan), progress)
        os.replace(part, path)
    return path


def check_kernel_file(path: Path) -> None:
    """Raise `OutputError` where `write_kernels` would refuse this path, whatever the kernels.

    That is where the file, or the one that it is called while it is written, exists and is no kernel file.
    """
    for place in (path, path.with_name(path.name + ".part")):
        if os.path.lexists(place) and _attributes(place).get("format") != FORMAT:
            raise _not_ours(place, "another file")


def _assemble(part: Path, plan: Assembly, progress: Progress | None) -> None:
    with _open(part, "r") as file:
        offsets = {name: int(file[_dataset(name)].id.get_offset()) for name in plan.names}
        marks, strips = int(file[DONE].id.get_offset()), file[DONE].shape
    with part.open("r+b") as handle:
        memory = mmap.mmap(handle.fileno(), 0)  # closed with the last array that looks into it
    kernels = {
        name: np.ndarray(plan.kernel.shape, plan.kernel.dtype, memory, offset)
        for name, offset in offsets.items()
    }
    _fill(memory, kernels, np.ndarray(strips, np.uint8, memory, marks), plan, progress)


def _fill(
    memory: mmap.mmap,
    kernels: Mapping[str, NDArray[Any]],
    done: NDArray[np.uint8],
    plan: Assembly,
    progress: Progress | None,
) -> None:
    """Compute the tiles that are missing, and mark them."""
    step = plan.tiling.step
    waiting: list[tuple[int, int]] = []

    def keep() -> None:
        """Tiles first, then the marks that they are there: a power cut must not find it the other way."""
        memory.flush()
        for row, column in waiting:
            done[row // step, column // step] = 1
        waiting.clear()
        memory.flush()
        memory.madvise(mmap.MADV_DONTNEED)  # our memory need not hold what the file does

    last = time.monotonic()
    for at, share in plan.run(kernels, lambda row, column: bool(done[row // step, column // step])):
        waiting.append(at)
        if time.monotonic() - last > SECONDS:
            keep()
            last = time.monotonic()
        if progress:
            progress(share)
    keep()
    require_finite(kernels, plan.kernel.precision)


def _open(path: Path, mode: str) -> h5py.File:
    """Without HDF5's own lock, which ours would keep out."""
    return h5py.File(path, mode, locking=False)


def _lay_out(part: Path, plan: Assembly, said: Mapping[str, str]) -> None:
    """Everything but the numbers, and room for them; nothing is there before all is."""
    new = part.with_name(part.name + ".new")
    strips = -(-plan.kernel.rows.samples // plan.tiling.step)
    try:
        with _open(new, "w") as file:
            grid = {"panel": plan.tiling.panel, "step": plan.tiling.step}
            file.attrs.update({"format": FORMAT, "version": VERSION, **said, **grid})
            file.create_group(KERNELS)
            for name in plan.names:
                _contiguous(file, _dataset(name), plan.kernel.shape, plan.kernel.dtype)
            _contiguous(file, DONE, (strips, strips), np.dtype(np.uint8))
        with new.open("r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, new.stat().st_size)
            os.fsync(handle.fileno())
        os.replace(new, part)
    finally:
        new.unlink(missing_ok=True)


def _contiguous(file: h5py.File, name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """A dataset that has its place in the file at once; a new file reads as zeros there."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
    h5py.h5d.create(file.id, name.encode(), kind, space, settings)


def _dataset(name: str) -> str:
    """Where a kernel lies: under its name, without the sign that HDF5 keeps for folders."""
    return f"{KERNELS}/{name.replace('/', '|')}"


def _check_names(names: Iterable[str]) -> None:
    names = list(names)
    if {"", ".", ".."} & set(names) or len(set(map(_dataset, names))) < len(names):
        raise UsageError(
            "names of kernels",
            expected="names that can stand in a file, and differ there",
            got=", ".join(map(repr, names)),
            remedy="choose others; '/' is written as '|'",
        )


def _as_begun(part: Path, plan: Assembly) -> Assembly:
    """The plan with the panels and tiles that the file was begun with, on which its bits depend."""
    with _open(part, "r") as file:
        tiling = replace(plan.tiling, panel=int(file.attrs["panel"]), step=int(file.attrs["step"]))
    if tiling.panel > plan.tiling.panel or tiling.step > plan.tiling.step:
        raise MemoryBudgetError(
            str(part),
            expected=f"room for {tiling.panel} samples at a time, in tiles of {tiling.step}, as it began",
            got=f"a budget for {plan.tiling.panel}, in tiles of {plan.tiling.step}",
            remedy="raise --memory, or remove the file to begin again",
        )
    return replace(plan, tiling=tiling)


def _require_same(path: Path, mark: str) -> None:
    """Raise `OutputError` unless the file holds, or will hold, the kernels of this Jacobian."""
    found = _attributes(path)
    own = found.get("format") == FORMAT
    if not own or found.get("fingerprint") != mark:
        raise _not_ours(path, "kernels of another Jacobian, or of other settings" if own else "another file")


def _attributes(path: Path) -> dict[str, Any]:
    """What the file says of itself; nothing where it is no HDF5 file."""
    try:
        with _open(path, "r") as file:
            return dict(file.attrs)
    except OSError:
        return {}


def _not_ours(path: Path, got: str) -> OutputError:
    expected, remedy = "no file, or one of these kernels", "remove it or choose another place"
    return OutputError(str(path), expected=expected, got=got, remedy=remedy)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Of several writers that begin files in this folder, one at a time; waits."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Hold the file alone."""
    with part.open("r+b") as handle:  # over a network, only who may write may have a file alone
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                str(part),
                expected="a file that nobody else is writing",
                got="one that another process is at work on",
                remedy="wait for it, or choose another place",
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def _fingerprint(plan: Assembly, parts: Mapping[str, Jacobian], said: Mapping[str, str]) -> str:
    """sha256 over every number that the kernels depend on, how they are added up, and on what."""
    found = hashlib.sha256(repr((VERSION, sorted(said.items()))).encode())
    for name, jacobian in parts.items():
        found.update(repr((name, jacobian.names)).encode())
    for block in plan.kernel.rows:
        for side in block.factors:
            found.update(repr((block.name, not side.arrays)).encode())
            step = samples_at_once(PANEL_BYTES, block.samples, side.nbytes)
            for start in range(0, block.samples, step):
                arrays = side.load(start, min(start + step, block.samples)).arrays
                for name in sorted(arrays, reverse=True):  # values first
                    _hash(found, arrays[name])
    return found.hexdigest()


def _hash(found: Any, values: NDArray[Any]) -> None:
    found.update(repr((values.shape[1:], values.dtype.str)).encode())
    found.update(np.ascontiguousarray(values).data)
