"""The kernel as a linear operator: K v from the factors, nothing n x n is formed."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Matrix, Outputs, Pair, check_outputs, rows_per_sample
from ntkspec.memory import budget_bytes, require


def operator(
    jacobian: Jacobian, outputs: Outputs = "trace", *, memory: float | None = None
) -> LinearOperator:
    """K = J J^T as a SciPy `LinearOperator` (N, N) of float64; cost n a b a block and product.

    For every block, K v = rowsum((left u) * right) with u = left^T diag(v) right, an (a, b) matrix: the
    block's part of J^T v.

    Args:
        jacobian: blocks, in memory or in a run file; loaded once.
        outputs: output mode; see `ntkspec.jacobian.outputs`.
        memory: budget in GiB for the factors; default 80% of what is free.

    Raises:
        MemoryBudgetError: the factors do not fit.
    """
    check_outputs(outputs, jacobian.outputs)
    need = 2 * jacobian.nbytes * 8 // jacobian.dtype.itemsize
    require("factors of the kernel", need, budget_bytes(memory), "raise --memory or use fewer samples")
    pairs = [block.pair(outputs) for block in jacobian.load()]
    size = jacobian.samples * rows_per_sample(outputs, jacobian.outputs)

    def product(v: NDArray[Any]) -> NDArray[Any]:
        return sum((_times(pair, v.ravel()) for pair in pairs), np.zeros(size))

    return LinearOperator((size, size), matvec=product, rmatvec=product, dtype=np.dtype(np.float64))


def diagonal(jacobian: Jacobian, outputs: Outputs = "trace") -> NDArray[np.float64]:
    """The diagonal of K (N,), from the factors: |left_i|^2 |right_i|^2 summed over the blocks.

    Raises:
        UsageError: the numbers are so large that K overflows.
    """
    check_outputs(outputs, jacobian.outputs)
    total = np.zeros(jacobian.samples * rows_per_sample(outputs, jacobian.outputs))
    with np.errstate(over="ignore"):
        for block in jacobian:
            pair = block.load().pair(outputs)
            left = 1.0 if pair.left is None else np.repeat(_row_squares(pair.left), pair.repeat)
            total += left * _row_squares(pair.right)
    if not np.isfinite(total).all():
        raise UsageError(
            "kernel", expected="entries below 1e308", got="an overflow", remedy="rescale the model's outputs"
        )
    return total


def _row_squares(matrix: Matrix) -> NDArray[np.float64]:
    if sp.issparse(matrix):
        return np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    squares: NDArray[np.float64] = np.einsum("iw,iw->i", matrix, matrix)
    return squares


def _times(pair: Pair, v: NDArray[Any]) -> NDArray[Any]:
    if pair.left is None:
        result: NDArray[Any] = pair.right @ (pair.right.T @ v)
        return result
    left: Matrix = pair.left
    if pair.repeat > 1:
        left = sp.csr_array(left) if sp.issparse(left) else left
        left = left[np.repeat(np.arange(left.shape[0]), pair.repeat)]
    weighted = _scale_rows(pair.right, v)
    u = left.T @ weighted
    z = left @ u
    if sp.issparse(z):
        return np.asarray(z.multiply(pair.right).sum(axis=1)).ravel()
    if sp.issparse(pair.right):
        return np.asarray(pair.right.multiply(z).sum(axis=1)).ravel()
    summed: NDArray[Any] = np.einsum("iw,iw->i", z, pair.right)
    return summed


def _scale_rows(matrix: Matrix, v: NDArray[Any]) -> Matrix:
    if sp.issparse(matrix):
        return sp.diags_array(v).tocsr() @ matrix
    return matrix * v[:, None]
