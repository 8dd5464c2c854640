"""The GPU backend, which computes with CuPy. This module is imported only if the backend is selected."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.backend.arrays import Array
from ntkspec.backend.base import FOLDS, Backend, BackendName, Matrices, solver_failed
from ntkspec.backend.cpu import CpuBackend
from ntkspec.backend.device_eigenvalues import DeviceEigenvalues
from ntkspec.backend.device_kernels import C_TYPES, DeviceKernels, rows_apart
from ntkspec.backend.in_place import DeviceInPlace
from ntkspec.errors import BackendError, MemoryBudgetError
from ntkspec.jacobian import Matrix
from ntkspec.machine.memory import SHARE
from ntkspec.summation import NARROW, panel_of, panels

THREADS = 128  # of a block: rows on the right side that share one on the left, or columns of a tile
ROWS_AT_ONCE = 1024  # of a tile, in blocks
ALIGNED = 16  # numbers
# Panels that may be added in order, since so few take no more roundings than added pairwise, as errors are
# stated. That cuBLAS completes a panel before it adds it to the sum is observed, not proved.
IN_ORDER = 4
COUNTED = 2**31 - 1  # entries
BAND_FROM = 4096  # rows from which our own eigenvalue solver is faster than cuSOLVER's
# Variables that let cuBLAS depart from IEEE arithmetic, for which errors are stated.
OTHER_ARITHMETIC = (
    "CUPY_TF32",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_EMULATE_DOUBLE_PRECISION",
    "CUBLAS_EMULATE_SINGLE_PRECISION",
)
# Before CUDA 13.0 cuSOLVER's Xsyevd, which CuPy calls, is reported to fail beyond 23,000 to 25,000 rows, or
# to return wrong eigenvalues without saying so.
XSYEVD_LIMIT = 23_000  # rows
XSYEVD_MENDED = 13_000  # CUDA 13.0, as the runtime writes its version


class GpuBackend(Backend):
    """Computes with cuBLAS, cuSPARSE and cuSOLVER through CuPy, and with our own CUDA kernels.

    Raises:
        BackendError: CuPy is not installed or finds no device, or an environment variable asks for arithmetic
            other than IEEE's.
    """

    name: BackendName = "gpu"

    def __init__(self) -> None:
        _require_ieee()
        self._cupyx, cupy, sparse = _cupy()
        super().__init__(cupy, sparse)
        self._host = CpuBackend()
        self.kernels = DeviceKernels(cupy)
        self.in_place = DeviceInPlace(cupy.cuda.cublas, cupy.cuda.device.get_cublas_handle)
        self.eigenvalues = DeviceEigenvalues(cupy, self.kernels, self.in_place)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the class, since device arrays belong to one process."""
        return type(self), ()

    def put(self, matrix: Matrix, dtype: DTypeLike) -> Array:
        """See `Backend.put`. In CSR each row has sorted, unique columns; indices are int32 if they fit."""
        if not isinstance(matrix, np.ndarray):
            if not matrix.has_canonical_format:
                matrix = matrix.copy()
                matrix.sum_duplicates()
            if max(matrix.nnz, *matrix.shape) <= np.iinfo(np.int32).max:  # CuPy keeps SciPy's index type
                arrays = matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
                matrix = type(matrix)(arrays, shape=matrix.shape)
        return super().put(matrix, dtype)

    def put_for_tiles(self, matrix: Matrix, dtype: DTypeLike, *, dense: bool | None = None) -> Array:
        """See `Backend.put_for_tiles`. Wide rows are aligned in memory, which makes cuBLAS faster."""
        moved = super().put_for_tiles(matrix, dtype, dense=dense)
        if self.sparse.issparse(moved) or moved.shape[1] <= NARROW or moved.shape[1] % ALIGNED == 0:
            return moved
        rows, width = moved.shape
        aligned = self.xp.empty((rows, -(-width // ALIGNED) * ALIGNED), dtype)
        aligned[:, :width] = moved
        return aligned[:, :width]

    def get(self, array: Array) -> NDArray[Any]:
        """See `Backend.get`."""
        return np.asarray(self.xp.asnumpy(array))

    def add_tile(self, tile: Array, left: Matrices | None, right: Matrices, repeat: int) -> None:
        """See `Backend.add_tile`. Pairs of sparse left rows without a common column are skipped.

        Args:
            tile: (ti * repeat, tj * repeat); it may be a part of a wider array.
            left: (ti, a) and (tj, a), from `rows`, or None for all ones. Our sparse CUDA kernel takes CSR.
            right: (ti * repeat, w) and (tj * repeat, w), from `rows`. Our sparse CUDA kernel takes dense.
            repeat: rows of the kernel per sample.
        """
        if left is not None and self._suits(tile, left, right):
            self._add_at_overlaps(tile, left, right, repeat)
        elif left is None or tile.strides[1] != tile.itemsize:
            super().add_tile(tile, left, right, repeat)
        else:
            factor, product = (self.xp.ascontiguousarray(self.dense_gram(*side)) for side in (left, right))
            rows, columns = tile.shape
            kernel = self.kernels.get("add_product", REAL=C_TYPES[str(tile.dtype)])
            sizes = [np.int32(size) for size in (rows, columns, repeat)]
            grid = (-(-columns // THREADS), min(rows, ROWS_AT_ONCE))
            kernel(grid, (THREADS,), (tile, rows_apart(tile), factor, product, *sizes))

    def dense_gram(self, x: Array, y: Array) -> Array:
        """See `Backend.dense_gram`; cuBLAS adds the product of each panel to the sum."""
        slices = panels(x.shape[1], panel_of(max(x.shape[0], y.shape[0])))
        if self.sparse.issparse(x) or self.sparse.issparse(y) or len(slices) > IN_ORDER:
            return super().dense_gram(x, y)
        total = self.xp.empty((x.shape[0], y.shape[0]), x.dtype)
        for i, columns in enumerate(slices):
            self.in_place.multiply(total, x[:, columns], y[:, columns].T, 1.0, float(i > 0))
        return total

    def _add_at_overlaps(self, tile: Array, left: Matrices, right: Matrices, repeat: int) -> None:
        (ti, tj), width = (matrix.shape[0] for matrix in left), right[0].shape[1]
        csr = [array for matrix in left for array in (matrix.indptr, matrix.indices, matrix.data)]
        dense = [self.xp.ascontiguousarray(matrix) for matrix in right]
        sizes = [np.int32(size) for size in (tj, repeat, width)]
        kernel = self.kernels.get("sparse_tile", REAL=C_TYPES[str(tile.dtype)])
        kernel((ti, -(-tj // THREADS)), (THREADS,), (tile, rows_apart(tile), *sizes, *csr, *dense))

    def _suits(self, tile: Array, left: Matrices, right: Matrices) -> bool:
        """Return whether cuda/sparse_tile.cu can add this tile.

        It needs `left` in CSR with int32 indices, `right` dense with at most `NARROW` columns, all of the
        tile's dtype, and a tile whose rows are contiguous.
        """
        if not all(map(self.sparse.issparse, left)) or any(map(self.sparse.issparse, right)):
            return False
        int32 = all(a.dtype == np.int32 for matrix in left for a in (matrix.indptr, matrix.indices))
        same_dtype = all(matrix.dtype == tile.dtype for matrix in (*left, *right))
        narrow = all(matrix.shape[1] <= NARROW for matrix in right)  # the kernel adds in order
        return int32 and same_dtype and narrow and tile.strides[1] == tile.itemsize

    def room(self, budget: int) -> int:
        """See `Backend.room`: a share of the free memory of the device; `budget` does not matter."""
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(SHARE * (free + self.xp.get_default_memory_pool().free_bytes()))

    @functools.cached_property
    def device(self) -> str:
        """See `Backend.device`."""
        runtime = self.xp.cuda.runtime
        return str(runtime.getDeviceProperties(runtime.getDevice())["name"].decode())

    def insert(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """See `Backend.insert`. A kernel that does not fit on the device is on the host."""
        super().insert(kernel, row, column, tile if isinstance(kernel, self.xp.ndarray) else self.get(tile))

    def store(self, kernel: Array, row: int, column: int, tile: Array) -> None:
        """See `Backend.store`. A kernel that does not fit on the device is on the host or in a file."""
        if not isinstance(kernel, self.xp.ndarray):
            self._host.store(kernel, row, column, self.get(tile))
        elif row == column or tile.strides[1] != tile.itemsize:
            super().store(kernel, row, column, tile)
        else:
            height, width = tile.shape
            self.insert(kernel, row, column, tile)
            self.in_place.transpose(kernel[column : column + width, row : row + height], tile)

    def eigvalsh(self, kernel: Array) -> NDArray[np.float64]:
        """See `Backend.eigvalsh`. The eigenvalues of a kernel on the host are computed on the host."""
        if not isinstance(kernel, self.xp.ndarray):
            return self._host.eigvalsh(kernel)
        with self._checked("eigenvalues"):
            if len(kernel) < BAND_FROM:
                return self.get(self.xp.linalg.eigvalsh(kernel)).astype(np.float64)
            return self.get(self.eigenvalues.values(kernel))

    def eigvalsh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """See `Backend.eigvalsh_bytes`."""
        if rows < BAND_FROM:
            return self.eigh_bytes(rows, dtype)
        return self.eigenvalues.bytes_beside(rows, dtype)

    def eigh_bytes(self, rows: int, dtype: DTypeLike) -> int:
        """See `Backend.eigh_bytes`: cuSOLVER's workspace, and CuPy's copy of the matrix."""
        return 5 * rows**2 * int(np.dtype(dtype).itemsize)

    def singular_values_bytes(self, rows: int) -> int:
        """See `Backend.singular_values_bytes`: the matrix [[0, R], [R^T, 0]] and `eigvalsh` of it."""
        return 8 * (2 * rows) ** 2 + self.eigvalsh_bytes(2 * rows, np.float64)

    def eigh(self, kernel: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.eigh`."""
        if not isinstance(kernel, self.xp.ndarray):
            return self._host.eigh(kernel)
        self._refuse_large(len(kernel))
        with self._checked("eigenvectors"):
            values, vectors = self.xp.linalg.eigh(kernel)
            return self.get(values).astype(np.float64), self.get(vectors).astype(np.float64)

    def fold(self, triangle: Array, waiting: list[Array]) -> Array:
        """See `Backend.fold`."""
        rows = len(triangle)
        entries = rows * (rows + sum(panel.shape[1] for panel in waiting))
        if entries > COUNTED:
            raise BackendError(
                "singular values on the GPU",
                expected=f"at most {COUNTED} entries in a QR: cuSOLVER's geqrf counts in 32 bits",
                got=f"{entries}, of {rows} rows",
                remedy="use fewer samples, ⟦--method=gram⟧ or ⟦--backend=cpu⟧",
            )
        with self._checked("QR"):
            return super().fold(triangle, waiting)

    def fold_columns(self, rows: int, room: int) -> int:
        """See `Backend.fold_columns`; limited to the entries that cuSOLVER can count."""
        countable = 2 * (COUNTED // rows - rows) // 3
        return min(super().fold_columns(rows, room), max(countable, rows // FOLDS))

    def solve_lower(self, triangle: Array, rows: Array) -> Array:
        """See `Backend.solve_lower`."""
        with self._checked("a triangular system"):
            return self._cupyx.scipy.linalg.solve_triangular(triangle, rows, lower=True, check_finite=False)

    def singular_values(self, triangle: Array) -> NDArray[np.float64]:
        """See `Backend.singular_values`.

        Computed as the positive eigenvalues of [[0, R], [R^T, 0]], which have the same absolute accuracy
        (Jordan 1874; Wielandt 1955). cuSOLVER's own solver took longer at every size that was tried.
        """
        size = len(triangle)
        with self._checked("singular values"):
            symmetric = self.xp.zeros((2 * size, 2 * size), triangle.dtype)
            symmetric[:size, size:] = triangle
            symmetric[size:, :size] = triangle.T
        return np.maximum(self.eigvalsh(symmetric)[: size - 1 : -1], 0.0)

    def svd_right_bytes(self, rows: int) -> int:
        """See `Backend.svd_right_bytes`: vectors of both sides, cuSOLVER's workspace, CuPy's copy."""
        return 8 * 7 * rows**2

    def svd_right(self, triangle: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.svd_right`."""
        with self._checked("singular vectors"):
            _, values, right = self.xp.linalg.svd(triangle, full_matrices=False)
            return self.get(values).astype(np.float64), self.get(right.T).astype(np.float64)

    def _refuse_large(self, rows: int) -> None:
        """Raise `BackendError` for sizes at which cuSOLVER before CUDA 13.0 may return wrong eigenvalues."""
        version = self.xp.cuda.runtime.runtimeGetVersion()
        if rows > XSYEVD_LIMIT and version < XSYEVD_MENDED:
            raise BackendError(
                "eigenvalues on the GPU",
                expected=f"at most {XSYEVD_LIMIT} rows with CUDA {version // 1000}.{version % 1000 // 10}, "
                "whose solver may return wrong numbers beyond",
                got=f"{rows} rows",
                remedy="install ntkspec[cuda13], or use ⟦--backend=cpu⟧ or fewer samples",
            )

    @contextlib.contextmanager
    def _checked(self, what: str) -> Iterator[None]:
        """Turn a solver's failure into `BackendError`, and lack of memory into `MemoryBudgetError`.

        CuPy ignores the failure flag of a solver by default, and its MemoryError does not suggest a remedy.
        """
        try:
            with self._cupyx.errstate(linalg="raise"):
                yield
        except np.linalg.LinAlgError as error:
            raise solver_failed(what, error) from None
        except MemoryError as error:  # CuPy's own is one
            raise MemoryBudgetError(
                f"{what} on the GPU",
                expected="room for the solver on the device",
                got=(str(error).splitlines() or ["none"])[0].rstrip("."),
                remedy="use ⟦--backend=cpu⟧, fewer samples or ⟦--precision=float32⟧",
            ) from None


def _require_ieee() -> None:
    """Raise `BackendError` if an environment variable lets cuBLAS depart from IEEE arithmetic."""
    for name in OTHER_ARITHMETIC:
        if os.environ.get(name, "0") not in ("", "0"):
            raise BackendError(
                "backend gpu",
                expected="IEEE arithmetic, in which errors are stated",
                got=f"{name}={os.environ[name]} in the environment",
                remedy=f"unset {name}, or use ⟦--backend=cpu⟧",
            )


def _cupy() -> tuple[Any, Any, Any]:
    """Import CuPy and return cupyx, cupy and cupyx.scipy.sparse.

    Raises:
        BackendError: CuPy is not installed, or finds no device.
    """
    try:
        import cupy
        import cupyx
        import cupyx.scipy.linalg
        import cupyx.scipy.sparse as sparse
    except ImportError as error:
        raise BackendError(
            "backend gpu",
            expected="CuPy",
            got=str(error),
            remedy="install ntkspec[cuda13] or [cuda12], or use ⟦--backend=cpu⟧",
        ) from None
    if not cupy.cuda.is_available():
        raise BackendError(
            "backend gpu", expected="a CUDA device", got="none that CuPy sees", remedy="use ⟦--backend=cpu⟧"
        )
    return cupyx, cupy, sparse
