"""Four routes from a Jacobian to the spectrum of J J^T; each states its own errors.

| route   | works on             | resolves down to about | memory             |
| ------- | -------------------- | ---------------------- | ------------------ |
| gram    | K = J J^T, N x N     | eps lambda_max         | N^2 + factors      |
| svd     | R of J^T = Q R       | eps^2 lambda_max       | 6 N^2 + factors    |
| dual    | J^T J, p x p         | eps lambda_max         | N p + p^2          |
| lanczos | K v, never assembled | the largest k          | N k + factors      |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, eigsh

from ntkspec.backend import Backend, Precision
from ntkspec.backend.protocol import solver_failed
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.memory import require
from ntkspec.operator import diagonal, operator
from ntkspec.spectral.factorised import column_panels, touched_width, triangle_bytes, triangular_factor
from ntkspec.spectral.floors import ErrorModel, gram_errors, svd_errors
from ntkspec.spectral.spectrum import Method, Spectrum

FLOAT64 = np.dtype(np.float64)
LANCZOS_K = 100


def from_kernel(
    kernel: NDArray[Any], jacobian: Jacobian, outputs: Outputs, backend: Backend, *, vectors: bool = False
) -> Spectrum:
    """Route gram: all eigenvalues of a formed kernel (N, N), which is destroyed."""
    precision: Precision = "float32" if kernel.dtype == np.float32 else "float64"
    errors = gram_errors(jacobian.dtype, kernel.dtype, _longest_sum(jacobian, outputs, len(kernel)))
    device = backend.put(kernel, kernel.dtype)
    if vectors:
        values, columns = backend.eigh(device)
        return _spectrum("gram", precision, jacobian, outputs, values[::-1], errors, columns[:, ::-1])
    return _spectrum("gram", precision, jacobian, outputs, backend.eigvalsh(device)[::-1], errors)


def by_svd(
    jacobian: Jacobian, outputs: Outputs, backend: Backend, budget: int, *, vectors: bool = False
) -> Spectrum:
    """Route svd: squared singular values of J, through its triangular factor."""
    size = len(diagonal(jacobian, outputs))
    require("svd of the Jacobian", svd_bytes(jacobian, size), budget, "raise --memory or use --method gram")
    triangle = triangular_factor(jacobian, outputs, backend)
    errors = svd_errors(jacobian.dtype, size)
    if vectors:
        values, columns = backend.svd_right(triangle)
        return _spectrum("svd", "float64", jacobian, outputs, values**2, errors, columns)
    return _spectrum("svd", "float64", jacobian, outputs, backend.singular_values(triangle) ** 2, errors)


def by_dual(jacobian: Jacobian, outputs: Outputs, backend: Backend, budget: int) -> Spectrum:
    """Route dual: eigenvalues of J^T J, p x p over the touched parameters; the rest of the N are zero."""
    size, width = len(diagonal(jacobian, outputs)), touched_width(jacobian, outputs)
    need = 8 * (2 * size * width + width**2)
    require(f"J^T J of {width} touched parameters", need, budget, "use --method gram or svd")
    jac = np.concatenate(list(column_panels(jacobian, outputs, width)), axis=1)
    values = backend.eigvalsh(backend.put(jac.T @ jac, FLOAT64))[::-1][:size]
    errors = gram_errors(jacobian.dtype, FLOAT64, max(size, width))
    padded = np.concatenate([values, np.zeros(size - len(values))])
    return _spectrum("dual", "float64", jacobian, outputs, padded, errors)


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
    start = np.random.default_rng(0).standard_normal(size)  # fixed, so that a run can be repeated
    try:
        values, columns = eigsh(product, k=k, which="LA", v0=start)
    except ArpackError as error:
        raise solver_failed("Lanczos iteration", error) from None
    residual = np.linalg.norm(product @ columns - columns * values, axis=0).max()
    rounding = gram_errors(jacobian.dtype, FLOAT64, _longest_sum(jacobian, outputs, size))
    errors = ErrorModel(rounding.eigenvalue + residual / max(values[-1], _tiny()), rounding.singular)
    found = columns[:, ::-1] if vectors else None
    return _spectrum("lanczos", "float64", jacobian, outputs, values[::-1], errors, found)


def svd_bytes(jacobian: Jacobian, size: int) -> int:
    """Bytes that route svd needs."""
    return triangle_bytes(size) + 3 * max(block.nbytes for block in jacobian)


def svd_floor(jacobian: Jacobian, size: int) -> float:
    """Floor that route svd will have, relative to lambda_max."""
    return svd_errors(jacobian.dtype, size).floor(1.0)


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


def _longest_sum(jacobian: Jacobian, outputs: Outputs, size: int) -> int:
    """The longest sum behind an entry of K, or the size of K, whichever is larger."""
    c = jacobian.outputs if outputs == "trace" else 1
    widths = [max(a, b * c) for a, b in (_terms(block.left, block.right) for block in jacobian)]
    return max(size, *widths)


def _terms(*factors: Any) -> list[int]:
    """Nonzero terms of an inner product: the width of a dense factor, the entries a row of a sparse one."""
    counts = []
    for factor in factors:
        loaded = factor.load(0, 1) if factor else None
        counts.append(loaded.values.shape[2] if loaded else 1)
    return counts


def _tiny() -> float:
    return float(np.finfo(np.float64).tiny)
