"""A random reflection from both sides: eigenvalues stay, patterns of equal numbers go.

Where many equal numbers are added up, all roundings go one way. A reduction in two stages does so again and
again if a matrix has such a pattern: for 0.25 I plus a constant (N = 1,024) OpenBLAS' was off by some 720
eps lambda_max, and is by 8 after this; for a constant alone by 54 and by 3 (analysis/studies/patterns.py). It
costs two passes over the matrix, and an error of a few eps of its norm.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import DTypeLike

from ntkspec.backend.arrays import STRIP_BYTES, strips
from ntkspec.backend.protocol import Array


def mixing_bytes(rows: int, dtype: DTypeLike) -> int:
    """Return the bytes that `mix` takes beside a matrix of so many rows."""
    return 2 * min(STRIP_BYTES, rows**2 * int(np.dtype(dtype).itemsize))


def mix(matrix: Array, xp: ModuleType) -> None:
    """Replace a symmetric matrix A (N, N) by H A H, in place; H = I - 2 v v^T with a random v of length 1.

    Args:
        matrix: in `xp`, the array module.
    """
    direction = np.random.default_rng(0).standard_normal(len(matrix))  # fixed, so that a run can be repeated
    v = xp.asarray((direction / np.linalg.norm(direction)).astype(matrix.dtype))
    image = matrix @ v
    w = 2 * (image - (v @ image) * v)
    for rows in strips(matrix):  # H A H = A - v w^T - w v^T
        taken = v[rows, None] * w
        taken += w[rows, None] * v
        matrix[rows] -= taken
