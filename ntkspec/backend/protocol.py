"""The interface of a backend, which runs the arithmetic on the CPU or on a GPU.

Algorithms are written once, for the array module `xp` (NumPy or CuPy) of a backend. A backend also copies
arrays to its memory, and provides operations that differ for dense and sparse matrices, dense solvers, and a
few loops for which array functions are too slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.errors import BackendError
from ntkspec.jacobian import Matrix

Array: TypeAlias = Any  # of NumPy or CuPy, or a CSR matrix of SciPy or CuPy, which have no types
Matrices: TypeAlias = tuple[Array, Array]  # of the samples of a tile's rows, and of its columns
BackendName = Literal["cpu", "gpu"]
T = TypeVar("T")
R = TypeVar("R")


class Backend(Protocol):
    """The arithmetic of one CPU or GPU. A device array is in the memory where the backend computes.

    Long sums of dense products are added in panels, see `ntkspec.summation`, to keep rounding errors small.
    """

    name: BackendName
    xp: ModuleType  # the array module

    @property
    def tile(self) -> int:
        """Return how many rows of a kernel to put into one tile for good speed."""
        ...

    @property
    def workers(self) -> int:
        """Return how many tiles are computed at the same time."""
        ...

    @property
    def piece_bytes(self) -> int:
        """Return how many bytes one piece should have where products are computed piece by piece."""
        ...

    @property
    def device(self) -> str:
        """Return the product name of the GPU; "" for a backend that computes in the host's memory."""
        ...

    def put(self, matrix: Matrix, dtype: DTypeLike) -> Array:
        """Return a host matrix, dense or CSR, as a device matrix of `dtype`; copy it only if necessary."""
        ...

    def put_for_tiles(self, matrix: Matrix, dtype: DTypeLike, *, dense: bool | None = None) -> Array:
        """Return a host matrix, dense or CSR, as a device matrix in the form that `rows` expects.

        Args:
            dense: whether to convert a sparse matrix to a dense one; default: as `dense_pays` returns.
        """
        ...

    def dense_pays(self, entries: NDArray[np.int64], rows: int) -> bool:
        """Return whether products with a sparse matrix are faster if it is converted to a dense one.

        This holds if nearly every pair of its rows has entries in a common column.

        Args:
            entries: (columns,), the number of rows with an entry in each column.
            rows: number of rows of the matrix.
        """
        ...

    def get(self, array: Array) -> NDArray[Any]:
        """Return a device array as an array on the host; copy it only if necessary."""
        ...

    def rows(self, matrix: Array, which: slice | NDArray[Any]) -> Array:
        """Return some rows of a device matrix in the form that `add_tile` expects."""
        ...

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Return a device array with arbitrary entries for temporary results.

        The array belongs to the calling thread until that thread asks for the same name again.
        """
        ...

    def room(self, budget: int) -> int:
        """Return how many bytes may be used in the memory where the backend computes.

        Args:
            budget: bytes that may be used on the host.
        """
        ...

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Apply `work` to every task, in several threads if that is faster; yield results as they finish."""
        ...

    # -- matrices, dense or CSR

    def product(self, x: Array, y: Array) -> Array:
        """Compute x y; if x is dense, long sums are added in panels."""
        ...

    def is_sparse(self, matrix: Array) -> bool:
        """Return whether a device matrix is CSR."""
        ...

    def stack(self, matrix: Array, vectors: Array) -> Array:
        """Compute diag(v) matrix for each of the m columns v of `vectors`, with interleaved columns.

        Column j m + k of the result is column j of the matrix times vector k, elementwise.

        Args:
            matrix: (rows, w); it may be CSR only if m = 1.
            vectors: (rows, m).

        Returns:
            (rows, w m).
        """
        ...

    def stack_sums(self, stack: Array, matrix: Array, count: int) -> Array:
        """Compute row by row the inner products of a matrix with m = `count` stacked matrices.

        Args:
            stack: (rows, w m), with columns in the order of the method `stack`; it may be CSR only if m = 1.
            matrix: (rows, w). If both are dense, long sums are added in panels.

        Returns:
            (rows, m).
        """
        ...

    def transposed_product(self, x: Array, y: Array, panel: int) -> Array:
        """Compute x^T y. If x is dense, add in panels of `panel` rows, pairwise; if it is CSR, in order."""
        ...

    def row_sums(self, x: Array, y: Array) -> Array:
        """Compute the inner product of row i of x with row i of y, for every i.

        If both are dense, long sums are added in panels.

        Returns:
            (rows,).
        """
        ...

    def row_norms(self, matrix: Array) -> Array:
        """Compute the Euclidean norm of each row (rows,), without underflow; no entry may be negative."""
        ...

    def columns(self, matrix: Array, which: slice) -> Array:
        """Return some columns as a dense array."""
        ...

    def numbers(self, matrix: Array) -> Array:
        """Return the stored numbers of a matrix as a vector, in any order; in CSR only nonzero entries."""
        ...

    # -- loops

    def absolute_product(self, kernel: Array, vector: Array) -> Array:
        """Compute sum over j != i of |kernel_ij| vector_j for every row i; (N,)."""
        ...

    def add_tile(self, tile: Array, left: Matrices | None, right: Matrices, repeat: int) -> None:
        """Add the elementwise product of two Gram matrices, left and right, to a tile, in place.

        Args:
            tile: (ti * repeat, tj * repeat) device array.
            left: (ti, a) and (tj, a), from `rows`, or None for all ones.
            right: (ti * repeat, w) and (tj * repeat, w), from `rows`.
            repeat: rows of the kernel per sample.
        """
        ...

    def insert(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """Copy a tile to kernel[row:, column:] of a kernel (N, M) on the device or on the host."""
        ...

    def store(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """Copy a tile of a symmetric kernel to kernel[row:, column:], and transposed to the other triangle.

        Of a tile on the diagonal only the lower triangle is used, so that K is exactly symmetric.

        Args:
            kernel: (N, N), on the device or on the host.
            row, column: place of the tile's first entry in the kernel; row >= column.
            tile: (ti, tj) device array.
        """
        ...

    # -- dense solvers

    def eigvalsh(self, kernel: Array) -> NDArray[np.float64]:
        """Compute the eigenvalues of a symmetric device matrix, ascending; the matrix is destroyed."""
        ...

    def eigvalsh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """Return the bytes that `eigvalsh` needs in addition to a matrix of `rows` rows of `dtype`."""
        ...

    def eigh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """Return the bytes that `eigh` needs in addition to a matrix of `rows` rows of `dtype`."""
        ...

    def eigh(self, kernel: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute eigenvalues, ascending, and orthonormal eigenvectors (columns); the matrix is destroyed."""
        ...

    def fold(self, triangle: Array, waiting: list[Array]) -> Array:
        """Stack a triangle above transposed panels, and return the factor R (N, N) of the QR of this matrix.

        The arguments are destroyed.

        Args:
            triangle: (N, N), upper triangular.
            waiting: one or more panels (N, m); the list is empty at the end.
        """
        ...

    def fold_columns(self, rows: int, room: int) -> int:
        """Choose the columns of a panel for N = `rows`, so that `fold_bytes` stays within `room`."""
        ...

    def fold_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes of `fold` with its arguments, for at most 1.5 * `columns` columns in all."""
        ...

    def fold_sums(self, rows: int, columns: int) -> int:
        """Return the length of the sums in `fold`; 0 if it skips the zeros of the triangle."""
        ...

    def singular_values(self, triangle: Array) -> NDArray[np.float64]:
        """Compute the singular values, descending; the matrix is destroyed."""
        ...

    def singular_values_bytes(self, rows: int) -> int:
        """Return the bytes that `singular_values` needs in addition to a matrix of `rows` rows."""
        ...

    def svd_right_bytes(self, rows: int) -> int:
        """Return the bytes that `svd_right` needs in addition to a matrix of `rows` rows."""
        ...

    def solve_lower(self, triangle: Array, rows: Array) -> Array:
        """Solve L X = `rows` for X, where L is the lower triangular matrix `triangle`."""
        ...

    def svd_right(self, triangle: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute singular values, descending, and right singular vectors (columns); destroys the matrix."""
        ...


def solver_failed(what: str, error: Exception) -> BackendError:
    """Return the `BackendError` to raise if a solver failed; `what` says what it computed."""
    return BackendError(
        what,
        expected="a converged solution",
        got=(str(error).splitlines() or [type(error).__name__])[0],
        remedy="try another ⟦--method⟧; check the Jacobian for extreme numbers",
    )
