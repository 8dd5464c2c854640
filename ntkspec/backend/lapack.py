"""Call SciPy's LAPACK without holding the interpreter lock, so that other Python threads can run.

SciPy's own wrappers hold the lock. Singular values of ten thousand rows take many minutes, during which no
other thread could show progress.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def singular_values(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the singular values (N,) of a square matrix (N, N), in descending order.

    A matrix in Fortran order is destroyed. The result has the same bits as that of `scipy.linalg.svd`, and
    takes as much memory.

    Raises:
        numpy.linalg.LinAlgError: LAPACK did not converge, or the matrix contains NaN.
    """
    matrix = np.asfortranarray(matrix, np.float64)
    values, work = np.empty(len(matrix)), np.empty(1)
    _gesdd(matrix, values, work, -1)  # asks for the size of the workspace
    work = np.empty(int(work[0]))
    info = _gesdd(matrix, values, work, len(work))
    if info:
        raise np.linalg.LinAlgError(f"LAPACK gesdd returned {info}")
    return values


def _gesdd(
    matrix: NDArray[np.float64], values: NDArray[np.float64], work: NDArray[np.float64], lwork: int
) -> int:
    """Call LAPACK's dgesdd for singular values without vectors; return its code, 0 if it converged."""
    size, one, length, info = (ctypes.c_int(number) for number in (len(matrix), 1, lwork, 0))
    whole, vectors = np.empty(8 * len(matrix), np.intc), np.empty(1)
    _dgesdd()(
        ctypes.c_char_p(b"N"),
        ctypes.byref(size),
        ctypes.byref(size),
        matrix.ctypes.data_as(ctypes.c_void_p),
        ctypes.byref(size),
        values.ctypes.data_as(ctypes.c_void_p),
        vectors.ctypes.data_as(ctypes.c_void_p),
        ctypes.byref(one),
        vectors.ctypes.data_as(ctypes.c_void_p),
        ctypes.byref(one),
        work.ctypes.data_as(ctypes.c_void_p),
        ctypes.byref(length),
        whole.ctypes.data_as(ctypes.c_void_p),
        ctypes.byref(info),
    )
    return info.value


@functools.cache
def _dgesdd() -> Callable[..., None]:
    """Return LAPACK's dgesdd, which takes 14 pointers, from SciPy's interface for Cython."""
    from numba.extending import get_cython_function_address

    address = get_cython_function_address("scipy.linalg.cython_lapack", "dgesdd")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 14)(address)
