"""The CPU backend: BLAS and LAPACK through NumPy and SciPy, Numba where a product is mostly zeros."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import threadpoolctl
from numpy.typing import DTypeLike, NDArray

from ntkspec.backend import lapack, loops, two_stage
from ntkspec.backend.arrays import Array
from ntkspec.backend.base import FOLDS, Backend, BackendName, Matrices, R, T, solver_failed
from ntkspec.errors import BackendError
from ntkspec.jacobian import Matrix
from ntkspec.summation import NARROW, pairwise, panel_of, panels

ROWS_AT_ONCE = 512  # of a kernel, in one pass over it
QR_BLOCK = 32  # columns that tpqrt works on at a time
EVD_ROWS, GESDD_ROWS = 4, 128  # of workspace that LAPACK takes for eigenvalues, for singular values
LAPACK_VECTORS_LIMIT = 32_766  # SciPy's LAPACK counts the workspace of evd in 32 bits
LAPACK_LIMIT = 46_340  # rows beyond which SciPy's LAPACK cannot count the entries of a matrix in 32 bits


@dataclass(frozen=True, eq=False)
class CsrRows:
    """Some rows of a sparse matrix, in CSR form and with the same entries sorted by column."""

    csr: scipy.sparse.csr_array

    @functools.cached_property
    def by_column(self) -> tuple[NDArray[Any], ...]:
        """Return the entries sorted by column, in four arrays.

        Returns:
            The numbers (m,) of the columns that are not empty; `starts` (m + 1,), such that the entries
            starts[k]:starts[k + 1] are those of column k of these; each entry's row (nnz,) and value (nnz,).
        """
        order = np.argsort(self.csr.indices, kind="stable")
        rows = np.repeat(np.arange(self.csr.shape[0]), np.diff(self.csr.indptr))
        columns, starts = np.unique(self.csr.indices[order], return_index=True)
        return columns.astype(np.int64), np.append(starts, len(order)), rows[order], self.csr.data[order]


class CpuBackend(Backend):
    """NumPy, SciPy and Numba; tiles are computed by as many threads as BLAS may use."""

    name: BackendName = "cpu"
    tile = 384  # two Gram tiles and their sum fit the cache; chosen by analysis/studies/core_choices.py
    piece_bytes = 2**21  # the products of a piece fit the cache

    def __init__(self) -> None:
        super().__init__(np, scipy.sparse)
        self._of_thread = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the class, since scratch arrays belong to one process."""
        return type(self), ()

    @property
    def workers(self) -> int:
        """See `Backend.workers`: the threads that BLAS may use at the moment."""
        return max((int(pool["num_threads"]) for pool in _pools().info()), default=1)

    def get(self, array: Array) -> NDArray[Any]:
        """See `Backend.get`."""
        return np.asarray(array)

    def put(self, matrix: Matrix, dtype: DTypeLike) -> Array:
        """See `Backend.put`."""
        if isinstance(matrix, np.ndarray):
            return np.asarray(matrix, dtype=dtype)
        return scipy.sparse.csr_array(matrix.astype(dtype, copy=False))

    def rows(self, matrix: Array, which: slice | NDArray[Any]) -> Array:
        """See `Backend.rows`."""
        rows = matrix[which]
        return CsrRows(rows) if scipy.sparse.issparse(rows) else rows

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """See `Backend.each`. Each thread runs BLAS on one core: small products gain little from more."""
        if self.workers <= 1:
            yield from super().each(work, tasks)
            return
        pool = ThreadPoolExecutor(self.workers)
        try:
            with _one_thread_each():
                for future in as_completed([pool.submit(work, task) for task in tasks]):
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C only running tasks are waited for

    def add_tile(self, tile: Array, left: Matrices | None, right: Matrices, repeat: int) -> None:
        """See `Backend.add_tile`. Pairs of sparse left rows without a common column are skipped."""
        if left is None:
            tile += self._gram("right", *right)
        elif all(isinstance(m, CsrRows) for m in left) and narrow(right):
            sums = self.scratch("zeros", (left[0].csr.shape[0], left[1].csr.shape[0]), tile.dtype)
            loops.add_sparse(tile, sums, left[0].by_column, left[1].by_column, *right, repeat)
        else:
            loops.add_product(tile, self._gram("left", *left), self._gram("right", *right), repeat)

    def _gram(self, name: str, x: Array, y: Array) -> NDArray[Any]:
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            slices = panels(x.shape[1], panel_of(max(len(x), len(y))))

            def product(i: int, slot: int) -> NDArray[Any]:
                out = self.scratch(f"{name} {slot}", (len(x), len(y)), x.dtype)
                if x.shape[1] == 1:  # BLAS is four times slower at this
                    with np.errstate(over="ignore", under="ignore"):  # the finished kernel is checked
                        np.multiply(x, y.T, out=out)
                else:
                    np.matmul(x[:, slices[i]], y[:, slices[i]].T, out=out)
                return out

            return pairwise(len(slices), product)
        gram: NDArray[Any] = self.dense_gram(_csr(x), _csr(y))
        return gram

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """See `Backend.scratch`. An array is zero when it is first made.

        So a caller that sets all entries back to zero finds zeros at the next call. Arrays are reused,
        because allocating memory takes longer than computing the products that are stored in it.
        """
        arrays: dict[tuple[str, Any], NDArray[Any]] = self._of_thread.__dict__.setdefault("arrays", {})
        key = (name, np.dtype(dtype))
        size = math.prod(shape)
        if key not in arrays or arrays[key].size < size:
            arrays[key] = np.zeros(size, dtype)
        return arrays[key][:size].reshape(shape)

    def store(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """See `Backend.store`."""
        loops.store(kernel, row, column, tile)

    def absolute_product(self, kernel: Array, vector: Array) -> NDArray[np.float64]:
        """See `Backend.absolute_product`; computed without a copy."""
        product = np.empty(len(vector))
        over_rows(
            lambda start, stop: loops.absolute_product(kernel, vector, product, start, stop), len(vector)
        )
        return product

    def eigvalsh(self, kernel: Array) -> NDArray[np.float64]:
        """See `Backend.eigvalsh`. Works in place: no other array of the kernel's size is needed."""
        try:
            if len(kernel) >= two_stage.SMALLEST and two_stage.available():
                return two_stage.eigvalsh(kernel).astype(np.float64)
            require_countable(len(kernel), "eigenvalues on the CPU")
            values = scipy.linalg.eigh(  # the transpose is in Fortran order, which LAPACK works on in place
                kernel.T, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evd"
            )
        except np.linalg.LinAlgError as error:
            raise solver_failed("eigenvalues", error) from None
        return np.asarray(values, dtype=np.float64)

    def eigvalsh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """See `Backend.eigvalsh_bytes`."""
        if rows >= two_stage.SMALLEST and two_stage.available():
            return two_stage.work_bytes(rows, dtype)
        return EVD_ROWS * rows * int(np.dtype(dtype).itemsize)

    def eigh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """See `Backend.eigh_bytes`: the eigenvectors and two matrices of workspace."""
        return 3 * rows**2 * int(np.dtype(dtype).itemsize)

    def eigh(self, kernel: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.eigh`."""
        require_countable(len(kernel), "eigenvectors on the CPU")
        driver = "evd" if len(kernel) <= LAPACK_VECTORS_LIMIT else "evr"
        try:
            values, vectors = scipy.linalg.eigh(kernel.T, overwrite_a=True, check_finite=False, driver=driver)
        except np.linalg.LinAlgError as error:
            raise solver_failed("eigenvectors", error) from None
        return values.astype(np.float64), vectors.astype(np.float64)

    def fold(self, triangle: Array, waiting: list[Array]) -> Array:
        """See `Backend.fold`. LAPACK's tpqrt skips the zeros of the triangle."""
        folded, block = np.asfortranarray(triangle), min(QR_BLOCK, len(triangle))
        while waiting:
            rows = np.asfortranarray(waiting.pop(0).T)
            require_countable(math.isqrt(rows.size), "singular values on the CPU")
            folded, _, _, info = scipy.linalg.lapack.dtpqrt(
                0, block, folded, rows, overwrite_a=True, overwrite_b=True
            )
            if info:
                raise solver_failed("QR", ValueError(f"LAPACK tpqrt returned {info}"))
        return folded

    def fold_columns(self, rows: int, room: int) -> int:
        """See `Backend.fold_columns`. The time per column does not depend on the width of a panel."""
        return rows // FOLDS

    def fold_bytes(self, rows: int, columns: int) -> int:
        """See `Backend.fold_bytes`: the panels, and two triangles at the first fold."""
        return 8 * rows * (2 * rows + 2 * columns)

    def fold_sums(self, rows: int, columns: int) -> int:
        """See `Backend.fold_sums`."""
        return 0

    def solve_lower(self, triangle: Array, rows: Array) -> NDArray[np.float64]:
        """See `Backend.solve_lower`."""
        solved = scipy.linalg.solve_triangular(triangle, rows, lower=True, check_finite=False)
        return np.asarray(solved, dtype=np.float64)

    def singular_values(self, triangle: Array) -> NDArray[np.float64]:
        """See `Backend.singular_values`."""
        require_countable(len(triangle), "singular values on the CPU")
        try:
            return lapack.singular_values(triangle)
        except np.linalg.LinAlgError as error:
            raise solver_failed("singular values", error) from None

    def singular_values_bytes(self, rows: int) -> int:
        """See `Backend.singular_values_bytes`."""
        return 8 * GESDD_ROWS * rows

    def svd_right_bytes(self, rows: int) -> int:
        """See `Backend.svd_right_bytes`: left and right vectors, four matrices for gesdd, and a copy."""
        return 8 * (7 * rows + 7) * rows

    def svd_right(self, triangle: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.svd_right`. LAPACK's gesdd counts its workspace in 32 bits, too."""
        require_countable(2 * len(triangle), "singular vectors on the CPU")
        try:
            _, values, right = scipy.linalg.svd(
                triangle, full_matrices=False, overwrite_a=True, check_finite=False
            )
        except np.linalg.LinAlgError as error:
            raise solver_failed("singular vectors", error) from None
        return values.astype(np.float64), right.T.astype(np.float64)


_limiting = threading.Lock()
_limits: list[Any] = []  # one for each caller, all the same object, which restores what there was before


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Limit BLAS to one thread inside the `with` block.

    Blocks in several threads may overlap: the last one to end restores the limits that the first one found.
    """
    with _limiting:
        _limits.append(_limits[0] if _limits else _pools().limit(limits=1))
    try:
        yield
    finally:
        with _limiting:
            limit = _limits.pop()
            if not _limits:
                limit.restore_original_limits()


@functools.cache
def _pools() -> threadpoolctl.ThreadpoolController:
    """Return the thread pools of all BLAS libraries that are loaded, such as those of NumPy and SciPy."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def over_rows(work: Callable[[int, int], None], rows: int) -> None:
    """Split the rows into ranges and call work(start, stop) for each of them, on several threads."""
    if rows <= ROWS_AT_ONCE:
        work(0, rows)
        return
    starts = range(0, rows, ROWS_AT_ONCE)
    ranges = [(start, min(start + ROWS_AT_ONCE, rows)) for start in starts]
    for _ in CpuBackend().each(lambda start_stop: work(*start_stop), ranges):
        pass


def narrow(right: Matrices) -> bool:
    """Return whether both matrices are dense, with at most `NARROW` columns: sums are then added in order."""
    return all(isinstance(matrix, np.ndarray) and matrix.shape[1] <= NARROW for matrix in right)


def _csr(matrix: Array) -> Array:
    return matrix.csr if isinstance(matrix, CsrRows) else matrix


def countable(rows: int) -> bool:
    """Return whether the entries of a square matrix can be counted in 32 bits, as SciPy's LAPACK does."""
    return rows <= LAPACK_LIMIT


def require_countable(rows: int, what: str) -> None:
    """Raise `BackendError` for more rows than `countable`: LAPACK would crash or return wrong numbers."""
    if not countable(rows):
        raise BackendError(
            what,
            expected=f"at most {LAPACK_LIMIT} rows or as many entries: SciPy's LAPACK counts in 32 bits",
            got=f"{rows} rows",
            remedy="use fewer samples, or ⟦--method=lanczos⟧ with ⟦-k⟧",
        )
