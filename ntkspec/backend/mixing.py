"""Apply a random reflection to a matrix from both sides, which keeps eigenvalues and breaks up patterns.

If many equal numbers are added up, their rounding errors have the same sign and accumulate. This happens
often when a matrix with many equal entries is reduced in two stages. For 0.25 I plus a constant matrix (N =
1,024) OpenBLAS had an error of about 720 eps lambda_max without the reflection, and has 8 with it; for a
constant matrix alone it had 54, and has 3 (analysis/studies/patterns.py). The reflection takes two passes
over the matrix, and adds an error of a few eps times its norm.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import DTypeLike

from ntkspec.backend.arrays import STRIP_BYTES, Array, strips


def mixing_bytes(rows: int, dtype: DTypeLike) -> int:
    """Return the bytes that `mix` needs in addition to a matrix of `rows` rows."""
    return 2 * min(STRIP_BYTES, rows**2 * int(np.dtype(dtype).itemsize))


def mix(matrix: Array, xp: ModuleType) -> None:
    """Replace a symmetric matrix A (N, N) by H A H, in place; H = I - 2 v v^T with a random v of length 1.

    Args:
        matrix: A, an array of the module `xp`.
        xp: NumPy or CuPy.
    """
    direction = np.random.default_rng(0).standard_normal(len(matrix))  # fixed, so that a run can be repeated
    v = xp.asarray((direction / np.linalg.norm(direction)).astype(matrix.dtype))
    image = matrix @ v
    w = 2 * (image - (v @ image) * v)
    for rows in strips(matrix):  # H A H = A - v w^T - w v^T
        taken = v[rows, None] * w
        taken += w[rows, None] * v
        matrix[rows] -= taken
