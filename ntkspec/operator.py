"""The kernel as a linear operator: K v from the factors, nothing n x n is formed."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from ntkspec.backend import Precision
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, Factor, Jacobian, Matrix, Outputs, Pair, check_outputs, rows_per_sample
from ntkspec.memory import budget_bytes, require

DIAGONAL_BYTES = 2**26  # of a block, read at once


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
    need = operator_bytes(jacobian)
    require("factors of the kernel", need, budget_bytes(memory), "raise --memory or use fewer samples")
    pairs = [block.compact().pair(outputs) for block in jacobian]
    size = jacobian.kernel_size(outputs)

    def product(v: NDArray[Any]) -> NDArray[Any]:
        return sum((_times(pair, v.ravel()) for pair in pairs), np.zeros(size))

    return LinearOperator((size, size), matvec=product, rmatvec=product, dtype=np.dtype(np.float64))


def operator_bytes(jacobian: Jacobian) -> int:
    """Bytes of the factors as `operator` holds them."""
    return 2 * jacobian.nbytes * 8 // jacobian.dtype.itemsize


def diagonal(jacobian: Jacobian, outputs: Outputs = "trace") -> NDArray[np.float64]:
    """The diagonal of K (N,): |left_i|^2 |right_i|^2 summed over the blocks, a few rows at a time."""
    check_outputs(outputs, jacobian.outputs)
    repeat = rows_per_sample(outputs, jacobian.outputs)
    total = np.zeros(jacobian.samples * repeat)
    for block in jacobian:
        step = max(DIAGONAL_BYTES * block.samples // max(block.nbytes, 1), 1)
        for start in range(0, block.samples, step):
            stop = min(start + step, block.samples)
            with np.errstate(over="ignore", under="ignore"):
                total[start * repeat : stop * repeat] += _row_products(block.load(start, stop), outputs)
    return total


def check_range(jacobian: Jacobian, diagonal: NDArray[np.float64], precision: Precision = "float64") -> None:
    """Raise `UsageError` where squares and products of the numbers would leave the range of `precision`.

    Errors are stated relative to the largest numbers; that is only right well inside the range.
    """
    low, high = (1e-22, 1e30) if precision == "float32" else (1e-200, 1e200)
    largest = float(diagonal.max())
    numbers = [_largest(factor) for block in jacobian for factor in (block.left, block.right) if factor]
    # Squares of such factors and their products stay in range: a zero diagonal is then a zero kernel.
    fits = all(number == 0 or 1e-75 < number < 1e75 for number in numbers)
    if jacobian.dtype == np.float32:
        fits = fits and all(number == 0 or number > 1e-30 for number in numbers)
    if not fits or not (largest == 0 or low < largest < high):
        got = f"a kernel of {largest:.0e} from factors of {min(numbers):.0e} to {max(numbers):.0e}"
        raise UsageError(
            "kernel",
            expected=f"entries between {low:.0e} and {high:.0e} in {precision}, factors well inside theirs",
            got=got,
            remedy="rescale the model's outputs, or use --precision float64",
        )


def _largest(factor: Factor) -> float:
    step = max(DIAGONAL_BYTES * factor.samples // max(factor.nbytes, 1), 1)
    starts = range(0, factor.samples, step)
    return max(float(np.abs(factor.load(at, min(at + step, factor.samples)).values).max()) for at in starts)


def _row_products(block: Block, outputs: Outputs) -> NDArray[np.float64]:
    pair = block.compact().pair(outputs)
    left = 1.0 if pair.left is None else np.repeat(_row_squares(pair.left), pair.repeat)
    return left * _row_squares(pair.right)


def _row_squares(matrix: Matrix) -> NDArray[np.float64]:
    if sp.issparse(matrix):
        return np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    squares: NDArray[np.float64] = np.einsum("iw,iw->i", matrix, matrix)
    return squares


def project(pair: Pair, v: NDArray[Any]) -> Matrix:
    """u = left^T diag(v) right, (a, w): the block's part of J^T v, v (N,); (1, w) without a left factor."""
    weighted = _scale_rows(pair.right, v)
    if pair.left is None:
        return np.asarray(weighted.sum(axis=0)).reshape(1, -1)
    projected: Matrix = _repeated(pair).T @ weighted
    return projected


def _times(pair: Pair, v: NDArray[Any]) -> NDArray[Any]:
    u = project(pair, v)
    if pair.left is None:
        result: NDArray[Any] = pair.right @ np.asarray(u).ravel()
        return result
    z = _repeated(pair) @ u
    if sp.issparse(z):
        return np.asarray(z.multiply(pair.right).sum(axis=1)).ravel()
    if sp.issparse(pair.right):
        return np.asarray(pair.right.multiply(z).sum(axis=1)).ravel()
    summed: NDArray[Any] = np.einsum("iw,iw->i", z, pair.right)
    return summed


def _repeated(pair: Pair) -> Matrix:
    """The left factor with a row for every row of the kernel."""
    left = pair.left
    if left is None or pair.repeat == 1:
        return left
    left = sp.csr_array(left) if sp.issparse(left) else left
    return left[np.repeat(np.arange(left.shape[0]), pair.repeat)]


def _scale_rows(matrix: Matrix, v: NDArray[Any]) -> Matrix:
    if sp.issparse(matrix):
        return sp.diags_array(v).tocsr() @ matrix
    return matrix * v[:, None]
