"""Arrays and matrices of a backend: what is written once for NumPy with SciPy and for CuPy."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.jacobian import Matrix
from ntkspec.summation import pairwise, panel_of, panels

Array: TypeAlias = Any  # of NumPy or CuPy, or a CSR matrix of SciPy or CuPy, which have no types

# Cost of one pair of sparse rows with entries in a common column, in multiplications of a dense product.
MEETING = 256
WIDEST = 1024  # columns of a sparse factor that may be written out as a dense panel
STRIP_BYTES = 2**25  # of a kernel, in one pass over it


def strips(matrix: Array) -> Iterator[slice]:
    """Yield slices of the rows of a large matrix, each of at most `STRIP_BYTES`, for temporary arrays."""
    step = max(STRIP_BYTES // max(matrix[:1].nbytes, 1), 1)
    for start in range(0, len(matrix), step):
        yield slice(start, min(start + step, len(matrix)))


class ArrayBackend:
    """The part of a backend that computes with arrays, and with matrices that are dense or CSR.

    A device array is in the memory where the backend computes. Long sums of dense products are added in
    panels, see `ntkspec.summation`, to keep rounding errors small.

    Args:
        xp: the array module, NumPy or CuPy.
        sparse: its module of sparse matrices.
    """

    def __init__(self, xp: ModuleType, sparse: ModuleType) -> None:
        self.xp = xp
        self.sparse = sparse

    # -- arrays

    def put(self, matrix: Matrix, dtype: DTypeLike) -> Array:
        """Return a host matrix, dense or CSR, as a device matrix of `dtype`; copy it only if necessary."""
        if isinstance(matrix, np.ndarray):
            return self.xp.asarray(matrix, dtype=dtype)
        return self.sparse.csr_matrix(matrix.astype(dtype))

    def put_for_tiles(self, matrix: Matrix, dtype: DTypeLike, *, dense: bool | None = None) -> Array:
        """Return a host matrix, dense or CSR, as a device matrix in the form that `rows` expects.

        Args:
            dense: whether to convert a sparse matrix to a dense one; default: as `dense_pays` returns.
        """
        if isinstance(matrix, np.ndarray):
            return self.put(matrix, dtype)
        if dense is None:
            rows, columns = matrix.shape
            dense = self.dense_pays(np.bincount(matrix.indices, minlength=columns), rows)
        return self.put(matrix.toarray() if dense else matrix, dtype)

    def dense_pays(self, entries: NDArray[np.int64], rows: int) -> bool:
        """Return whether products with a sparse matrix are faster if it is converted to a dense one.

        This holds if nearly every pair of its rows has entries in a common column, as in coarse levels of a
        grid.

        Args:
            entries: (columns,), the number of rows with an entry in each column.
            rows: number of rows of the matrix.
        """
        if len(entries) > WIDEST:
            return False
        meetings = float((entries.astype(np.float64) ** 2).sum())
        return MEETING * meetings > float(rows) ** 2 * len(entries)

    def rows(self, matrix: Array, which: slice | NDArray[Any]) -> Array:
        """Return some rows of a device matrix in the form that `Backend.add_tile` expects."""
        return matrix[which]

    # -- matrices, dense or CSR

    def dense_gram(self, x: Array, y: Array) -> Array:
        """Compute x y^T as a dense device array; both may be dense or CSR. Dense sums are added in panels."""
        if self.sparse.issparse(x) and self.sparse.issparse(y):
            return (x @ y.T).toarray()
        if self.sparse.issparse(y):
            return self.xp.ascontiguousarray((y @ x.T).T)
        if self.sparse.issparse(x):
            return x @ y.T
        slices = panels(x.shape[1], panel_of(max(x.shape[0], y.shape[0])))
        return pairwise(len(slices), lambda i, _: x[:, slices[i]] @ y[:, slices[i]].T)

    def product(self, x: Array, y: Array) -> Array:
        """Compute x y; if x is dense, long sums are added in panels."""
        if self.sparse.issparse(x):
            return x @ y
        slices = panels(x.shape[1])
        return pairwise(len(slices), lambda i, _: x[:, slices[i]] @ y[slices[i]])

    def is_sparse(self, matrix: Array) -> bool:
        """Return whether a device matrix is CSR."""
        return bool(self.sparse.issparse(matrix))

    def stack(self, matrix: Array, vectors: Array) -> Array:
        """Compute diag(v) matrix for each of the m columns v of `vectors`, with interleaved columns.

        Column j m + k of the result is column j of the matrix times vector k, elementwise.

        Args:
            matrix: (rows, w); it may be CSR only if m = 1.
            vectors: (rows, m).

        Returns:
            (rows, w m).
        """
        if self.sparse.issparse(matrix):
            return self._scaled(matrix, self.xp.ascontiguousarray(vectors[:, 0]))
        rows, width = matrix.shape
        return (matrix[:, :, None] * vectors[:, None, :]).reshape(rows, width * vectors.shape[1])

    def stack_sums(self, stack: Array, matrix: Array, count: int) -> Array:
        """Compute row by row the inner products of a matrix with m = `count` stacked matrices.

        Args:
            stack: (rows, w m), with columns in the order of the method `stack`; it may be CSR only if m = 1.
            matrix: (rows, w). If both are dense, long sums are added in panels.

        Returns:
            (rows, m).
        """
        if self.sparse.issparse(matrix):
            return self.row_sums(stack, matrix)[:, None]
        rows, width = matrix.shape
        matrices, slices = stack.reshape(rows, width, count), panels(width)

        def products(i: int, _: int) -> Array:
            return self.xp.einsum("iw,iwm->im", matrix[:, slices[i]], matrices[:, slices[i]])

        return pairwise(len(slices), products)

    def transposed_product(self, x: Array, y: Array, panel: int) -> Array:
        """Compute x^T y. If x is dense, add in panels of `panel` rows, pairwise; if it is CSR, in order.

        One batched product multiplies all panels.
        """
        rows, (full, rest) = x.shape[0], divmod(x.shape[0], panel)
        if rows <= panel or self.sparse.issparse(x):
            return x.T @ y
        sums = self.xp.empty((full + (rest > 0), x.shape[1], y.shape[1]), y.dtype)
        x_panels, y_panels = (m[: full * panel].reshape(full, panel, m.shape[1]) for m in (x, y))
        self.xp.matmul(x_panels.transpose(0, 2, 1), y_panels, out=sums[:full])
        if rest:
            self.xp.matmul(x[-rest:].T, y[-rest:], out=sums[full])
        while len(sums) > 1:
            half = -(-len(sums) // 2)
            sums[: len(sums) - half] += sums[half:]
            sums = sums[:half]
        return sums[0]

    def row_sums(self, x: Array, y: Array) -> Array:
        """Compute the inner product of row i of x with row i of y, for every i; (rows,).

        If both are dense, long sums are added in panels.
        """
        if self.sparse.issparse(x):
            return self.xp.asarray(x.multiply(y).sum(axis=1)).ravel()
        if self.sparse.issparse(y):
            return self.xp.asarray(y.multiply(x).sum(axis=1)).ravel()
        slices = panels(x.shape[1])
        return pairwise(
            len(slices), lambda i, _: self.xp.einsum("iw,iw->i", x[:, slices[i]], y[:, slices[i]])
        )

    def row_norms(self, matrix: Array) -> Array:
        """Compute the Euclidean norm of each row (rows,), without underflow; no entry may be negative.

        Each row is scaled by its largest number before it is squared. The scale is a normal number, since the
        reciprocal of a subnormal one overflows.
        """
        if not matrix.shape[1]:
            return self.xp.zeros((matrix.shape[0],), np.float64)
        least = float(np.finfo(matrix.dtype).tiny)
        if self.sparse.issparse(matrix):
            column = matrix.max(axis=1)  # sparse or dense, depending on the library
            largest = self.xp.asarray(column.toarray() if self.sparse.issparse(column) else column).ravel()
            scale = self.xp.maximum(largest, least)
            scaled = self._scaled(matrix, 1 / scale)
            squares = self.xp.asarray(scaled.multiply(scaled).sum(axis=1)).ravel()
        else:
            scale = self.xp.maximum(matrix.max(axis=1), least)
            scaled = matrix / scale[:, None]
            squares = self.xp.einsum("iw,iw->i", scaled, scaled)
        return scale * self.xp.sqrt(squares)

    def columns(self, matrix: Array, which: slice) -> Array:
        """Return some columns as a dense array."""
        columns = matrix[:, which]
        return columns.toarray() if self.sparse.issparse(columns) else columns

    def numbers(self, matrix: Array) -> Array:
        """Return the stored numbers of a matrix as a vector, in any order; in CSR only nonzero entries."""
        return (matrix.data if self.sparse.issparse(matrix) else matrix).ravel()

    def _scaled(self, matrix: Array, weights: Array) -> Array:
        """Multiply each row of a matrix by its weight."""
        if not self.sparse.issparse(matrix):
            return matrix * weights[:, None]
        rows = matrix.shape[0]
        starts = self.xp.arange(rows + 1, dtype=matrix.indices.dtype)
        return type(matrix)((weights, starts[:-1], starts), shape=(rows, rows)) @ matrix
