"""Naive answers from the definitions. Slow, short, and never shared with the package."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian import Jacobian, Outputs


def kernel(jacobian: Jacobian, outputs: Outputs) -> NDArray[np.float64]:
    """K entry by entry: K[(i, o), (j, q)] = J[i, o] . J[j, q], or the mode's part of it."""
    jac = np.asarray(jacobian.to_dense(), dtype=np.float64)
    n, c, _ = jac.shape
    full = np.empty((n, c, n, c))
    for i in range(n):
        for o in range(c):
            for j in range(n):
                for q in range(c):
                    full[i, o, j, q] = jac[i, o] @ jac[j, q]
    if outputs == "full":
        return full.reshape(n * c, n * c)
    if outputs == "trace":
        return np.einsum("iojo->ij", full)
    return full[:, outputs, :, outputs]


def exact_eigenvalues(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Eigenvalues of A A^T, descending, for A as stored, in 60 digits."""
    with mpmath.workdps(60):
        exact = mpmath.matrix(matrix.tolist())
        values = mpmath.eigsy(exact * exact.T, eigvals_only=True)
        return np.array(sorted((float(value) for value in values), reverse=True))


def rational_rank(rows: np.ndarray) -> int:
    """The rank of a matrix of floating-point numbers, by elimination in fractions."""
    left = [[Fraction(float(value)) for value in row] for row in rows]
    rank = 0
    for column in range(len(left[0]) if left else 0):
        found = next((k for k in range(rank, len(left)) if left[k][column]), None)
        if found is None:
            continue
        left[rank], left[found] = left[found], left[rank]
        for k in range(rank + 1, len(left)):
            ratio = left[k][column] / left[rank][column]
            left[k] = [value - ratio * head for value, head in zip(left[k], left[rank], strict=True)]
        rank += 1
    return rank
