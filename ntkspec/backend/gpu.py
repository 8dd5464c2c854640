"""The GPU backend: the shared arithmetic over CuPy. Nothing here is imported unless it was selected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend.protocol import ArrayBackend, BackendName, solver_failed
from ntkspec.errors import BackendError


class GpuBackend(ArrayBackend):
    """CuPy's cuBLAS, cuSPARSE and cuSOLVER.

    Raises:
        BackendError: CuPy is not installed, or sees no device.
    """

    name: BackendName = "gpu"

    def __init__(self) -> None:
        self._cupyx, cupy, sparse = _cupy()
        super().__init__(cupy, sparse)

    def get(self, array: Any) -> NDArray[Any]:
        """See `Backend.get`."""
        return np.asarray(self.xp.asnumpy(array))

    def eigvalsh(self, kernel: Any) -> NDArray[np.float64]:
        """See `Backend.eigvalsh`."""
        with self._checked("eigenvalues"):
            return self.get(self.xp.linalg.eigvalsh(kernel)).astype(np.float64)

    def eigh(self, kernel: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.eigh`."""
        with self._checked("eigenvectors"):
            values, vectors = self.xp.linalg.eigh(kernel)
            return self.get(values).astype(np.float64), self.get(vectors).astype(np.float64)

    def fold(self, triangle: Any, rows: Any) -> Any:
        """See `Backend.fold`."""
        with self._checked("QR"):
            return super().fold(triangle, rows)

    def singular_values(self, triangle: Any) -> NDArray[np.float64]:
        """See `Backend.singular_values`."""
        with self._checked("singular values"):
            return self.get(self.xp.linalg.svd(triangle, compute_uv=False)).astype(np.float64)

    def svd_right(self, triangle: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Backend.svd_right`."""
        with self._checked("singular vectors"):
            _, values, right = self.xp.linalg.svd(triangle, full_matrices=False)
            return self.get(values).astype(np.float64), self.get(right.T).astype(np.float64)

    @contextlib.contextmanager
    def _checked(self, what: str) -> Iterator[None]:
        """CuPy ignores a solver's failure flag unless told otherwise."""
        try:
            with self._cupyx.errstate(linalg="raise"):
                yield
        except np.linalg.LinAlgError as error:
            raise solver_failed(what, error) from None


def _cupy() -> tuple[Any, Any, Any]:
    try:
        import cupy
        import cupyx
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
