"""The methods that the CPU and the GPU backend share, written once for NumPy with SciPy and for CuPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.backend.protocol import Array, Matrices, R, T
from ntkspec.jacobian import Matrix
from ntkspec.summation import pairwise, panel_of, panels

# Cost of one pair of sparse rows with entries in a common column, in multiplications of a dense product.
MEETING = 256
WIDEST = 1024  # columns of a sparse factor that may be written out as a dense panel
STRIP_BYTES = 2**25  # of a kernel, in one pass over it
# A QR of the triangle stacked above k N transposed columns takes (2 k + 4/3) N^3 operations, where 2 k N^3
# would be enough. A large k wastes the least: a quarter of the work at k = 2, five sixths at k = 1/8.
TALL = 2  # k, if there is room
FOLDS = 8  # most folds for as many columns as the kernel has rows


def strips(matrix: Array) -> Iterator[slice]:
    """Yield slices of the rows of a large matrix, each of at most `STRIP_BYTES`, for temporary arrays."""
    step = max(STRIP_BYTES // max(matrix[:1].nbytes, 1), 1)
    for start in range(0, len(matrix), step):
        yield slice(start, min(start + step, len(matrix)))


class ArrayBackend:
    """The methods of `Backend` that are the same for NumPy and CuPy."""

    tile: int = 4096
    piece_bytes: int = 2**28  # large, since each piece costs kernel launches on a device

    def __init__(self, xp: ModuleType, sparse: ModuleType) -> None:
        self.xp = xp
        self.sparse = sparse

    @property
    def device(self) -> str:
        """See `Backend.device`."""
        return ""

    @property
    def workers(self) -> int:
        """See `Backend.workers`."""
        return 1

    # -- arrays

    def put(self, matrix: Matrix, dtype: DTypeLike) -> Array:
        """See `Backend.put`."""
        if isinstance(matrix, np.ndarray):
            return self.xp.asarray(matrix, dtype=dtype)
        return self.sparse.csr_matrix(matrix.astype(dtype))

    def put_for_tiles(self, matrix: Matrix, dtype: DTypeLike, *, dense: bool | None = None) -> Array:
        """See `Backend.put_for_tiles`."""
        if isinstance(matrix, np.ndarray):
            return self.put(matrix, dtype)
        if dense is None:
            rows, columns = matrix.shape
            dense = self.dense_pays(np.bincount(matrix.indices, minlength=columns), rows)
        return self.put(matrix.toarray() if dense else matrix, dtype)

    def dense_pays(self, entries: NDArray[np.int64], rows: int) -> bool:
        """See `Backend.dense_pays`; True for coarse levels of a grid, for instance."""
        if len(entries) > WIDEST:
            return False
        meetings = float((entries.astype(np.float64) ** 2).sum())
        return MEETING * meetings > float(rows) ** 2 * len(entries)

    def rows(self, matrix: Array, which: slice | NDArray[Any]) -> Array:
        """See `Backend.rows`."""
        return matrix[which]

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """See `Backend.scratch`."""
        return self.xp.empty(shape, dtype)

    def room(self, budget: int) -> int:
        """See `Backend.room`."""
        return budget

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """See `Backend.each`."""
        for task in tasks:
            yield work(task)

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
        """See `Backend.product`."""
        if self.sparse.issparse(x):
            return x @ y
        slices = panels(x.shape[1])
        return pairwise(len(slices), lambda i, _: x[:, slices[i]] @ y[slices[i]])

    def is_sparse(self, matrix: Array) -> bool:
        """See `Backend.is_sparse`."""
        return bool(self.sparse.issparse(matrix))

    def stack(self, matrix: Array, vectors: Array) -> Array:
        """See `Backend.stack`."""
        if self.sparse.issparse(matrix):
            return self._scaled(matrix, self.xp.ascontiguousarray(vectors[:, 0]))
        rows, width = matrix.shape
        return (matrix[:, :, None] * vectors[:, None, :]).reshape(rows, width * vectors.shape[1])

    def stack_sums(self, stack: Array, matrix: Array, count: int) -> Array:
        """See `Backend.stack_sums`."""
        if self.sparse.issparse(matrix):
            return self.row_sums(stack, matrix)[:, None]
        rows, width = matrix.shape
        matrices, slices = stack.reshape(rows, width, count), panels(width)

        def products(i: int, _: int) -> Array:
            return self.xp.einsum("iw,iwm->im", matrix[:, slices[i]], matrices[:, slices[i]])

        return pairwise(len(slices), products)

    def transposed_product(self, x: Array, y: Array, panel: int) -> Array:
        """See `Backend.transposed_product`; one batched product multiplies all panels."""
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
        """See `Backend.row_sums`."""
        if self.sparse.issparse(x):
            return self.xp.asarray(x.multiply(y).sum(axis=1)).ravel()
        if self.sparse.issparse(y):
            return self.xp.asarray(y.multiply(x).sum(axis=1)).ravel()
        slices = panels(x.shape[1])
        return pairwise(
            len(slices), lambda i, _: self.xp.einsum("iw,iw->i", x[:, slices[i]], y[:, slices[i]])
        )

    def row_norms(self, matrix: Array) -> Array:
        """See `Backend.row_norms`; each row is scaled by its largest number before it is squared.

        The scale is a normal number, since the reciprocal of a subnormal one overflows.
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
        """See `Backend.columns`."""
        columns = matrix[:, which]
        return columns.toarray() if self.sparse.issparse(columns) else columns

    def numbers(self, matrix: Array) -> Array:
        """See `Backend.numbers`."""
        return (matrix.data if self.sparse.issparse(matrix) else matrix).ravel()

    def _scaled(self, matrix: Array, weights: Array) -> Array:
        """Multiply each row of a matrix by its weight."""
        if not self.sparse.issparse(matrix):
            return matrix * weights[:, None]
        rows = matrix.shape[0]
        starts = self.xp.arange(rows + 1, dtype=matrix.indices.dtype)
        return type(matrix)((weights, starts[:-1], starts), shape=(rows, rows)) @ matrix

    # -- loops

    def absolute_product(self, kernel: Array, vector: Array) -> Array:
        """See `Backend.absolute_product`; computed for a few rows at a time."""
        product = self.xp.empty((len(kernel),), kernel.dtype)
        for rows in strips(kernel):
            strip = self.xp.abs(kernel[rows])
            diagonal = self.xp.arange(len(strip))
            strip[diagonal, rows.start + diagonal] = 0
            product[rows] = strip @ vector
        return product

    def add_tile(self, tile: Array, left: Matrices | None, right: Matrices, repeat: int) -> None:
        """See `Backend.add_tile`."""
        product = self.dense_gram(*right)
        if left is not None:
            ti, tj = left[0].shape[0], left[1].shape[0]
            view = product.reshape(ti, repeat, tj, repeat)
            view *= self.dense_gram(*left)[:, None, :, None]
        tile += product

    def insert(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """See `Backend.insert`."""
        height, width = tile.shape
        kernel[row : row + height, column : column + width] = tile

    def store(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """See `Backend.store`."""
        if row == column:
            tile = self.xp.tril(tile) + self.xp.tril(tile, -1).T
        self.insert(kernel, row, column, tile)
        self.insert(kernel, column, row, tile.T)

    # -- dense solvers

    def fold(self, triangle: Array, waiting: list[Array]) -> Array:
        """See `Backend.fold`. CuPy returns a view of a larger array; the copy lets that array be freed."""
        return self.xp.linalg.qr(self._stacked(triangle, waiting), mode="r").copy()

    def _stacked(self, triangle: Array, waiting: list[Array]) -> Array:
        """Return the triangle stacked above the transposed panels; empty their list to free them."""
        stacked = self.xp.concatenate([triangle, *(panel.T for panel in waiting)])
        waiting.clear()
        return stacked

    def fold_columns(self, rows: int, room: int) -> int:
        """See `Backend.fold_columns`."""
        fit = (room // (8 * rows) - 3 * rows) // 3
        return max(min(TALL * rows, fit), rows // FOLDS)

    def fold_bytes(self, rows: int, columns: int) -> int:
        """See `Backend.fold_bytes`: the triangle, the stacked matrix, and CuPy's copy of it."""
        return 8 * rows * (rows + 2 * (rows + 3 * columns // 2))

    def fold_sums(self, rows: int, columns: int) -> int:
        """See `Backend.fold_sums`: this QR does not skip the zeros of the triangle."""
        return rows + 3 * columns // 2
