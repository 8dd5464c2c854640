"""What the core asks of the machine that runs the arithmetic, and the part that all machines share.

Algorithms are written once over an array module `xp` (NumPy or CuPy) and its sparse companion; a backend
adds where arrays live and which solver is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import BackendError
from ntkspec.jacobian import Matrix
from ntkspec.sums import pairwise, panel_of, panels

BackendName = Literal["cpu", "gpu"]
T = TypeVar("T")
R = TypeVar("R")
Precision = Literal["float64", "float32"]  # in which kernels are formed and solved


class Backend(Protocol):
    """Arithmetic on one machine. Arrays called "device" live where the backend computes."""

    name: BackendName

    @property
    def tile(self) -> int:
        """Rows of the kernel in a tile that suits the machine."""
        ...

    @property
    def workers(self) -> int:
        """Tiles at work at the same time."""
        ...

    def put(self, matrix: Matrix, dtype: Any) -> Any:
        """A host matrix, dense or CSR, as a device matrix of `dtype`."""
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

    def add_tile(self, tile: Any, left: tuple[Any, Any] | None, right: tuple[Any, Any], repeat: int) -> None:
        """tile += gram(left) * gram(right), elementwise, in place.

        Args:
            tile: (ti * repeat, tj * repeat) device array.
            left: (ti, a) and (tj, a), from `rows`, or None for all ones.
            right: (ti * repeat, w) and (tj * repeat, w), from `rows`.
            repeat: rows of the kernel per sample.
        """
        ...

    def store(self, kernel: Any, row: int, column: int, tile: Any) -> None:
        """kernel[row:, column:] = tile, and its mirror image above the diagonal.

        Of a tile on the diagonal the lower triangle counts: rounding must not leave K unsymmetric.

        Args:
            kernel: (N, N), on the device or on the host.
            tile: (ti, tj) device array below or on the diagonal.
        """
        ...

    def eigvalsh(self, kernel: Any) -> NDArray[np.float64]:
        """Ascending eigenvalues of a symmetric device matrix, which is destroyed."""
        ...

    def eigh(self, kernel: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ascending eigenvalues and orthonormal eigenvectors (columns); the matrix is destroyed."""
        ...

    def fold(self, triangle: Any, rows: Any) -> Any:
        """The triangular factor of [triangle; rows]; both are destroyed.

        Args:
            triangle: (N, N) upper triangular.
            rows: (m, N).
        """
        ...

    def singular_values(self, triangle: Any) -> NDArray[np.float64]:
        """Descending singular values; the matrix is destroyed."""
        ...

    def svd_right(self, triangle: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Descending singular values and right singular vectors (columns); the matrix is destroyed."""
        ...


class ArrayBackend:
    """The arithmetic that NumPy and CuPy share."""

    tile: int = 4096

    @property
    def workers(self) -> int:
        """See `Backend.workers`."""
        return 1

    def __init__(self, xp: Any, sparse: Any) -> None:
        self.xp = xp
        self.sparse = sparse

    def put(self, matrix: Matrix, dtype: Any) -> Any:
        """See `Backend.put`."""
        if isinstance(matrix, np.ndarray):
            return self.xp.asarray(matrix, dtype=dtype)
        return self.sparse.csr_matrix(matrix.astype(dtype))

    def rows(self, matrix: Any, which: slice | NDArray[Any]) -> Any:
        """See `Backend.rows`."""
        return matrix[which]

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """See `Backend.scratch`."""
        return self.empty(shape, dtype)

    def room(self, budget: int) -> int:
        """See `Backend.room`."""
        return budget

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """See `Backend.each`."""
        for task in tasks:
            yield work(task)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """See `Backend.zeros`."""
        return self.xp.zeros(shape, dtype=dtype)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """See `Backend.empty`."""
        return self.xp.empty(shape, dtype=dtype)

    def add_tile(self, tile: Any, left: tuple[Any, Any] | None, right: tuple[Any, Any], repeat: int) -> None:
        """See `Backend.add_tile`."""
        product = self.dense_gram(*right)
        if left is not None:
            ti, tj = left[0].shape[0], left[1].shape[0]
            view = product.reshape(ti, repeat, tj, repeat)
            view *= self.dense_gram(*left)[:, None, :, None]
        tile += product

    def fold(self, triangle: Any, rows: Any) -> Any:
        """See `Backend.fold`."""
        return self.xp.linalg.qr(self.xp.concatenate([triangle, rows]), mode="r")

    def store(self, kernel: Any, row: int, column: int, tile: Any) -> None:
        """See `Backend.store`."""
        if row == column:
            tile = self.xp.tril(tile) + self.xp.tril(tile, -1).T
        height, width = tile.shape
        kernel[row : row + height, column : column + width] = tile
        kernel[column : column + width, row : row + height] = tile.T

    def dense_gram(self, x: Any, y: Any) -> Any:
        """x y^T as a dense device array, for any mixture of dense and CSR; dense sums in panels."""
        if self.sparse.issparse(x) and self.sparse.issparse(y):
            return (x @ y.T).toarray()
        if self.sparse.issparse(y):
            return self.xp.ascontiguousarray((y @ x.T).T)
        if self.sparse.issparse(x):
            return x @ y.T
        cut = panels(x.shape[1], panel_of(max(x.shape[0], y.shape[0])))
        return pairwise(len(cut), lambda i, _: x[:, cut[i]] @ y[:, cut[i]].T)


def solver_failed(what: str, error: Exception) -> BackendError:
    """The error for an eigenvalue or singular value solver that gave up."""
    return BackendError(
        what,
        expected="a converged solution",
        got=(str(error).splitlines() or [type(error).__name__])[0],
        remedy="try another --method; check the Jacobian for extreme numbers",
    )
