"""The GPU backend: the shared arithmetic over CuPy. Nothing here is imported unless it was selected."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend.arrays import ArrayBackend
from ntkspec.backend.cpu import CpuBackend
from ntkspec.backend.protocol import BackendName, solver_failed
from ntkspec.errors import BackendError, MemoryBudgetError
from ntkspec.jacobian import Matrix
from ntkspec.memory import SHARE
from ntkspec.summation import NARROW

THREADS = 128  # of a block of the sparse tile's kernel: rows on the right side that share one on the left
C_TYPES = {"float32": "float", "float64": "double"}
# Before CUDA 13.0 cuSOLVER's Xsyevd, which CuPy calls, is reported to fail beyond 23,000 to 25,000 rows, or
# to return wrong eigenvalues without saying so.
XSYEVD_LIMIT = 23_000  # rows
XSYEVD_MENDED = 13_000  # CUDA 13.0, as the runtime writes its version


class GpuBackend(ArrayBackend):
    """CuPy's cuBLAS, cuSPARSE and cuSOLVER.

    Raises:
        BackendError: CuPy is not installed, or sees no device.
    """

    name: BackendName = "gpu"

    def __init__(self) -> None:
        self._cupyx, cupy, sparse = _cupy()
        super().__init__(cupy, sparse)
        self._host = CpuBackend()
        self._sparse_tiles: dict[str, Any] = {}  # compiled kernels by dtype

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle nothing: a backend belongs to its process."""
        return type(self), ()

    def put(self, matrix: Matrix, dtype: Any) -> Any:
        """See `Backend.put`. CSR as the sparse tile wants it: columns ascending, each once, in 32 bits."""
        if not isinstance(matrix, np.ndarray):
            if not matrix.has_canonical_format:
                matrix = matrix.copy()
                matrix.sum_duplicates()
            if max(matrix.nnz, *matrix.shape) <= np.iinfo(np.int32).max:  # CuPy keeps SciPy's index type
                parts = matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
                matrix = type(matrix)(parts, shape=matrix.shape)
        return super().put(matrix, dtype)

    def get(self, array: Any) -> NDArray[Any]:
        """See `Backend.get`."""
        return np.asarray(self.xp.asnumpy(array))

    def add_tile(self, tile: Any, left: tuple[Any, Any] | None, right: tuple[Any, Any], repeat: int) -> None:
        """See `Backend.add_tile`; where both left matrices are sparse, a kernel works at overlaps only.

        Args:
            tile: (ti * repeat, tj * repeat); rows may be further apart than they are long.
            left: (ti, a) and (tj, a), from `rows`, or None for all ones; CSR for the kernel.
            right: (ti * repeat, w) and (tj * repeat, w), from `rows`; dense for the kernel.
            repeat: rows of the kernel per sample.
        """
        if left is None or not self._suits(tile, left, right):
            super().add_tile(tile, left, right, repeat)
            return
        (ti, tj), width = (matrix.shape[0] for matrix in left), right[0].shape[1]
        csr = [part for matrix in left for part in (matrix.indptr, matrix.indices, matrix.data)]
        dense = [self.xp.ascontiguousarray(matrix) for matrix in right]
        stride = np.int64(tile.strides[0] // tile.itemsize)
        sizes = [np.int32(size) for size in (tj, repeat, width)]
        kernel = self._sparse_tile(str(tile.dtype))
        kernel((ti, -(-tj // THREADS)), (THREADS,), (tile, stride, *sizes, *csr, *dense))

    def _suits(self, tile: Any, left: tuple[Any, Any], right: tuple[Any, Any]) -> bool:
        """Whether the sparse tile's kernel can take these."""
        if not all(map(self.sparse.issparse, left)) or any(map(self.sparse.issparse, right)):
            return False
        counted = all(part.dtype == np.int32 for matrix in left for part in (matrix.indptr, matrix.indices))
        alike = all(matrix.dtype == tile.dtype for matrix in (*left, *right))
        short = all(matrix.shape[1] <= NARROW for matrix in right)  # it adds in order
        return counted and alike and short and tile.strides[1] == tile.itemsize

    def _sparse_tile(self, dtype: str) -> Any:
        """The kernel for float32 or float64. NVRTC's defaults are IEEE arithmetic, and stay."""
        if dtype not in self._sparse_tiles:
            source = resources.files("ntkspec.backend").joinpath("cuda", "sparse_tile.cu").read_text("utf-8")
            options = (f"-DREAL={C_TYPES[dtype]}",)
            self._sparse_tiles[dtype] = self.xp.RawKernel(source, "sparse_tile", options=options)
        return self._sparse_tiles[dtype]

    def room(self, budget: int) -> int:
        """See `Backend.room`: a share of what is free on the device, whatever the host's budget."""
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(SHARE * (free + self.xp.get_default_memory_pool().free_bytes()))

    @functools.cached_property
    def device(self) -> str:
        """See `Backend.device`."""
        runtime = self.xp.cuda.runtime
        return str(runtime.getDeviceProperties(runtime.getDevice())["name"].decode())

    def insert(self, kernel: Any, row: int, column: int, tile: Any) -> None:
        """See `Backend.insert`. Kernels that do not fit the device lie on the host."""
        super().insert(kernel, row, column, tile if isinstance(kernel, self.xp.ndarray) else self.get(tile))

    def store(self, kernel: Any, row: int, column: int, tile: Any) -> None:
        """See `Backend.store`. Kernels that do not fit the device lie on the host, or in a file."""
        if isinstance(kernel, self.xp.ndarray):
            super().store(kernel, row, column, tile)
        else:
            self._host.store(kernel, row, column, self.get(tile))

    def eigvalsh(self, kernel: Any) -> NDArray[np.float64]:
        """See `Backend.eigvalsh`. A kernel that lies on the host is solved there."""
        if not isinstance(kernel, self.xp.ndarray):
            return self._host.eigvalsh(kernel)
        self._refuse_large(len(kernel))
        with self._checked("eigenvalues"):
            return self.get(self.xp.linalg.eigvalsh(kernel)).astype(np.float64)

    def eigvalsh_bytes(self, rows: int, dtype: Any) -> int:
        """See `Backend.eigvalsh_bytes`: cuSOLVER's workspace, and CuPy's copy of the matrix."""
        return 5 * rows**2 * int(np.dtype(dtype).itemsize)

    def singular_values_bytes(self, rows: int) -> int:
        """See `Backend.singular_values_bytes`: CuPy's copy of the matrix, and cuSOLVER's workspace."""
        return 2 * 8 * rows**2

    def eigh(self, kernel: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.eigh`."""
        if not isinstance(kernel, self.xp.ndarray):
            return self._host.eigh(kernel)
        self._refuse_large(len(kernel))
        with self._checked("eigenvectors"):
            values, vectors = self.xp.linalg.eigh(kernel)
            return self.get(values).astype(np.float64), self.get(vectors).astype(np.float64)

    def fold(self, triangle: Any, rows: Any) -> Any:
        """See `Backend.fold`."""
        with self._checked("QR"):
            return super().fold(triangle, rows)

    def solve_lower(self, triangle: Any, rows: Any) -> Any:
        """See `Backend.solve_lower`."""
        with self._checked("a triangular system"):
            return self._cupyx.scipy.linalg.solve_triangular(triangle, rows, lower=True, check_finite=False)

    def singular_values(self, triangle: Any) -> NDArray[np.float64]:
        """See `Backend.singular_values`."""
        with self._checked("singular values"):
            return self.get(self.xp.linalg.svd(triangle, compute_uv=False)).astype(np.float64)

    def svd_right(self, triangle: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.svd_right`."""
        with self._checked("singular vectors"):
            _, values, right = self.xp.linalg.svd(triangle, full_matrices=False)
            return self.get(values).astype(np.float64), self.get(right.T).astype(np.float64)

    def _refuse_large(self, rows: int) -> None:
        version = self.xp.cuda.runtime.runtimeGetVersion()
        if rows > XSYEVD_LIMIT and version < XSYEVD_MENDED:
            raise BackendError(
                "eigenvalues on the GPU",
                expected=f"at most {XSYEVD_LIMIT} rows with CUDA {version // 1000}.{version % 1000 // 10}, "
                "whose solver may return wrong numbers beyond",
                got=f"{rows} rows",
                remedy="install ntkspec[cuda13], or use --backend cpu or fewer samples",
            )

    @contextlib.contextmanager
    def _checked(self, what: str) -> Iterator[None]:
        """CuPy ignores a solver's failure flag unless told otherwise; its MemoryError names no remedy."""
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
                remedy="use --backend cpu, fewer samples or --precision float32",
            ) from None


def _cupy() -> tuple[Any, Any, Any]:
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
            remedy="install ntkspec[cuda13] or [cuda12], or use --backend cpu",
        ) from None
    if not cupy.cuda.is_available():
        raise BackendError(
            "backend gpu", expected="a CUDA device", got="none that CuPy sees", remedy="use --backend cpu"
        )
    return cupyx, cupy, sparse
