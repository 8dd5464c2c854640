"""Proofs that a computed kernel is positive definite, and by how much, from Cholesky factorisations in place.

If the factorisation of fl(K) - s I - diag(margins) runs to its end in floating point, then K >= s I (Rump
2006, "Verification of positive definiteness", BIT 46; Demmel 1989). It needs no assumption on how LAPACK
orders its sums. The factor takes the place of the kernel's upper triangle, which is then copied back from the
lower one: nothing else of the kernel's size is needed.

This stays on the CPU: the theorem asks for a factorisation in IEEE arithmetic that substitutes and does not
multiply by inverses, which LAPACK's is and a blocked one on a device need not be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ntkspec.backend.cpu import over_rows, require_countable
from ntkspec.backend.loops import mirror
from ntkspec.kernel.enclosure import TINIEST, UP, KernelEnclosure
from ntkspec.spectral.bounds.record import require
from ntkspec.summation import gamma

CLOSE = 0.99  # bisection ends when the bound is within 1% of the best that it can find
SPAN = 2.0**-30  # of the estimate: certified bounds below are not looked for
ITERATIONS = 12  # of inverse iteration; any vector gives a valid bound
EXTRA_ROUNDINGS = 10  # beyond n + 1, that a blocked factorisation may add: reciprocals of pivots among them


@dataclass(frozen=True, eq=False)
class CholeskyCertificate:
    """What Cholesky factorisations prove of a kernel K with its rounding errors; `positivity` makes it.

    Example:
        >>> certificate = CholeskyCertificate(0.5, semidefinite=True, vector=np.array([0.6, 0.8]))
        >>> certificate.proved  # lambda_min(K) is at least this
        0.5
    """

    proved: float  # K - proved I is positive semidefinite; 0 where nothing is proved
    semidefinite: bool  # False disproves that fl(K) is a positive semidefinite K but for rounding
    # (N,) of length 1, near the eigenvector of the smallest eigenvalue.
    vector: NDArray[np.float64] = field(repr=False)


def positivity(enclosure: KernelEnclosure) -> CholeskyCertificate:
    """Try Cholesky factorisations of a kernel: two if it is clearly definite, about twelve if only just.

    Each takes about N^3 / 3 multiplications. `enclosure.kernel` is written to, and restored at the end.

    Raises:
        BackendError: LAPACK's integers are too small for the number of rows.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its smallest eigenvalue is 1
        >>> certificate = positivity(KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0))
        >>> certificate.semidefinite, bool(0.98 < certificate.proved <= 1)
        (True, True)
    """
    require("KernelEnclosure", enclosure, "positivity")
    require_countable(enclosure.size, "bounds from the kernel")
    with _borrowed(enclosure.kernel) as diagonal:
        margin = enclosure.margin + _cholesky_margin(diagonal)
        if not _factor(enclosure.kernel, _lowered(diagonal, margin)):
            return CholeskyCertificate(0.0, *_hardly_positive(enclosure, diagonal))
        vector = _inverse_iteration(enclosure.kernel, diagonal)
    # What margins take off the smallest eigenvalue is close to what they take off along its vector.
    estimate = float(vector @ (enclosure.kernel @ vector) - margin @ vector**2) / float(vector @ vector)
    with _borrowed(enclosure.kernel) as diagonal:
        return CholeskyCertificate(
            _bisect(enclosure.kernel, diagonal, margin, max(estimate, 0.0)), True, vector
        )


def _hardly_positive(
    enclosure: KernelEnclosure, diagonal: NDArray[np.float64]
) -> tuple[bool, NDArray[np.float64]]:
    """Return `semidefinite` and `vector` of a kernel that could not be proved definite.

    K >= 0 gives fl(K) + diag(margin) >= 0; with twice its own error on top, the factorisation cannot break
    down (Demmel 1989; Higham 2002, theorem 10.7).
    """
    kernel = enclosure.kernel
    enlarged = diagonal + 2 * enclosure.margin
    raised = enclosure.margin + 2 * _cholesky_margin(enlarged)
    semidefinite = _factor(kernel, _lowered(diagonal, -raised))
    shift = 0.0
    while not _factor(kernel, _lowered(diagonal, np.full(len(kernel), -shift))):
        # Numerically singular: a small multiple of the identity makes it solvable, unless it is no kernel.
        shift = 8 * shift if shift else float(_cholesky_margin(diagonal).max()) + TINIEST
        if not shift < 1e9 * float(diagonal.sum()) + 1:
            return semidefinite, np.eye(1, len(kernel)).ravel()
    return semidefinite, _inverse_iteration(kernel, diagonal)


def _bisect(
    kernel: NDArray[np.float64], diagonal: NDArray[np.float64], margin: NDArray[np.float64], estimate: float
) -> float:
    """Return the largest s for which K >= s I is proved, 0 at least; `estimate` is close to the best s."""
    low, high = 0.0, estimate
    trial = CLOSE * estimate
    while trial > SPAN * estimate and low < CLOSE * high:
        if _factor(kernel, _lowered(diagonal, np.nextafter(trial + margin, np.inf))):
            low = trial
        else:
            high = trial
        trial = float(np.sqrt(low) * np.sqrt(high)) if low else high / 16
    return low


@contextlib.contextmanager
def _borrowed(kernel: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Lend the upper triangle and the diagonal to factorisations; yields the diagonal."""
    diagonal = kernel.diagonal().copy()
    try:
        yield diagonal
    finally:
        _mirror(kernel)
        np.fill_diagonal(kernel, diagonal)


