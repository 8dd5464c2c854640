"""Five routes from a Jacobian to the spectrum of J J^T; each states its own errors.

| route    | works on              | resolves down to about | memory                |
| -------- | --------------------- | ---------------------- | --------------------- |
| gram     | K = J J^T, N x N      | eps lambda_max         | N^2 + factors         |
| svd      | R of J^T = Q R        | eps^2 lambda_max       | 6 N^2 + factors       |
| dual     | J^T J, p x p          | eps lambda_max         | 2 N p + p^2           |
| cholesky | r rows of K, if r < N | eps lambda_max         | N r + r^2 + factors   |
| lanczos  | K v, never assembled  | the largest k          | N k + factors         |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from ntkspec.backend import Backend, CpuBackend, Precision
from ntkspec.backend.protocol import solver_failed
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.memory import require
from ntkspec.operator import diagonal, operator
from ntkspec.spectral.factorised import (
    column_panels,
    panel_width,
    touched_width,
    triangle_bytes,
    triangular_factor,
)
from ntkspec.spectral.floors import ErrorModel, gram_errors, svd_errors
from ntkspec.spectral.pivoted import factorise, largest_rank
from ntkspec.spectral.spectrum import Method, Spectrum

FLOAT64 = np.dtype(np.float64)
LANCZOS_K = 100


def from_kernel(
    kernel: Any, jacobian: Jacobian, outputs: Outputs, backend: Backend, *, vectors: bool = False
) -> Spectrum:
    """Route gram: all eigenvalues of a formed kernel (N, N) on the device, which is destroyed."""
    precision: Precision = "float32" if kernel.dtype == np.float32 else "float64"
    errors = gram_errors(jacobian, np.dtype(precision), len(kernel), outputs)
    if vectors:
        values, columns = backend.eigh(kernel)
        return _spectrum("gram", precision, jacobian, outputs, values[::-1], errors, columns[:, ::-1])
    return _spectrum("gram", precision, jacobian, outputs, backend.eigvalsh(kernel)[::-1], errors)


def by_svd(
    jacobian: Jacobian, outputs: Outputs, backend: Backend, budget: int, *, vectors: bool = False
) -> Spectrum:
    """Route svd: squared singular values of J, through its triangular factor."""
    size = jacobian.kernel_size(outputs)
    require("svd of the Jacobian", svd_bytes(jacobian, size), budget, "raise --memory or use --method gram")
    triangle = triangular_factor(jacobian, outputs, backend)
    errors = svd_errors(jacobian, size, _folds(jacobian, outputs, size))
    if vectors:
        values, columns = backend.svd_right(triangle)
        return _spectrum("svd", "float64", jacobian, outputs, values**2, errors, columns)
    return _spectrum("svd", "float64", jacobian, outputs, backend.singular_values(triangle) ** 2, errors)


def by_dual(jacobian: Jacobian, outputs: Outputs, backend: Backend, budget: int) -> Spectrum:
    """Route dual: eigenvalues of J^T J, p x p over the touched parameters; the rest of the N are zero."""
    size, width = jacobian.kernel_size(outputs), touched_width(jacobian, outputs)
    need = dual_bytes(jacobian, outputs)
    require(f"J^T J of {width} touched parameters", need, budget, "use --method gram or svd")
    jac = np.concatenate(list(column_panels(jacobian, outputs, width)), axis=1)
    values = backend.eigvalsh(backend.put(jac.T @ jac, FLOAT64))[::-1][:size]
    errors = gram_errors(jacobian, FLOAT64, max(size, width), outputs)
    return _spectrum("dual", "float64", jacobian, outputs, _padded(values, size), errors)


def dual_bytes(jacobian: Jacobian, outputs: Outputs) -> int:
    """Bytes that route dual needs."""
    size, width = jacobian.kernel_size(outputs), touched_width(jacobian, outputs)
    return FLOAT64.itemsize * (2 * size * width + width**2)


def by_cholesky(jacobian: Jacobian, outputs: Outputs, budget: int) -> Spectrum | None:
    """Route cholesky: all that is above the floor, or None where that is more than half of the eigenvalues.

    To the error of the other routes on K comes that of the factorisation (Higham 2002, theorem 10.14), half
    as much, and the trace of what is left out. On the CPU, whatever the backend: its steps are small.
    """
    size = jacobian.kernel_size(outputs)
    errors = gram_errors(jacobian, FLOAT64, size, outputs)
    backend = CpuBackend()
    room = budget - cholesky_bytes(jacobian, 0, size)
    most = largest_rank(size, size // jacobian.samples, room)
    found = factorise(jacobian, outputs, backend, errors.floor(1.0), most) if most > 0 else None
    if found is None:
        return None
    values = backend.eigvalsh(found.rows @ found.rows.T)[::-1]
    lost = found.rest / float(values[0]) if values[0] > 0 else 0.0
    errors = ErrorModel(1.5 * errors.eigenvalue + lost, errors.singular)
    return _spectrum("cholesky", "float64", jacobian, outputs, _padded(values, size), errors)


def cholesky_bytes(jacobian: Jacobian, rank: int, size: int) -> int:
    """Bytes that route cholesky needs for a kernel of this numerical rank."""
    stored = 3 * jacobian.nbytes * FLOAT64.itemsize // jacobian.dtype.itemsize
    return int(FLOAT64.itemsize * (rank * size + rank**2) + stored)


def by_lanczos(
    jacobian: Jacobian, outputs: Outputs, k: int | None, memory: float | None, *, vectors: bool = False
) -> Spectrum:
    """Route lanczos: the k largest from products K v (ARPACK; Lehoucq, Sorensen and Yang 1998)."""
    product = operator(jacobian, outputs, memory=memory)
    size = product.shape[0]
    k = min(LANCZOS_K, size - 1) if k is None else k
    if not 1 <= k < size:
        raise UsageError(
            "method lanczos",
            expected=f"k from 1 to {size - 1}",
            got=str(k),
            remedy="use --method gram for all",
        )
    scale = float(diagonal(jacobian, outputs).sum())
    if scale == 0:
        return _spectrum("lanczos", "float64", jacobian, outputs, np.zeros(k), ErrorModel(0.0, 0.0))
    # ARPACK stops at an absolute accuracy for values below 4e-11, so it is given K / trace(K).
    scaled = product * (1 / scale)
    values, columns = _largest_pairs(scaled, k)
    residual = float(np.linalg.norm(scaled @ columns - columns * values, axis=0).max())
    rounding = gram_errors(jacobian, FLOAT64, size, outputs)
    errors = ErrorModel(rounding.eigenvalue + residual / max(values[-1], _tiny()), rounding.singular)
    _require_none_missed(scaled, values, columns, float(errors.error(values[:1], float(values[-1]))[0]))
    found = columns[:, ::-1] if vectors else None
    return _spectrum("lanczos", "float64", jacobian, outputs, values[::-1] * scale, errors, found)


def _largest_pairs(product: LinearOperator, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The k largest eigenvalues, ascending, and their vectors."""
    start = np.random.default_rng(0).standard_normal(product.shape[0])  # fixed, so that a run can be repeated
    try:
        values, columns = eigsh(product, k=k, which="LA", v0=start)
    except ArpackError as error:
        raise solver_failed("Lanczos iteration", error) from None
    return values, columns


