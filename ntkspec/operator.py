"""The kernel as a linear operator: K v from the factors, nothing n x n is formed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from ntkspec.backend import Precision
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, Jacobian, Matrix, Outputs, Pair, check_outputs, rows_per_sample
from ntkspec.memory import budget_bytes, require
from ntkspec.sums import over_samples, pairwise, panels

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
    cut = [in_pieces(pair) for pair in pairs]

    def product(v: NDArray[Any]) -> NDArray[Any]:
        return apply(cut, v.ravel())

    return LinearOperator((size, size), matvec=product, rmatvec=product, dtype=np.dtype(np.float64))


def apply(blocks: Sequence[Sequence[Pair]], v: NDArray[Any]) -> NDArray[Any]:
    """K v (N,) from the factors of all blocks, each in pieces; v (N,)."""
    return sum((_times(pieces, v) for pieces in blocks), np.zeros(len(v)))


def in_pieces(pair: Pair) -> list[Pair]:
    """Cut a block's factors into pieces of rows whose sums are added pairwise; each has its left rows."""
    left, samples = _repeated(pair), pair.right.shape[0]
    cut = panels(samples, over_samples(samples))
    if len(cut) == 1:
        return [Pair(left, pair.right, 1)]
    return [Pair(None if left is None else left[rows], pair.right[rows], 1) for rows in cut]


def operator_bytes(jacobian: Jacobian) -> int:
    """Bytes of the factors as `operator` holds them."""
    return 2 * jacobian.nbytes * 8 // jacobian.dtype.itemsize


def diagonal(
    jacobian: Jacobian, outputs: Outputs = "trace", *, absolute: bool = False
) -> NDArray[np.float64]:
    """The diagonal of K (N,): |left_i|^2 |right_i|^2 summed over the blocks, a few rows at a time.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: output mode.
        absolute: of the factors' absolute values instead, so that colliding entries do not cancel.
    """
    check_outputs(outputs, jacobian.outputs)
    repeat = rows_per_sample(outputs, jacobian.outputs)
    total = np.zeros(jacobian.samples * repeat)
    for block in jacobian:
        for start, rows in in_parts(block):
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                products = _row_products(rows.absolute() if absolute else rows, outputs)
                total[start * repeat : (start + rows.samples) * repeat] += products
    return total


def in_parts(block: Block) -> Iterator[tuple[int, Block]]:
    """The block in memory, a few samples at a time, each with the number of its first sample."""
    step = max(DIAGONAL_BYTES * block.samples // max(block.nbytes, 1), 1)
    for start in range(0, block.samples, step):
        yield start, block.load(start, min(start + step, block.samples))


def check_range(jacobian: Jacobian, outputs: Outputs = "trace", precision: Precision = "float64") -> None:
    """Raise `UsageError` where squares and products of the numbers would leave the range of `precision`.

    What counts is the kernel of the factors' absolute values: entries that cancel are no smaller for it.
    Errors are stated relative to the largest numbers; that is only right well inside the range.
    """
    low, high = (1e-22, 1e30) if precision == "float32" else (1e-200, 1e200)
    largest = float(diagonal(jacobian, outputs, absolute=True).max())
    if low < largest < high or (largest == 0 and not any(map(_any, jacobian))):
        return
    wider = precision == "float32" and 1e-200 < largest < 1e200
    raise UsageError(
        "kernel",
        expected=f"entries between {low:.0e} and {high:.0e} in {precision}",
        got=f"{largest:.0e} where they are largest",
        remedy="use --precision float64" if wider else "rescale the model's outputs",
    )


def _any(block: Block) -> bool:
    """Whether some row of the block's Jacobian has a number other than zero, however small."""
    for _, rows in in_parts(block):
        sizes = [factor.load().largest for factor in (rows.left, rows.right) if factor]
        if np.logical_and.reduce([size > 0 for size in sizes]).any():
            return True
    return False


def _row_products(block: Block, outputs: Outputs) -> NDArray[np.float64]:
    pair = block.compact().pair(outputs)
    left = 1.0 if pair.left is None else np.repeat(_row_squares(pair.left), pair.repeat)
    return left * _row_squares(pair.right)


def _row_squares(matrix: Matrix) -> NDArray[np.float64]:
    if sp.issparse(matrix):
        return np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    return _row_products_of(matrix, matrix)


def project(pieces: Sequence[Pair], v: NDArray[Any]) -> Matrix:
    """u = left^T diag(v) right, (a, w): the block's part of J^T v, v (N,); (1, w) without a left factor."""
    starts = np.cumsum([0, *(piece.right.shape[0] for piece in pieces)])
    return pairwise(len(pieces), lambda i, _: _project(pieces[i], v[starts[i] : starts[i + 1]]))


def _project(piece: Pair, v: NDArray[Any]) -> Matrix:
    weighted = _scale_rows(piece.right, v)
    if piece.left is None:
        return np.asarray(weighted.sum(axis=0)).reshape(1, -1)
    projected: Matrix = piece.left.T @ weighted
    return projected


def _times(pieces: Sequence[Pair], v: NDArray[Any]) -> NDArray[Any]:
    u = project(pieces, v)
    return np.concatenate([_rows_times(piece, u) for piece in pieces])


def _rows_times(piece: Pair, u: Matrix) -> NDArray[Any]:
    """(rows,) the inner products of rows of J with u."""
    if piece.left is None:
        return np.asarray(_product(piece.right, np.asarray(u).reshape(-1, 1))).ravel()
    z = _product(piece.left, u)
    if sp.issparse(z):
        return np.asarray(z.multiply(piece.right).sum(axis=1)).ravel()
    if sp.issparse(piece.right):
        return np.asarray(piece.right.multiply(z).sum(axis=1)).ravel()
    return _row_products_of(z, piece.right)


def _product(x: Matrix, y: Matrix) -> Matrix:
    """x y; long sums of dense rows in panels."""
    if sp.issparse(x):
        return x @ y
    cut = panels(x.shape[1])
    return pairwise(len(cut), lambda i, _: x[:, cut[i]] @ y[cut[i]])


def _row_products_of(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """(rows,) the inner products of the rows of two dense matrices."""
    cut = panels(x.shape[1])
    return pairwise(len(cut), lambda i, _: np.einsum("iw,iw->i", x[:, cut[i]], y[:, cut[i]]))


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
