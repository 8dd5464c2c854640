"""What the core asks of the machine that runs the arithmetic.

Algorithms are written once, over the array module `xp` (NumPy or CuPy) of a backend. A backend says where
arrays live, does what depends on whether a matrix is dense or sparse, and adds dense solvers and a few loops
that array functions are too slow for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import BackendError
from ntkspec.jacobian import Matrix

BackendName = Literal["cpu", "gpu"]
T = TypeVar("T")
R = TypeVar("R")
Precision = Literal["float64", "float32"]  # in which kernels are formed and solved


class Backend(Protocol):
    """Arithmetic on one machine. Arrays called "device" live where the backend computes."""

    name: BackendName
    xp: Any  # the array module

    @property
    def tile(self) -> int:
        """Rows of the kernel in a tile that suits the machine."""
        ...

    @property
    def workers(self) -> int:
        """Tiles at work at the same time."""
        ...

    @property
    def piece_bytes(self) -> int:
        """Bytes of an array that suits the machine where products are made in pieces."""
        ...

    @property
    def device(self) -> str:
        """What computes, if it has memory of its own, by the name that its maker gave it; else ""."""
        ...

    def put(self, matrix: Matrix, dtype: Any) -> Any:
        """A host matrix, dense or CSR, as a device matrix of `dtype`."""
        ...

    def put_for_tiles(self, matrix: Matrix, dtype: Any, *, dense: bool | None = None) -> Any:
        """The same, as `rows` wants it.

        Args:
            dense: whether a sparse matrix is written out; default: if `dense_pays` says so of its entries.
        """
        ...

    def dense_pays(self, entries: NDArray[np.int64], rows: int) -> bool:
        """Whether a sparse matrix is better written out: nearly every pair of its rows meets in a column.

        Args:
            entries: of each column (columns,), how many rows have an entry there.
            rows: of the matrix.
        """
        ...

    def get(self, array: Any) -> NDArray[Any]:
        """A device array on the host."""
        ...

    def rows(self, matrix: Any, which: slice | NDArray[Any]) -> Any:
        """Some rows of a device matrix, as `add_tile` wants them."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A device array of zeros."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A device array with arbitrary entries."""
        ...

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """A device array with arbitrary entries, this thread's until it asks for the same name again."""
        ...

    def room(self, budget: int) -> int:
        """Bytes to plan with where the backend computes; `budget` is the host's."""
        ...

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Do the work on every task, several at a time where that pays; yields results as they come."""
        ...

    # -- matrices, dense or CSR

    def product(self, x: Any, y: Any) -> Any:
        """x y; long sums of dense rows in panels."""
        ...

    def is_sparse(self, matrix: Any) -> bool:
        """Whether a device matrix is CSR."""
        ...

    def stack(self, matrix: Any, vectors: Any) -> Any:
        """diag(v) matrix for every column v of `vectors`: column j of the matrix times v_1, v_2 and so on.

        Args:
            matrix: (rows, w); CSR for one vector alone.
            vectors: (rows, m).

        Returns:
            (rows, w m).
        """
        ...

    def stack_sums(self, stack: Any, matrix: Any, count: int) -> Any:
        """(rows, m) the inner products of the rows of m = `count` matrices in a stack with the matrix's.

        Args:
            stack: (rows, w m), in the order of `stack`; CSR for one alone.
            matrix: (rows, w); long sums of dense rows in panels.
        """
        ...

    def transposed_product(self, x: Any, y: Any, panel: int) -> Any:
        """x^T y; dense sums over rows in panels of `panel` of them, added pairwise, CSR ones at once."""
        ...

    def row_sums(self, x: Any, y: Any) -> Any:
        """(rows,) the inner products of the rows of two matrices; long sums of dense rows in panels."""
        ...

    def row_norms(self, matrix: Any) -> Any:
        """(rows,) Euclidean norms of a matrix without negative numbers; no square underflows."""
        ...

    def columns(self, matrix: Any, which: slice) -> Any:
        """Some columns, as a dense array."""
        ...

    def numbers(self, matrix: Any) -> Any:
        """What is stored of a matrix, zeros that CSR leaves out apart; any order."""
        ...

    # -- loops

    def absolute_product(self, kernel: Any, vector: Any) -> Any:
        """(N,) sum over j != i of |kernel_ij| vector_j."""
        ...

    def add_tile(self, tile: Any, left: tuple[Any, Any] | None, right: tuple[Any, Any], repeat: int) -> None:
        """tile += gram(left) * gram(right), elementwise, in place.

        Args:
            tile: (ti * repeat, tj * repeat) device array.
            left: (ti, a) and (tj, a), from `rows`, or None for all ones.
            right: (ti * repeat, w) and (tj * repeat, w), from `rows`.
            repeat: rows of the kernel per sample.
        """
        ...

    def insert(self, kernel: Any, row: int, column: int, tile: Any) -> None:
        """kernel[row:, column:] = tile, of a kernel (N, M) on the device or on the host."""
        ...

    def store(self, kernel: Any, row: int, column: int, tile: Any) -> None:
        """The same of a symmetric kernel, with the tile's mirror image above the diagonal.

        Of a tile on the diagonal the lower triangle counts: rounding must not leave K unsymmetric.

        Args:
            kernel: (N, N), on the device or on the host.
            tile: (ti, tj) device array below or on the diagonal.
        """
        ...

    # -- dense solvers

    def eigvalsh(self, kernel: Any) -> NDArray[np.float64]:
        """Ascending eigenvalues of a symmetric device matrix, which is destroyed."""
        ...

    def eigvalsh_bytes(self, rows: int, dtype: Any) -> int:
        """Bytes beside the matrix itself that `eigvalsh` takes for so many rows of `dtype`."""
        ...

    def eigh_bytes(self, rows: int, dtype: Any) -> int:
        """Bytes beside the matrix itself that `eigh` takes."""
        ...

    def eigh(self, kernel: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ascending eigenvalues and orthonormal eigenvectors (columns); the matrix is destroyed."""
        ...

    def fold(self, triangle: Any, waiting: list[Any]) -> Any:
        """The triangular factor of the triangle above the transposed panels; all are destroyed.

        Args:
            triangle: (N, N) upper triangular.
            panels: one or more (N, m); the list is empty at the end.
        """
        ...

    def fold_columns(self, rows: int, room: int) -> int:
        """Columns of a panel that is best for N = `rows`, if `fold_bytes` has this room."""
        ...

    def fold_bytes(self, rows: int, columns: int) -> int:
        """Bytes that `fold` takes, all included, for panels of up to half as many columns again in all."""
        ...

    def fold_sums(self, rows: int, columns: int) -> int:
        """How many products such a fold adds up at a time; 0 where it leaves the triangle's zeros alone."""
        ...

    def singular_values(self, triangle: Any) -> NDArray[np.float64]:
        """Descending singular values; the matrix is destroyed."""
        ...

    def singular_values_bytes(self, rows: int) -> int:
        """Bytes beside the matrix itself that `singular_values` takes for so many rows."""
        ...

    def svd_right_bytes(self, rows: int) -> int:
        """Bytes beside the matrix itself that `svd_right` takes for so many rows."""
        ...

    def solve_lower(self, triangle: Any, rows: Any) -> Any:
        """The inverse of a lower triangular matrix, times `rows`."""
        ...

    def svd_right(self, triangle: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Descending singular values and right singular vectors (columns); the matrix is destroyed."""
        ...


def solver_failed(what: str, error: Exception) -> BackendError:
    """The error for an eigenvalue or singular value solver that gave up."""
    return BackendError(
        what,
        expected="a converged solution",
        got=(str(error).splitlines() or [type(error).__name__])[0],
        remedy="try another --method; check the Jacobian for extreme numbers",
    )
