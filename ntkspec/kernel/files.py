"""Write kernels to an HDF5 file tile by tile. After an interruption the next run computes the missing tiles.

The format of the file is described in `ntkspec.kernel.kernel_file`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.functions import as_function
from ntkspec.backend import Backend, Choice, Precision
from ntkspec.errors import named_path
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel import kernel_file, squares
from ntkspec.kernel.assembly import Assembly, ShareDone, require_finite
from ntkspec.kernel.kernel_file import KernelFile
from ntkspec.kernel.problem import Kernel, blocks_of
from ntkspec.kernel.value_range import check_range
from ntkspec.machine.memory import samples_at_once
from ntkspec.store.disk import writing

SECONDS = 5.0  # between writes to disk
PIECE_BYTES = 2**26  # of a factor, hashed at once


def write_kernels(
    path: str | Path,
    parts: Mapping[str, Jacobian],
    outputs: Outputs = "trace",
    *,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    progress: ShareDone | None = None,
) -> Path:
    """Assemble kernels tile by tile into an HDF5 file; return its path.

    The budget covers tiles and factors. The kernels are in the file, and the operating system keeps its pages
    in memory only while there is room. A complete file of the same Jacobian and settings is not changed. An
    interrupted file is continued, and the result has the same bits as without the interruption. It may also
    have been begun by `ntkspec.runs.shared_kernels.write_kernels_with`.

    Args:
        path: the file to write.
        parts: name -> blocks to add up.
        outputs, precision, backend, memory, progress: as for `ntkspec.kernel.dense.gram_sums`.

    Raises:
        OutputError: the file exists and holds something else, another process is writing it, or the disk is
            full.
        MemoryBudgetError: the factors of two samples and the tiles in use do not fit.
        UsageError: a name cannot be used in the file, or a kernel is out of range; see `check_range`.

    Example:
        >>> import tempfile, h5py, ntkspec
        >>> with tempfile.TemporaryDirectory() as folder, ntkspec.open_run("data/golden/mpe.h5") as run:
        ...     jac = run.snapshot(-1).jacobian
        ...     path = write_kernels(Path(folder) / "kernels.h5", {"total": jac, "grid": jac.only("grid")})
        ...     with h5py.File(path) as file:
        ...         {name: kernel.shape for name, kernel in file["kernels"].items()}
        {'grid': (40, 40), 'total': (40, 40)}
    """
    path, progress = named_path(path), as_function(progress, "progress")
    whole = Jacobian(tuple(blocks_of(parts).values()))
    kernel = Kernel.from_jacobian(whole, outputs, precision=precision, backend=backend, memory=memory)
    for name, part in parts.items():
        check_range(kernel.only(part), f"kernel {name}")
    return write_sums(path, kernel, parts, progress)


def write_sums(
    path: Path, kernel: Kernel, parts: Mapping[str, Jacobian], progress: ShareDone | None = None
) -> Path:
    """Assemble the kernels of sums of a kernel's blocks into a file; see `write_kernels`."""
    return fill_file(path, kernel, parts, lambda file: _fill(file, progress))


def fill_file(
    path: Path, kernel: Kernel, parts: Mapping[str, Jacobian], fill: Callable[[KernelFile], None]
) -> Path:
    """Create or reopen an unfinished kernel file, call `fill`, and rename the file to `path`.

    See `write_kernels`, also for what is raised.

    Args:
        path, kernel, parts: as for `write_sums`.
        fill: computes the missing tiles and marks them as done; not called if the file is complete.
    """
    kernel_file.check_names(parts)
    plan = Assembly.from_kernel(kernel, parts, targets_given=True)
    attributes = {
        "outputs": str(kernel.outputs),
        "precision": kernel.precision,
        "backend": kernel.backend.name,
    }
    fingerprint = attributes["fingerprint"] = _fingerprint(plan, parts, attributes)
    if os.path.exists(path):  # Path raises at long names
        kernel_file.require_same(path, fingerprint)
        return path
    kernel_file.begin(path, plan, attributes)
    with kernel_file.continued(path, plan, fingerprint) as file:
        squares.take_up(file)
        fill(file)
        require_finite(file.kernels, kernel.precision)
        with writing(path):
            squares.remove_folder(path)
            os.replace(kernel_file.unfinished_path(path), path)
    return path


def check_kernel_file(path: Path) -> None:
    """Raise `OutputError` if `write_kernels` would refuse this path for all kernels.

    It would if another kind of file is at `path`, or at the path that a file has while it is being written.
    """
    for place in (path, kernel_file.unfinished_path(path)):
        kernel_file.require_kernel_file(place)
    squares.files_in(path)


def _fill(file: KernelFile, progress: ShareDone | None) -> None:
    """Compute the missing tiles; every few seconds write them to disk and mark them as done."""
    computed: list[tuple[int, int]] = []
    last = time.monotonic()
    for first_samples, share in file.plan.run(file.kernels, file.has):
        computed.append(first_samples)
        if time.monotonic() - last > SECONDS:
            file.mark(computed)
            computed.clear()
            last = time.monotonic()
        if progress:
            progress(share)
    file.mark(computed)


def _fingerprint(plan: Assembly, parts: Mapping[str, Jacobian], settings: Mapping[str, str]) -> str:
    """Return a sha256 of all numbers of the factors, of the blocks in each sum, and of the settings."""
    digest = hashlib.sha256(repr((kernel_file.VERSION, sorted(settings.items()))).encode())
    for name, jacobian in parts.items():
        digest.update(repr((name, jacobian.names)).encode())
    for block in plan.kernel.rows:
        for factor in block.factors:
            digest.update(repr((block.name, not factor.arrays)).encode())
            step = samples_at_once(PIECE_BYTES, block.samples, factor.nbytes)
            for start in range(0, block.samples, step):
                arrays = factor.load(start, min(start + step, block.samples)).arrays
                for name in sorted(arrays, reverse=True):  # values first
                    _hash(digest, arrays[name])
    return digest.hexdigest()


def _hash(digest: Any, values: NDArray[Any]) -> None:
    """Update a hash with an array's shape (without the axis of samples), dtype and bytes."""
    digest.update(repr((values.shape[1:], values.dtype.str)).encode())
    digest.update(np.ascontiguousarray(values).data)