def _require_none_missed(
    product: LinearOperator, values: NDArray[np.float64], columns: NDArray[np.float64], error: float
) -> None:
    """Residuals prove that eigenvalues are near, not that none was passed over: look once more without them.

    What is left of the kernel after the found part is taken out must have no larger eigenvalue than the
    smallest found. This finds a missed copy of a multiple eigenvalue; it is no proof.
    """

    def rest(v: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = v.ravel()
        left: NDArray[np.float64] = product @ flat - columns @ (values * (columns.T @ flat))
        return left

    if len(columns) - len(values) < 2:
        return
    remainder = LinearOperator(product.shape, matvec=rest, dtype=FLOAT64)
    (largest,), _ = _largest_pairs(remainder, 1)
    if largest > values[0] + error + 1e-8 * values[-1]:
        raise solver_failed("Lanczos iteration", ValueError("an eigenvalue was passed over"))


def _padded(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """With zeros for the eigenvalues that were not computed, all below the floor."""
    return np.concatenate([values, np.zeros(size - len(values))])


def svd_bytes(jacobian: Jacobian, size: int) -> int:
    """Bytes that route svd needs."""
    return triangle_bytes(size) + 3 * max(block.nbytes for block in jacobian)


def svd_floor(jacobian: Jacobian, outputs: Outputs, size: int) -> float:
    """Floor that route svd will have, relative to lambda_max."""
    return svd_errors(jacobian, size, _folds(jacobian, outputs, size)).floor(1.0)


def _folds(jacobian: Jacobian, outputs: Outputs, size: int) -> int:
    return len(jacobian.blocks) + touched_width(jacobian, outputs) // panel_width(size)


def _spectrum(
    method: Method,
    precision: Precision,
    jacobian: Jacobian,
    outputs: Outputs,
    values: NDArray[np.float64],
    errors: ErrorModel,
    vectors: NDArray[np.float64] | None = None,
) -> Spectrum:
    values = np.maximum(values, 0.0)  # the kernel is PSD: what came out negative is rounding
    trace = diagonal(jacobian, outputs)
    lambda_max = float(values[0])
    return Spectrum(
        eigenvalues=values,
        error=errors.error(values, lambda_max),
        floor=errors.floor(lambda_max),
        size=len(trace),
        trace=float(trace.sum()),
        method=method,
        precision=precision,
        blocks=jacobian.names,
        vectors=vectors,
    )


def _tiny() -> float:
    return float(np.finfo(np.float64).tiny)
