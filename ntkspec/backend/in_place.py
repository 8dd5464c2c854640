"""Multiply and transpose parts of a large matrix without copying the parts.

CuPy's `@` copies a part of a matrix, whose rows do not follow each other in memory. cuBLAS itself needs no
copy if it is given the stride from row to row.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from ntkspec.backend.arrays import Array

TURNED, AS_IS = 1, 0  # cuBLAS' CUBLAS_OP_T and CUBLAS_OP_N


class DeviceInPlace:
    """Products and transposes by cuBLAS, on the current device and stream.

    Args:
        cublas: CuPy's module with the functions of cuBLAS.
        handle: returns the cuBLAS handle of the current device.
    """

    def __init__(self, cublas: ModuleType, handle: Callable[[], int]) -> None:
        self.cublas, self.handle = cublas, handle

    def multiply(self, out: Array, x: Array, y: Array, alpha: float = 1.0, beta: float = 0.0) -> None:
        """Compute out = alpha x y + beta out, for two-dimensional arrays of one dtype.

        cuBLAS is column-major, so it is asked for out^T = y^T x^T.

        Args:
            out: contiguous rows; overlaps neither x nor y.
            x, y: contiguous rows or contiguous columns.
        """
        (rows, columns), inner = out.shape, x.shape[1]
        if not out.size:
            return
        factors = np.array([alpha, beta], out.dtype)
        call = self.cublas.dgemm if out.dtype == np.float64 else self.cublas.sgemm
        (turn_x, apart_x), (turn_y, apart_y) = _lying(x), _lying(y)
        at = factors.ctypes.data
        call(
            self.handle(),
            turn_y,
            turn_x,
            columns,
            rows,
            inner,
            at,
            y.data.ptr,
            apart_y,
            x.data.ptr,
            apart_x,
            at + factors.itemsize,
            out.data.ptr,
            _lying(out)[1],
        )

    def transpose(self, out: Array, x: Array) -> None:
        """Copy x^T to `out`. Both have contiguous rows and must not overlap."""
        rows, columns = out.shape
        factors = np.array([1, 0], out.dtype)
        call = self.cublas.dgeam if out.dtype == np.float64 else self.cublas.sgeam
        at, place, apart = factors.ctypes.data, out.data.ptr, _lying(out)[1]
        # What is added with the factor 0 is not read; it may be the result itself if that is not turned.
        call(
            self.handle(),
            TURNED,
            AS_IS,
            columns,
            rows,
            at,
            x.data.ptr,
            _lying(x)[1],
            at + factors.itemsize,
            place,
            apart,
            place,
            apart,
        )


def _lying(matrix: Array) -> tuple[int, int]:
    """Return how a matrix lies in memory, in the terms of cuBLAS.

    Returns:
        `TURNED` if its columns are contiguous, `AS_IS` if its rows are; and the stride from one of these to
        the next, in numbers.
    """
    rows_apart, columns_apart = (stride // matrix.itemsize for stride in matrix.strides)
    if matrix.shape[1] > 1 and columns_apart != 1:
        return TURNED, max(columns_apart, matrix.shape[0], 1)
    return AS_IS, max(rows_apart, matrix.shape[1], 1)
