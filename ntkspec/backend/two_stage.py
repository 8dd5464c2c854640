"""Compute eigenvalues by LAPACK's two-stage reduction, if the OpenBLAS in NumPy exports it.

A symmetric matrix is first reduced to a band, by matrix products, and the band then to tridiagonal form
(Haidar, Ltaief and Dongarra 2011; LAPACK's dsyevd_2stage, eigenvalues only). The one-stage reduction does
half of its work in matrix-vector products, which memory bandwidth limits. Neither NumPy nor SciPy has a
function for the two-stage drivers, but the OpenBLAS in NumPy's wheels exports them, with 64-bit sizes.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import DTypeLike, NDArray

from ntkspec.backend.mixing import mix, mixing_bytes

SMALLEST = 3072  # rows from which two stages are faster than one
NAMES = {"float64": "scipy_dsyevd_2stage_64_", "float32": "scipy_ssyevd_2stage_64_"}


def available() -> bool:
    """Return whether a library with LAPACK's two-stage drivers is loaded."""
    return _library() is not None


def eigvalsh(kernel: NDArray[Any]) -> NDArray[Any]:
    """Compute the eigenvalues of a C-contiguous symmetric matrix (N, N), ascending; the matrix is destroyed.

    A random reflection is applied first, see `ntkspec.backend.mixing`. Besides the matrix this takes the
    memory of a few hundred of its rows.

    Raises:
        numpy.linalg.LinAlgError: LAPACK did not converge.
    """
    n = len(kernel)
    mix(kernel, np)
    values = np.empty(n, kernel.dtype)
    lwork, lwhole = _workspace(n, kernel.dtype)
    work, whole = np.empty(lwork, kernel.dtype), np.empty(lwhole, np.int64)
    info = _solve(n, kernel, values, work, lwork, whole, lwhole)
    if info:
        raise np.linalg.LinAlgError(f"LAPACK syevd_2stage returned {info}")
    return values


def work_bytes(rows: int, dtype: DTypeLike) -> int:
    """Return the bytes that `eigvalsh`, with its result, needs in addition to a matrix of `rows` rows."""
    lwork, lwhole = _workspace(rows, np.dtype(dtype))
    work = (lwork + rows) * int(np.dtype(dtype).itemsize) + 8 * lwhole
    return max(work, mixing_bytes(rows, dtype))


def _workspace(n: int, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Ask LAPACK for the lengths of its two workspaces: floating-point numbers and integers."""
    none, work, whole = np.empty(1, dtype), np.empty(1, dtype), np.empty(1, np.int64)
    _solve(n, none, none, work, -1, whole, -1)
    return int(np.nextafter(work[0], np.inf)) + 1, int(whole[0])  # float32 may round down


def _solve(
    n: int,
    kernel: NDArray[Any],
    values: NDArray[Any],
    work: NDArray[Any],
    lwork: int,
    whole: NDArray[np.int64],
    lwhole: int,
) -> int:
    """Call LAPACK's syevd_2stage and return its code: 0 if it converged.

    The matrix must have both triangles filled: then row-major and column-major order are the same.
    """
    library = _library()
    assert library is not None
    size, info = ctypes.c_int64(n), ctypes.c_int64(0)
    sizes = [ctypes.byref(ctypes.c_int64(number)) for number in (lwork, lwhole)]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (kernel, values, work, whole)]
    getattr(library, NAMES[str(kernel.dtype)])(
        ctypes.c_char_p(b"N"),
        ctypes.c_char_p(b"L"),
        ctypes.byref(size),
        pointers[0],
        ctypes.byref(size),
        pointers[1],
        pointers[2],
        sizes[0],
        pointers[3],
        sizes[1],
        ctypes.byref(info),
        ctypes.c_size_t(1),  # lengths of the two strings, which Fortran passes last
        ctypes.c_size_t(1),
    )
    return info.value


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Return the loaded BLAS library that exports the drivers; None if NumPy was built without it."""
    for pool in threadpoolctl.threadpool_info():
        library = ctypes.CDLL(pool["filepath"])
        if all(hasattr(library, name) for name in NAMES.values()):
            return library
    return None
