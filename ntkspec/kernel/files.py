"""Write kernels to an HDF5 file, tile by tile; a run that was killed continues with the missing tiles.

`ntkspec.kernel.kernel_file` describes the file.
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

from ntkspec.backend import Backend, Choice, Precision
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel import kernel_file, squares
from ntkspec.kernel.assembly import Assembly, ShareDone, require_finite
from ntkspec.kernel.kernel_file import KernelFile
from ntkspec.kernel.problem import Kernel, blocks_of
from ntkspec.memory import samples_at_once
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

    The budget covers tiles and factors. The kernels lie in the file, whose pages the operating system keeps
    in memory only while it has room. A file that is complete and of the same Jacobian is left as it is. One
    that was interrupted is continued, to the same bits as without the interruption, whoever began it: see
    `ntkspec.shared_kernels.write_kernels_with`.

    Args:
        path: the file to write.
        parts: name -> blocks to add up, as for `ntkspec.kernel.dense.gram_sums`; other arguments likewise.

    Raises:
        OutputError: the file exists and is another one's, is being written, or there is no room for it.
        MemoryBudgetError: the factors of two samples and the tiles at work do not fit.
        UsageError: a name that cannot stand in a file.

    Example:
        >>> import tempfile, h5py, ntkspec
        >>> with tempfile.TemporaryDirectory() as folder, ntkspec.open_run("data/golden/mpe.h5") as run:
        ...     jac = run.snapshot(-1).jacobian
        ...     path = write_kernels(Path(folder) / "kernels.h5", {"total": jac, "grid": jac.only("grid")})
        ...     with h5py.File(path) as file:
        ...         {name: kernel.shape for name, kernel in file["kernels"].items()}
        {'grid': (40, 40), 'total': (40, 40)}
    """
    whole = Jacobian(tuple(blocks_of(parts).values()))
    kernel = Kernel.from_jacobian(whole, outputs, precision=precision, backend=backend, memory=memory)
    return write_sums(Path(path), kernel, parts, progress)


def write_sums(
    path: Path, kernel: Kernel, parts: Mapping[str, Jacobian], progress: ShareDone | None = None
) -> Path:
    """Assemble the kernels of sums of a kernel's blocks into a file; see `write_kernels`."""
    return fill_file(path, kernel, parts, lambda file: _fill(file, progress))


def fill_file(
    path: Path, kernel: Kernel, parts: Mapping[str, Jacobian], fill: Callable[[KernelFile], None]
) -> Path:
    """Open the file of kernels or begin it, have it filled, and give it its name; see `write_kernels`.

    Args:
        path, kernel, parts: as for `write_sums`.
        fill: computes and marks the tiles that are missing; not called where the file is complete.
    """
    kernel_file.check_names(parts)
    plan = Assembly.from_kernel(kernel, parts, targets_given=True)
    attributes = {
        "outputs": str(kernel.outputs),
        "precision": kernel.precision,
        "backend": kernel.backend.name,
    }
    fingerprint = attributes["fingerprint"] = _fingerprint(plan, parts, attributes)
    if path.exists():
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
    """Raise `OutputError` where `write_kernels` would refuse this path, whatever the kernels.

    That is so if a file that is no kernel file is at the path, or beside it where a kernel file is written.
    """
    for place in (path, kernel_file.unfinished_path(path)):
        kernel_file.require_kernel_file(place)
    squares.files_in(path)


def _fill(file: KernelFile, progress: ShareDone | None) -> None:
    """Compute the tiles that are missing, and mark them as done every few seconds."""
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
    """Return a sha256 of all numbers that kernels depend on, of how these are added up, and of settings."""
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
    """Update a hash by an array's shape without samples, its dtype and its bytes."""
    digest.update(repr((values.shape[1:], values.dtype.str)).encode())
    digest.update(np.ascontiguousarray(values).data)
