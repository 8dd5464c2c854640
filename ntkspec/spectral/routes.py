"""Five routes from a Jacobian to the spectrum of J J^T; each states its own errors.

| route    | works on              | resolves down to about | memory                |
| -------- | --------------------- | ---------------------- | --------------------- |
| gram     | K = J J^T, N x N      | eps lambda_max         | N^2 + factors         |
| svd      | R of J^T = Q R        | eps^2 lambda_max       | 3 N^2 + factors       |
| dual     | J^T J, p x p          | eps lambda_max         | 2 N p + p^2           |
| cholesky | r rows of K, if r < N | eps lambda_max         | N r + r^2 + factors   |
| lanczos  | K v, never assembled  | the largest k          | N k + factors         |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec import sums
from ntkspec.backend import Backend, CpuBackend, Precision
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.memory import budget_bytes, require
from ntkspec.operator import operator, operator_bytes
from ntkspec.spectral.factorised import (
    column_panels,
    panel_width,
    touched_width,
    triangle_bytes,
    triangular_factor,
)
from ntkspec.spectral.floors import (
    FLOAT64,
    PRODUCT,
    ErrorModel,
    Magnitude,
    gram_errors,
    norm_bound,
    solver_error,
    svd_errors,
)
from ntkspec.spectral.lanczos import largest, takes_whole, vector_bytes
from ntkspec.spectral.pivoted import factorise, largest_rank
from ntkspec.spectral.spectrum import Method, Spectrum

LANCZOS_K = 100


def from_kernel(
    kernel: Any,
    jacobian: Jacobian,
    backend: Backend,
    size: Magnitude,
    *,
    vectors: bool = False,
) -> Spectrum:
    """Route gram: all eigenvalues of a formed kernel (N, N) on the device, which is destroyed."""
    precision: Precision = "float32" if kernel.dtype == np.float32 else "float64"
    errors = gram_errors(size, np.dtype(precision))
    if vectors:
        values, columns = backend.eigh(kernel)
        return _spectrum("gram", precision, jacobian, size, values[::-1], errors, columns[:, ::-1])
    return _spectrum("gram", precision, jacobian, size, backend.eigvalsh(kernel)[::-1], errors)


def by_svd(
    jacobian: Jacobian,
    outputs: Outputs,
    backend: Backend,
    budget: int,
    size: Magnitude,
    *,
    vectors: bool = False,
) -> Spectrum:
    """Route svd: squared singular values of J, through its triangular factor."""
    need = svd_bytes(jacobian, size.rows)
    require("svd of the Jacobian", need, budget, "raise --memory or use --method gram")
    triangle = triangular_factor(jacobian, outputs, backend)
    errors = svd_errors(size, _folds(jacobian, outputs, size.rows))
    if vectors:
        values, columns = backend.svd_right(triangle)
        return _spectrum("svd", "float64", jacobian, size, values**2, errors, columns)
    return _spectrum("svd", "float64", jacobian, size, backend.singular_values(triangle) ** 2, errors)


def by_dual(jacobian: Jacobian, outputs: Outputs, backend: Backend, budget: int, size: Magnitude) -> Spectrum:
    """Route dual: eigenvalues of J^T J, p x p over the touched parameters; the rest of the N are zero."""
    width = touched_width(jacobian, outputs)
    need = dual_bytes(jacobian, outputs)
    require(f"J^T J of {width} touched parameters", need, budget, "use --method gram or svd")
    jac = np.concatenate(list(column_panels(jacobian, outputs, width)), axis=1)
    values = backend.eigvalsh(backend.put(_square(jac.T), FLOAT64))[::-1][: size.rows]
    errors = ErrorModel(
        eigenvalue=solver_error(max(size.rows, width), FLOAT64),
        singular=0.0,
        absolute=_square_error(size.rows, size.norm) + size.underflow,
        stored=size.storing(size.dtype, products=PRODUCT),
    )
    return _spectrum("dual", "float64", jacobian, size, _padded(values, size.rows), errors)


def dual_bytes(jacobian: Jacobian, outputs: Outputs) -> int:
    """Bytes that route dual needs."""
    size, width = jacobian.kernel_size(outputs), touched_width(jacobian, outputs)
    return FLOAT64.itemsize * (2 * size * width + (1 + sums.buffers(size)) * width**2)


def by_cholesky(jacobian: Jacobian, outputs: Outputs, budget: int, size: Magnitude) -> Spectrum | None:
    """Route cholesky: all that is above the floor, or None where that is more than half of the eigenvalues.

    To the error of forming K comes that of the factorisation (Higham 2002, theorem 10.3), and the trace of
    what is left out. On the CPU, whatever the backend: its steps are small.
    """
    errors = gram_errors(size, FLOAT64)
    backend = CpuBackend()
    room = budget - cholesky_bytes(jacobian, 0, size.rows)
    most = largest_rank(size.rows, size.rows // jacobian.samples, room)
    if most <= 0:
        return None
    found = factorise(jacobian, outputs, backend, errors.floor, most, size.entry_sums)
    if found is None:
        return None
    values = backend.eigvalsh(_square(found.rows))[::-1]
    norm = norm_bound(found.rows)
    lost = sums.gamma(found.roundings) * norm + _square_error(size.rows, norm) + found.rest
    errors = ErrorModel(errors.eigenvalue, 0.0, absolute=errors.absolute + lost, stored=errors.stored)
    return _spectrum("cholesky", "float64", jacobian, size, _padded(values, size.rows), errors)


def cholesky_bytes(jacobian: Jacobian, rank: int, size: int) -> int:
    """Bytes that route cholesky needs for a kernel of this numerical rank."""
    stored = 3 * jacobian.nbytes * FLOAT64.itemsize // jacobian.dtype.itemsize
    square = (1 + sums.buffers(size)) * rank**2
    return int(FLOAT64.itemsize * (rank * size + square) + stored)


def by_lanczos(
    jacobian: Jacobian,
    outputs: Outputs,
    k: int | None,
    memory: float | None,
    size: Magnitude,
    *,
    vectors: bool = False,
) -> Spectrum:
    """Route lanczos: the k largest from products K v; see `ntkspec.spectral.lanczos`."""
    product = operator(jacobian, outputs, memory=memory)
    k = min(LANCZOS_K, size.rows - 1) if k is None else k
    if not 1 <= k < size.rows:
        raise UsageError(
            "method lanczos",
            expected=f"k from 1 to {size.rows - 1}",
            got=str(k),
            remedy="use --method gram for all",
        )
    room = budget_bytes(memory) - operator_bytes(jacobian)
    whole = takes_whole(size.rows, k, room)
    if not whole:
        require(
            f"vectors of {k} eigenvalues", vector_bytes(size.rows, k), room, "raise --memory or ask for fewer"
        )
    rounding = sums.gamma(size.vector_sums + PRODUCT) * size.norm + size.underflow
    solver = solver_error(k, FLOAT64)
    stored = size.storing(size.dtype)
    scale = size.trace
    if scale == 0:
        errors = ErrorModel(solver, 0.0, absolute=rounding, stored=stored)
        return _spectrum("lanczos", "float64", jacobian, size, np.zeros(k), errors)
    # ARPACK stops at an absolute accuracy for values below 4e-11, so it is given K / trace(K).
    found = largest(product * (1 / scale), k, rounding / scale, whole=whole)
    rounding = np.sqrt(k) * rounding + (found.residual + found.missed) * scale
    errors = ErrorModel(solver, 0.0, absolute=rounding, stored=stored)
    columns = found.vectors if vectors else None
    return _spectrum("lanczos", "float64", jacobian, size, found.values * scale, errors, columns)


def _square(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """M M^T for M (r, N); sums over N in panels."""
    cut = sums.panels(rows.shape[1])
    total: NDArray[np.float64] = sums.pairwise(len(cut), lambda i, _: rows[:, cut[i]] @ rows[:, cut[i]].T)
    return total


def _square_error(length: int, norm: float) -> float:
    """Bound on the error of `_square` from that on || |M| |M|^T ||."""
    return sums.gamma(sums.roundings(length)) * norm


def _padded(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """With zeros for the eigenvalues that were not computed, all below the floor."""
    return np.concatenate([values, np.zeros(size - len(values))])


def svd_bytes(jacobian: Jacobian, size: int) -> int:
    """Bytes that route svd needs."""
    return triangle_bytes(size) + 3 * max(block.nbytes for block in jacobian)


def svd_floor(jacobian: Jacobian, outputs: Outputs, size: Magnitude, lambda_max: float) -> float:
    """Floor that route svd will have."""
    return svd_errors(size, _folds(jacobian, outputs, size.rows)).floor(lambda_max)


def _folds(jacobian: Jacobian, outputs: Outputs, size: int) -> int:
    """Panels of J, which are at least half full but for one a block."""
    return len(jacobian.blocks) + 2 * touched_width(jacobian, outputs) // panel_width(size)


def _spectrum(
    method: Method,
    precision: Precision,
    jacobian: Jacobian,
    size: Magnitude,
    values: NDArray[np.float64],
    errors: ErrorModel,
    vectors: NDArray[np.float64] | None = None,
) -> Spectrum:
    values = np.maximum(values, 0.0)  # the kernel is PSD: what came out negative is rounding
    lambda_max = float(values[0])
    return Spectrum(
        eigenvalues=values,
        error=errors.error(values, lambda_max),
        floor=errors.floor(lambda_max),
        size=size.rows,
        trace=size.trace,
        trace_error=size.trace_error,
        method=method,
        precision=precision,
        blocks=jacobian.names,
        vectors=vectors,
    )
