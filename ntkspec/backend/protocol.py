"""The interface of a backend, the machine that runs the arithmetic.

Algorithms are written once, for the array module `xp` (NumPy or CuPy) of a backend. A backend moves arrays to
its memory, has the operations that differ for dense and sparse matrices, dense solvers, and a few loops for
which array functions are too slow.
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
    """Arithmetic on one machine. Device arrays and matrices lie in the memory where the backend computes."""

    name: BackendName
    xp: ModuleType  # the array module

    @property
    def tile(self) -> int:
        """Return how many rows of a kernel a tile has that suits the machine."""
        ...

    @property
    def workers(self) -> int:
        """Return how many tiles are computed at the same time."""
        ...

    @property
    def piece_bytes(self) -> int:
        """Return the bytes of an array that suits the machine where products are made piece by piece."""
        ...

    @property
    def device(self) -> str:
        """Return the maker's name of a device with memory of its own, "" for a backend without one."""
        ...

    def put(self, matrix: Matrix, dtype: DTypeLike) -> Array:
        """Return a host matrix, dense or CSR, as a device matrix of `dtype`, copied only if it must be."""
        ...

    def put_for_tiles(self, matrix: Matrix, dtype: DTypeLike, *, dense: bool | None = None) -> Array:
        """Return a host matrix, dense or CSR, as a device matrix in the form that `rows` expects.

        Args:
            dense: whether a sparse matrix is written out; default: if `dense_pays` says so of its entries.
        """
        ...

    def dense_pays(self, entries: NDArray[np.int64], rows: int) -> bool:
        """Return whether a sparse matrix is multiplied faster as a dense one.

        That is so where nearly every pair of its rows has entries in a common column.

        Args:
            entries: of each column (columns,), how many rows have an entry there.
            rows: of the matrix.
        """
        ...

    def get(self, array: Array) -> NDArray[Any]:
        """Return a device array as an array on the host; it is copied only where it must be."""
        ...

    def rows(self, matrix: Array, which: slice | NDArray[Any]) -> Array:
        """Return some rows of a device matrix in the form that `add_tile` expects."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Create a device array of zeros."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Create a device array with arbitrary entries."""
        ...

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Return a device array with arbitrary entries for temporary results.

        It belongs to the calling thread, until that asks for an array of the same name again.
        """
        ...

    def room(self, budget: int) -> int:
        """Return the bytes that plans may use where the backend computes; `budget` is that of the host."""
        ...

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Apply `work` to every task, several at a time where that pays; yield results as they are ready."""
        ...

    # -- matrices, dense or CSR

    def product(self, x: Array, y: Array) -> Array:
        """Compute x y; long sums of dense rows are added in panels."""
        ...

    def is_sparse(self, matrix: Array) -> bool:
        """Return whether a device matrix is CSR."""
        ...

    def stack(self, matrix: Array, vectors: Array) -> Array:
        """Compute diag(v) matrix for every column v of `vectors`, the m results interleaved.

        Column j of the matrix gives the m columns j m to (j + 1) m: itself times v_1, v_2 and so on.

        Args:
            matrix: (rows, w); CSR for one vector alone.
            vectors: (rows, m).

        Returns:
            (rows, w m).
        """
        ...

    def stack_sums(self, stack: Array, matrix: Array, count: int) -> Array:
        """Compute the inner products (rows, m) of a matrix's rows with those of m = `count` stacked matrices.

        Args:
            stack: (rows, w m), in the order of `stack`; CSR for one alone.
            matrix: (rows, w); long sums of dense rows in panels.
        """
        ...

    def transposed_product(self, x: Array, y: Array, panel: int) -> Array:
        """Compute x^T y; dense sums are added pairwise, in panels of `panel` rows, CSR sums in order."""
        ...

    def row_sums(self, x: Array, y: Array) -> Array:
        """Compute the inner products (rows,) of equal rows of two matrices; long dense sums in panels."""
        ...

    def row_norms(self, matrix: Array) -> Array:
        """Compute the Euclidean norms (rows,) of a matrix without negative numbers; no square underflows."""
        ...

    def columns(self, matrix: Array, which: slice) -> Array:
        """Return some columns as a dense array."""
        ...

    def numbers(self, matrix: Array) -> Array:
        """Return the stored numbers of a matrix, in any order; CSR stores no zeros."""
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

        From a tile on the diagonal the lower triangle is taken: rounding must not leave K unsymmetric.

        Args:
            kernel: (N, N), on the device or on the host.
            tile: (ti, tj) device array below or on the diagonal.
        """
        ...

    # -- dense solvers

    def eigvalsh(self, kernel: Array) -> NDArray[np.float64]:
        """Compute the eigenvalues of a symmetric device matrix, ascending; the matrix is destroyed."""
        ...

    def eigvalsh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """Return the bytes that `eigvalsh` takes beside a matrix of `rows` rows of `dtype`."""
        ...

    def eigh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """Return the bytes that `eigh` takes beside a matrix of `rows` rows of `dtype`."""
        ...

    def eigh(self, kernel: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute eigenvalues, ascending, and orthonormal eigenvectors (columns); the matrix is destroyed."""
        ...

    def fold(self, triangle: Array, waiting: list[Array]) -> Array:
        """Compute the triangular factor R of a QR of a triangle stacked above transposed panels.

        The arguments are destroyed.

        Args:
            triangle: (N, N) upper triangular.
            waiting: one or more panels (N, m); the list is empty at the end.
        """
        ...

    def fold_columns(self, rows: int, room: int) -> int:
        """Choose the columns of a panel for N = `rows`, so that `fold_bytes` stays within `room`."""
        ...

    def fold_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes that `fold` takes with its arguments, for at most 1.5 `columns` in all."""
        ...

    def fold_sums(self, rows: int, columns: int) -> int:
        """Return how many products `fold` adds up at a time, 0 if it skips the zeros of the triangle."""
        ...

    def singular_values(self, triangle: Array) -> NDArray[np.float64]:
        """Compute the singular values, descending; the matrix is destroyed."""
        ...

    def singular_values_bytes(self, rows: int) -> int:
        """Return the bytes that `singular_values` takes beside a matrix of `rows` rows."""
        ...

    def svd_right_bytes(self, rows: int) -> int:
        """Return the bytes that `svd_right` takes beside a matrix of `rows` rows."""
        ...

    def solve_lower(self, triangle: Array, rows: Array) -> Array:
        """Solve L X = `rows` for X, L being the lower triangular matrix `triangle`."""
        ...

    def svd_right(self, triangle: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute singular values, descending, and right singular vectors (columns); destroys the matrix."""
        ...


def solver_failed(what: str, error: Exception) -> BackendError:
    """Make the error for an eigenvalue or singular value solver that failed."""
    return BackendError(
        what,
        expected="a converged solution",
        got=(str(error).splitlines() or [type(error).__name__])[0],
        remedy="try another --method; check the Jacobian for extreme numbers",
    )
