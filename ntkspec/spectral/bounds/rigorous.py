"""Bounds on the smallest eigenvalue that no rounding error can break.

They speak of the exact kernel J J^T of the Jacobian as it is stored. Lower: if the Cholesky factorisation of
fl(K) - s I - diag(margins) runs to its end in floating point, then K >= s I (Rump 2006, "Verification of
positive definiteness", BIT 46; Demmel 1989). It needs no assumption on how LAPACK orders its sums.
Upper: the Rayleigh quotient ||J^T v||^2 / ||v||^2 of any vector v, evaluated with its error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Matrix, Outputs, Pair
from ntkspec.operator import diagonal, project
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.formed import TINIEST, UP, Formed, absolute, form, forming_roundings, gamma

CLOSE = 0.99  # bisection ends when the bound is within 1% of the best that it can find
SPAN = 2.0**-30  # of the estimate: certified bounds below are not looked for
ITERATIONS = 12  # of inverse iteration; any vector gives a valid bound
SPARE = 10  # roundings beyond n + 1 that a blocked factorisation may add, reciprocals of pivots among them


def certified(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    memory: float | None = None,
) -> tuple[Bound, Bound]:
    """Certified lower and upper bound on lambda_min of J J^T; arguments and errors as for `form`."""
    formed = form(jacobian, outputs, memory=memory)
    vector = smallest_vector(formed)
    return certified_lower(formed, vector), certified_upper(jacobian, vector, outputs)


def certified_lower(formed: Formed, vector: NDArray[np.float64] | None = None) -> Bound:
    """lambda_min(K) >= s for the largest s that bisection over Cholesky factorisations proves.

    With |fl(K) - K| <= gamma_m f f^T from forming K, and d_i = sqrt(fl(K)_ii), the factorisation's own error
    is at most gamma_{n+1} / (1 - gamma_{n+1}) d d^T (Demmel 1989; Higham 2002, theorem 10.5). Both are
    quadratic forms below gamma sum(f) diag(f), which is taken off the diagonal beforehand. About N^3 / 3
    multiplications a try, 2 to 10 tries; memory one more kernel.

    Args:
        formed: the kernel in double precision with its error, from `ntkspec.spectral.formed.form`.
        vector: (N,) close to the eigenvector of lambda_min, to start from; default `smallest_vector(formed)`.
    """
    margin = formed.margin + _cholesky_margin(formed.kernel.diagonal())
    value = 0.0
    if _factor(formed, 0.0, margin) is not None:
        vector = smallest_vector(formed) if vector is None else vector
        value = _bisect(formed, margin, _rayleigh(formed.kernel, vector))
    return Bound(
        name="certified_lower",
        theorem="lambda_min(K) >= s if the Cholesky factorisation of fl(K) - s I - margins runs to its end",
        source="Rump, BIT 46, 2006; Demmel 1989; Higham 2002, theorem 10.5",
        assumptions="IEEE double precision, no Strassen-like products; K of the Jacobian as stored",
        side="lower",
        values=np.array([value]),
        vacuous=not value > 0,
        quantity="lambda_min",
        certified=True,
    )


def certified_upper(jacobian: Jacobian, vector: NDArray[np.float64], outputs: Outputs = "trace") -> Bound:
    """lambda_min(K) <= ||J^T v||^2 / ||v||^2, with the rounding errors of J^T v added.

    The errors are squared with the norm, so the bound can fall to about (n eps)^2 trace(K), far below what
    the formed kernel resolves.

    Args:
        jacobian: blocks, in memory or in a run file.
        vector: (N,) v, any vector but zero.
        outputs: output mode.

    Raises:
        UsageError: a vector that is zero, not finite, or of another length.
    """
    rows = jacobian.kernel_size(outputs)
    if np.shape(vector) != (rows,) or not 0 < _norm(vector) < np.inf:
        raise UsageError(
            "vector",
            expected=f"{rows} finite numbers, not all zero",
            got=f"shape {np.shape(vector)}, norm {_norm(np.asarray(vector)):.1e}",
            remedy="leave the choice to ntkspec.bounds.certified",
        )
    vector = vector / _norm(vector)
    growth = gamma(rows + forming_roundings(jacobian, outputs))
    magnitudes = np.abs(vector)
    norm = 0.0
    for block, sizes in zip(jacobian, absolute(jacobian), strict=True):
        pair = block.compact().pair(outputs)
        spread = _norm(project(sizes.compact().pair(outputs), magnitudes))
        error = growth * spread + rows * TINIEST * _entries(pair)
        norm = float(np.hypot(norm, (_norm(project(pair, vector)) + error) * UP))
    value = float(np.nextafter(norm**2 / float(vector @ vector) * UP, np.inf))
    mean = float(diagonal(jacobian, outputs).sum()) / rows
    return Bound(
        name="certified_upper",
        theorem="lambda_min(K) <= ||J^T v||^2 / ||v||^2",
        source="Rayleigh quotient (Horn and Johnson, Matrix Analysis, theorem 4.2.2)",
        assumptions="IEEE double precision; K of the Jacobian as stored",
        side="upper",
        values=np.array([value]),
        vacuous=not value < mean,
        quantity="lambda_min",
        certified=True,
    )


def is_semidefinite(formed: Formed) -> bool:
    """Whether the formed kernel is positive semidefinite but for rounding; never False for J J^T.

    K >= 0 gives fl(K) + diag(margin) >= 0; with twice its own error on top, the factorisation cannot break
    down (Demmel 1989; Higham 2002, theorem 10.7).
    """
    enlarged = formed.kernel.diagonal() + 2 * formed.margin
    return _factor(formed, 0.0, -(formed.margin + 2 * _cholesky_margin(enlarged))) is not None


def smallest_vector(formed: Formed) -> NDArray[np.float64]:
    """(N,) a unit vector near the eigenvector of the smallest eigenvalue, by inverse iteration."""
    shift = -float(_cholesky_margin(formed.kernel.diagonal()).max()) - TINIEST
    factor = _factor(formed, 0.0, np.zeros(formed.size))
    while factor is None:  # numerically singular: a small multiple of the identity makes it solvable
        factor = _factor(formed, shift, np.zeros(formed.size))
        shift *= 8
    vector = np.random.default_rng(0).standard_normal(formed.size)  # fixed, so that a run can be repeated
    for _ in range(ITERATIONS):
        vector = scipy.linalg.cho_solve((factor, True), vector, check_finite=False)
        length = _norm(vector)
        if not 0 < length < np.inf:  # a pivot near the end of the range
            return np.eye(1, formed.size, int(formed.kernel.diagonal().argmin())).ravel()
        vector /= length
    return vector


def _bisect(formed: Formed, margin: NDArray[np.float64], estimate: float) -> float:
    """The largest s found that is proved; 0 is proved already. The estimate is close to lambda_min."""
    low, high = 0.0, estimate
    trial = CLOSE * estimate
    while trial > SPAN * estimate and low < CLOSE * high:
        if _factor(formed, trial, margin) is not None:
            low = trial
        else:
            high = trial
        trial = float(np.sqrt(low * high)) if low else high / 16
    return low


def _factor(formed: Formed, shift: float, margin: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The Cholesky factor, lower triangle, of fl(K) - shift I - diag(margin), or None if it breaks down."""
    diagonal = formed.kernel.diagonal()
    shifted = np.nextafter(diagonal - np.nextafter(shift + margin, np.inf), -np.inf)
    if not (shifted > 0).all():
        return None
    matrix = formed.kernel.copy().T  # in the Fortran order that LAPACK wants
    np.fill_diagonal(matrix, shifted)
    factor, info = scipy.linalg.lapack.dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
    return factor if info == 0 and np.isfinite(factor.diagonal()).all() else None


def _cholesky_margin(entries: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) what a factorisation can lose, of a matrix whose diagonal is at most these entries (N,)."""
    n = len(entries)
    growth = gamma(n + 1 + SPARE)
    root = np.sqrt(np.maximum(entries, 0.0)) * UP
    underflow = n * (2 * n + float(entries.max())) * TINIEST
    return np.asarray((growth / (1 - growth) * root.sum() * root + underflow) * UP)


def _rayleigh(kernel: NDArray[np.float64], vector: NDArray[np.float64]) -> float:
    return float(vector @ (kernel @ vector)) / float(vector @ vector)


def _norm(matrix: Matrix) -> float:
    values: NDArray[Any] = matrix.data if sp.issparse(matrix) else matrix
    found = float(scipy.linalg.blas.dnrm2(values.ravel())) if values.size else 0.0  # scaled: no underflow
    return found * (1 + gamma(values.size + SPARE))


def _entries(pair: Pair) -> float:
    """Number and size of the products behind J^T v, for what underflow may add to each."""
    largest = 1 + max(float(np.abs(m).max()) for m in (pair.left, pair.right) if m is not None and m.shape[1])
    width = (1 if pair.left is None else pair.left.shape[1]) * pair.right.shape[1]
    return float(width * largest)
