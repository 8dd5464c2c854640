"""Eigenvalues of a formed kernel as contenders: LAPACK through NumPy, SciPy and PyTorch, and ntkspec.

Every call gets a fresh copy of the kernel from its file, outside of the timing, and may destroy it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from records import Case, Contender, Row, Work, derived

NUMPY, TORCH = "numpy eigvalsh", "torch eigvalsh"
EV, EVD, EVR = "scipy eigh ev", "scipy eigh evd", "scipy eigh evr"
OURS = "ntkspec eigvalsh"
Solver = Callable[[Any], Any]


def kernel_file(folder: str | Path, network: str) -> Path:
    """Where `prepare` leaves the kernel."""
    return Path(folder) / f"{network}-kernel.npy"


def write_kernel(folder: Path, network: str, run: Path) -> None:
    """The kernel of a run file's samples."""
    import numpy as np

    import ntkspec

    with ntkspec.open_run(run) as opened:
        np.save(kernel_file(folder, network), ntkspec.gram(opened.snapshot(-1).jacobian, backend="cpu"))


def contender(make: Callable[[], Solver], reference: bool = False) -> Contender:
    """A solver; the reference's eigenvalues are kept for the others to be compared with."""

    def set_up(case: Case) -> Work:
        solver = make()
        return Work(solver, lambda values: _facts(values, case, reference), lambda: (_kernel(case),))

    return Contender(set_up)


def error(values: Any, case: Case) -> dict[str, Any]:
    """Largest difference of ascending eigenvalues from the reference's, over the largest; if it ran."""
    import numpy as np

    reference = _reference_file(case)
    if not reference.exists():
        return {}
    expected = np.load(reference)
    return {"error": float(np.abs(np.asarray(values) - expected).max() / expected[-1])}


def beyond(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Peak memory beyond the kernel itself, in kernels."""
    for row in rows:
        if row.status == "ok" and row.contender in SOLVERS:
            kernel = 8 * row.samples**2
            more = row.peak_bytes - row.start_bytes - kernel
            yield derived(row, beyond_bytes=more, kernels=more / kernel)


def _numpy() -> Solver:
    import numpy as np

    return np.linalg.eigvalsh


def _scipy(driver: str) -> Callable[[], Solver]:
    """In place: the transpose is the Fortran order that LAPACK wants."""

    def make() -> Solver:
        import scipy.linalg

        options = {"eigvals_only": True, "overwrite_a": True, "check_finite": False, "driver": driver}
        return lambda kernel: scipy.linalg.eigh(kernel.T, **options)

    return make


def _torch() -> Solver:
    import torch

    return lambda kernel: torch.linalg.eigvalsh(torch.from_numpy(kernel)).numpy()


def _ntkspec() -> Solver:
    from ntkspec.backend import select

    return select("cpu").eigvalsh


SOLVERS: Mapping[str, Contender] = {
    EVD: contender(_scipy("evd"), reference=True),  # before the others
    EV: contender(_scipy("ev")),
    EVR: contender(_scipy("evr")),
    NUMPY: contender(_numpy),
    TORCH: contender(_torch),
    OURS: contender(_ntkspec),
}


def _kernel(case: Case) -> Any:
    """The kernel of the first samples, in memory of its own."""
    import numpy as np

    path, n = kernel_file(case.folder, case.network), case.samples
    mapped = np.load(path, mmap_mode="r")
    return np.load(path) if len(mapped) == n else np.array(mapped[:n, :n])


def _facts(values: Any, case: Case, reference: bool) -> dict[str, Any]:
    import numpy as np

    if not reference:
        return error(values, case)
    np.save(_reference_file(case), values)
    above = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return {"numerical_rank": int(np.count_nonzero(above))}  # above n eps lambda_max


def _reference_file(case: Case) -> Path:
    return Path(case.folder) / f"{case.network}-{case.samples}-eigenvalues.npy"