def _mirror(kernel: NDArray[np.float64]) -> None:
    over_rows(lambda start, stop: mirror(kernel, start, stop), len(kernel))


def _factor(kernel: NDArray[np.float64], diagonal: NDArray[np.float64]) -> bool:
    """Factorise the kernel, with this diagonal, into its upper triangle; False if that breaks down."""
    if not (diagonal > 0).all():
        return False
    _mirror(kernel)  # overwrites the factor of an earlier call
    np.fill_diagonal(kernel, diagonal)
    # LAPACK's lower triangle, by columns, is the upper one of an array in C order.
    factor, info = scipy.linalg.lapack.dpotrf(kernel.T, lower=1, clean=0, overwrite_a=1)
    assert factor.ctypes.data == kernel.ctypes.data, "LAPACK worked on a copy"
    return bool(info == 0 and np.isfinite(factor.diagonal()).all())


def _lowered(diagonal: NDArray[np.float64], margin: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.nextafter(diagonal - margin, -np.inf)


def _inverse_iteration(kernel: NDArray[np.float64], diagonal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a unit vector (N,) near the eigenvector of the smallest eigenvalue, from the kernel's factor."""
    vector = np.random.default_rng(0).standard_normal(len(kernel))  # fixed, so that a run can be repeated
    for _ in range(ITERATIONS):
        vector = scipy.linalg.cho_solve((kernel.T, True), vector, check_finite=False)
        length = float(scipy.linalg.blas.dnrm2(vector))
        if not 0 < length < np.inf:  # a pivot near the end of the range
            return np.eye(1, len(kernel), int(diagonal.argmin())).ravel()
        vector /= length
    return vector


def _cholesky_margin(entries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound what rounding costs the factorisation of a matrix whose diagonal is at most these entries (N,).

    The result (N,) is a diagonal. With d_i the roots of the entries, the error is at most
    gamma_{n+1} / (1 - gamma_{n+1}) d d^T (Demmel 1989; Higham 2002, theorem 10.5), and d d^T, as a quadratic
    form, is at most sum(d) diag(d).
    """
    n = len(entries)
    growth = gamma(n + 1 + EXTRA_ROUNDINGS)
    root = np.sqrt(np.maximum(entries, 0.0)) * UP
    underflow = n * (2 * n + float(entries.max())) * TINIEST
    return np.asarray((growth / (1 - growth) * root.sum() * root + underflow) * UP)
