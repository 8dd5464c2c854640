"""Naive answers from the definitions. Slow, short, and never shared with the package."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian import Factor, Jacobian, Outputs, PairsFactor, SparseFactor

Row = tuple[dict[int, int], int]  # column -> integer, all of them over 2 ** exponent


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


def exact_kernel(jacobian: Jacobian, outputs: Outputs = "trace") -> list[list[Fraction]]:
    """K of the stored numbers in rationals: sums over blocks of products of the factors' inner products."""
    c = jacobian.outputs
    of_full = (
        [range(c)] if outputs == "trace" else [[o] for o in range(c)] if outputs == "full" else [[outputs]]
    )
    places = [(i, group) for i in range(jacobian.samples) for group in of_full]
    total = [[Fraction(0)] * len(places) for _ in places]
    for block in jacobian:
        left = [_exact(block.left, i, 0) for i in range(jacobian.samples)]
        right = [[_exact(block.right, i, o) for o in range(c)] for i in range(jacobian.samples)]
        for x, (i, group) in enumerate(places):
            for y, (j, other) in enumerate(places[: x + 1]):
                inner = sum(_dot(right[i][o], right[j][q]) for o, q in zip(group, other, strict=True))
                total[x][y] += _dot(left[i], left[j]) * inner
    return [[total[max(x, y)][min(x, y)] for y in range(len(places))] for x in range(len(places))]


def _exact(factor: Factor, sample: int, output: int) -> Row:
    """The numbers of one row, added up where they are of one column."""
    loaded = factor.load()
    if isinstance(loaded, PairsFactor):
        a, b = loaded.left[sample, 0].tolist(), loaded.right[sample, output].tolist()
        stored = [
            (at, *(Fraction(x) * Fraction(y)).as_integer_ratio())
            for u, v in zip(a, b, strict=True)
            for at, (x, y) in enumerate(itertools.product(u, v))
        ]
    else:
        values = loaded.values[sample, output].tolist()
        columns = loaded.indices[sample].tolist() if isinstance(loaded, SparseFactor) else range(len(values))
        stored = [(at, *number.as_integer_ratio()) for at, number in zip(columns, values, strict=True)]
    exponent = max((below.bit_length() - 1 for _, _, below in stored), default=0)
    row: dict[int, int] = {}
    for at, above, below in stored:
        if at >= 0:
            row[at] = row.get(at, 0) + (above << (exponent - below.bit_length() + 1))
    return row, exponent


def _dot(a: Row, b: Row) -> Fraction:
    (x, ex), (y, ey) = a, b
    total = sum(value * y[at] for at, value in x.items() if value and at in y)
    return Fraction(total, 1 << (ex + ey))


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
