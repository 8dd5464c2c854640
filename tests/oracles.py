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


def rows(jac: NDArray[Any], outputs: Outputs) -> NDArray[Any]:
    """The rows of J (n, c, p) whose inner products are the mode's kernel."""
    n, c, _ = jac.shape
    if isinstance(outputs, str):
        return jac.reshape(n if outputs == "trace" else n * c, -1)
    return jac[:, outputs]


def kernel(jacobian: Jacobian, outputs: Outputs, columns: Jacobian | None = None) -> NDArray[np.float64]:
    """K entry by entry: K[(i, o), (j, q)] = J[i, o] . J[j, q], or the mode's part of it.

    With `columns`, between the samples of two Jacobians of the same parameters.
    """
    jac = np.asarray(jacobian.to_dense(), dtype=np.float64)
    other = jac if columns is None else np.asarray(columns.to_dense(), dtype=np.float64)
    full = np.array([[[[x @ y for y in sample] for sample in other] for x in of_row] for of_row in jac])
    if outputs == "full":
        return full.reshape(full.shape[0] * full.shape[1], -1)
    if outputs == "trace":
        return np.einsum("iojo->ij", full)
    return full[:, outputs, :, outputs]


def numerical_rank(jacobian: Jacobian, outputs: Outputs = "trace") -> int:
    """The number of eigenvalues that are no rounding."""
    values = np.linalg.eigvalsh(kernel(jacobian, outputs))
    return int(np.count_nonzero(values > 1e-10 * values[-1]))


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
