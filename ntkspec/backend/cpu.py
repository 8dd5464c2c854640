"""The CPU backend: BLAS and LAPACK through NumPy and SciPy, Numba where a product is mostly zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from ntkspec.backend.protocol import ArrayBackend, BackendName, solver_failed

# Above this share of nonzeros in a sparse factor's Gram tile a full product on the right is cheaper.
SPARSE_TILE = 0.1
QR_BLOCK = 32  # columns that tpqrt works on at a time
LAPACK_VECTORS_LIMIT = 32_766  # SciPy's LAPACK counts the workspace of evd in 32 bits


class CpuBackend(ArrayBackend):
    """NumPy, SciPy and Numba."""

    name: BackendName = "cpu"

    def __init__(self) -> None:
        super().__init__(np, scipy.sparse)

    def get(self, array: Any) -> NDArray[Any]:
        """See `Backend.get`."""
        return np.asarray(array)

    def add_tile(self, tile: Any, left: tuple[Any, Any] | None, right: tuple[Any, Any], repeat: int) -> None:
        """See `Backend.add_tile`; a sparse left Gram tile is used at its nonzeros only."""
        if left is not None and all(map(scipy.sparse.issparse, left)) and isinstance(right[0], np.ndarray):
            gram = left[0] @ left[1].T
            if gram.nnz <= SPARSE_TILE * gram.shape[0] * gram.shape[1]:
                from ntkspec.backend.kernels import add_at_nonzeros

                add_at_nonzeros(tile, gram.indptr, gram.indices, gram.data, *right, repeat)
                return
        super().add_tile(tile, left, right, repeat)

    def eigvalsh(self, kernel: Any) -> NDArray[np.float64]:
        """See `Backend.eigvalsh`. In place: the transpose is the Fortran order that LAPACK wants."""
        try:
            values = scipy.linalg.eigh(
                kernel.T, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evd"
            )
        except np.linalg.LinAlgError as error:
            raise solver_failed("eigenvalues", error) from None
        return np.asarray(values, dtype=np.float64)

    def eigh(self, kernel: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.eigh`."""
        driver = "evd" if len(kernel) <= LAPACK_VECTORS_LIMIT else "evr"
        try:
            values, vectors = scipy.linalg.eigh(kernel.T, overwrite_a=True, check_finite=False, driver=driver)
        except np.linalg.LinAlgError as error:
            raise solver_failed("eigenvectors", error) from None
        return values.astype(np.float64), vectors.astype(np.float64)

    def fold(self, triangle: Any, rows: Any) -> Any:
        """See `Backend.fold`. LAPACK's tpqrt leaves the zeros of the triangle alone."""
        block = min(QR_BLOCK, len(triangle))
        folded, _, _, info = scipy.linalg.lapack.dtpqrt(
            0,
            block,
            np.asfortranarray(triangle),
            np.asfortranarray(rows),
            overwrite_a=True,
            overwrite_b=True,
        )
        if info:
            raise solver_failed("QR", ValueError(f"LAPACK tpqrt returned {info}"))
        return folded

    def singular_values(self, triangle: Any) -> NDArray[np.float64]:
        """See `Backend.singular_values`."""
        try:
            values = scipy.linalg.svd(triangle, compute_uv=False, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError as error:
            raise solver_failed("singular values", error) from None
        return np.asarray(values, dtype=np.float64)

    def svd_right(self, triangle: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.svd_right`."""
        try:
            _, values, right = scipy.linalg.svd(
                triangle, full_matrices=False, overwrite_a=True, check_finite=False
            )
        except np.linalg.LinAlgError as error:
            raise solver_failed("singular vectors", error) from None
        return values.astype(np.float64), right.T.astype(np.float64)
