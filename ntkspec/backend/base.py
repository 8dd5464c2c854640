"""The interface of a backend, which runs the arithmetic on the CPU or on a GPU.

Algorithms are written once, for the array module `xp` (NumPy or CuPy) of a backend. A backend also copies
arrays to its memory, and provides operations that differ for dense and sparse matrices, dense solvers, and a
few loops for which array functions are too slow. What is not abstract is what a GPU does; the CPU has faster
ways for some of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.backend.arrays import Array, ArrayBackend, strips
from ntkspec.errors import BackendError

Matrices: TypeAlias = tuple[Array, Array]  # of the samples of a tile's rows, and of its columns
BackendName = Literal["cpu", "gpu"]
T = TypeVar("T")
R = TypeVar("R")

# A QR of the triangle stacked above k N transposed columns takes (2 k + 4/3) N^3 operations, where 2 k N^3
# would be enough. A large k wastes the least: a quarter of the work at k = 2, five sixths at k = 1/8.
TALL = 2  # k, if there is room
FOLDS = 8  # most folds for as many columns as the kernel has rows


class Backend(ArrayBackend, ABC):
    """The arithmetic of one CPU or GPU."""

    name: BackendName
    tile: int = 4096  # rows of a kernel to put into one tile for good speed
    # Of one piece, where products are computed piece by piece; large, since each costs kernel launches.
    piece_bytes: int = 2**28

    @property
    def workers(self) -> int:
        """Return how many tiles are computed at the same time."""
        return 1

    @property
    def device(self) -> str:
        """Return the product name of the GPU; "" for a backend that computes in the host's memory."""
        return ""

    @abstractmethod
    def get(self, array: Array) -> NDArray[Any]:
        """Return a device array as an array on the host; copy it only if necessary."""

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Return a device array with arbitrary entries for temporary results.

        The array belongs to the calling thread until that thread asks for the same name again.
        """
        return self.xp.empty(shape, dtype)

    def room(self, budget: int) -> int:
        """Return how many bytes may be used in the memory where the backend computes.

        Args:
            budget: bytes that may be used on the host.
        """
        return budget

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Apply `work` to every task, in several threads if that is faster; yield results as they finish."""
        for task in tasks:
            yield work(task)

    # -- loops

    def absolute_product(self, kernel: Array, vector: Array) -> Array:
        """Compute sum over j != i of |kernel_ij| vector_j for every row i; (N,)."""
        product = self.xp.empty((len(kernel),), kernel.dtype)
        for rows in strips(kernel):
            strip = self.xp.abs(kernel[rows])
            diagonal = self.xp.arange(len(strip))
            strip[diagonal, rows.start + diagonal] = 0
            product[rows] = strip @ vector
        return product

    def add_tile(self, tile: Array, left: Matrices | None, right: Matrices, repeat: int) -> None:
        """Add the elementwise product of two Gram matrices, left and right, to a tile, in place.

        Args:
            tile: (ti * repeat, tj * repeat) device array.
            left: (ti, a) and (tj, a), from `rows`, or None for all ones.
            right: (ti * repeat, w) and (tj * repeat, w), from `rows`.
            repeat: rows of the kernel per sample.
        """
        product = self.dense_gram(*right)
        if left is not None:
            ti, tj = left[0].shape[0], left[1].shape[0]
            view = product.reshape(ti, repeat, tj, repeat)
            view *= self.dense_gram(*left)[:, None, :, None]
        tile += product

    def insert(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """Copy a tile to kernel[row:, column:] of a kernel (N, M) on the device or on the host."""
        height, width = tile.shape
        kernel[row : row + height, column : column + width] = tile

    def store(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """Copy a tile of a symmetric kernel to kernel[row:, column:], and transposed to the other triangle.

        Of a tile on the diagonal only the lower triangle is used, so that K is exactly symmetric.

        Args:
            kernel: (N, N), on the device or on the host.
            row, column: place of the tile's first entry in the kernel; row >= column.
            tile: (ti, tj) device array.
        """
        if row == column:
            tile = self.xp.tril(tile) + self.xp.tril(tile, -1).T
        self.insert(kernel, row, column, tile)
        self.insert(kernel, column, row, tile.T)

    # -- dense solvers

    @abstractmethod
    def eigvalsh(self, kernel: Array) -> NDArray[np.float64]:
        """Compute the eigenvalues of a symmetric device matrix, ascending; the matrix is destroyed."""

    @abstractmethod
    def eigvalsh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """Return the bytes that `eigvalsh` needs in addition to a matrix of `rows` rows of `dtype`."""

    @abstractmethod
    def eigh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """Return the bytes that `eigh` needs in addition to a matrix of `rows` rows of `dtype`."""

    @abstractmethod
    def eigh(self, kernel: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute eigenvalues, ascending, and orthonormal eigenvectors (columns); the matrix is destroyed."""

    def fold(self, triangle: Array, waiting: list[Array]) -> Array:
        """Stack a triangle above transposed panels, and return the factor R (N, N) of the QR of this matrix.

        The arguments are destroyed.

        Args:
            triangle: (N, N), upper triangular.
            waiting: one or more panels (N, m); the list is empty at the end.
        """
        # CuPy returns a view of a larger array; the copy lets that array be freed.
        return self.xp.linalg.qr(self._stacked(triangle, waiting), mode="r").copy()

    def _stacked(self, triangle: Array, waiting: list[Array]) -> Array:
        """Return the triangle stacked above the transposed panels; empty their list to free them."""
        stacked = self.xp.concatenate([triangle, *(panel.T for panel in waiting)])
        waiting.clear()
        return stacked

    def fold_columns(self, rows: int, room: int) -> int:
        """Choose the columns of a panel for N = `rows`, so that `fold_bytes` stays within `room`."""
        fit = (room // (8 * rows) - 3 * rows) // 3
        return max(min(TALL * rows, fit), rows // FOLDS)

    def fold_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes of `fold` with its arguments, for at most 1.5 * `columns` columns in all."""
        return 8 * rows * (rows + 2 * (rows + 3 * columns // 2))  # the stacked matrix, and CuPy's copy of it

    def fold_sums(self, rows: int, columns: int) -> int:
        """Return the length of the sums in `fold`; 0 if it skips the zeros of the triangle."""
        return rows + 3 * columns // 2

    @abstractmethod
    def singular_values(self, triangle: Array) -> NDArray[np.float64]:
        """Compute the singular values, descending; the matrix is destroyed."""

    @abstractmethod
    def singular_values_bytes(self, rows: int) -> int:
        """Return the bytes that `singular_values` needs in addition to a matrix of `rows` rows."""

    @abstractmethod
    def svd_right_bytes(self, rows: int) -> int:
        """Return the bytes that `svd_right` needs in addition to a matrix of `rows` rows."""

    @abstractmethod
    def solve_lower(self, triangle: Array, rows: Array) -> Array:
        """Solve L X = `rows` for X, where L is the lower triangular matrix `triangle`."""

    @abstractmethod
    def svd_right(self, triangle: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute singular values, descending, and right singular vectors (columns); destroys the matrix."""


def solver_failed(what: str, error: Exception) -> BackendError:
    """Return the `BackendError` to raise if a solver failed; `what` says what it computed."""
    return BackendError(
        what,
        expected="a converged solution",
        got=(str(error).splitlines() or [type(error).__name__])[0],
        remedy="try another ⟦--method⟧; check the Jacobian for extreme numbers",
    )
