"""How far a computed eigenvalue may be off, and the floor below which it says nothing.

Errors of two kinds are stated, e of eigenvalues and t of singular values of J.

*What this program computes* holds for every pattern of roundings. With |J| the absolute values of J's entries
and rho = ||J| |J|^T|, the spectral norm,

- an entry of K is off by at most gamma_m (|J| |J|^T)_ij, m the roundings behind it (Higham 2002, section
  3.1), so that e has a part gamma_m rho (Weyl 1912; a matrix is no larger than its absolute values);
- an entry of J is off by at most gamma_r A_ij, r the roundings that made it from the stored numbers, A_ij the
  sum of the absolute values of the entries that collide in it, so that t has a part gamma_r sqrt(||A A^T||).
  Two of the r are those of storing the factors, in the file's precision.

rho is bounded by max_i (|J| |J|^T v)_i / v_i for a positive vector v (Collatz 1942). Of networks it is 1 to 2
lambda_max; of matrices whose rows have no sign in common it can be N lambda_max.

*What LAPACK does* is measured, see docs/method.md: e has a part 2 g(N) eps lambda_max, t one of
(g(N) + 2 sqrt(folds)) eps sigma_max where J is factorised itself, g(m) = sqrt(m) + 4 + m/500; where a fold
is a QR of all its l rows, as on a device, 2 g(l) stands for g(N).

A singular value off by t changes lambda = sigma^2 by at most 2 t sqrt(lambda) + t^2, so

    error(lambda) = e + 2 t sqrt(lambda + e) + t^2,    floor = (t + sqrt(2 t^2 + 2 e))^2 - e,

where the floor is the eigenvalue whose error is as large as itself. The solver for singular values has a
further relative error of 49 eps, which does not change the floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec import summation
from ntkspec.backend import Array, Backend
from ntkspec.jacobian import Pair
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.term import Term, TermOperator, apply
from ntkspec.summation import gamma

# LAPACK's bdsqr takes an off-diagonal entry for zero from eps^(-1/8) u, 49 eps, of its neighbours on; with
# clusters of singular values as much has been seen: 47 eps at N = 11.
BDSQR = 49
STEPS = 2  # of the iteration for the largest eigenvalue of |J| |J|^T: more gain little
UP = 1 + 1e-6  # covers the roundings of the norms themselves
PRODUCT = 1  # rounding of left times right
TRACE = 400  # roundings of a diagonal's entries, in wide panels, and of NumPy's pairwise sum of them
LEAST = 1e-200  # of a vector's largest number: smaller ones would underflow
FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class ErrorModel:
    """The errors of a solver: e of eigenvalues and t of singular values of J, see the top of this file.

    Parts that grow with lambda_max are kept as shares of it, since it is known only after solving.
    """

    eigenvalue: float  # part of e, as a share of lambda_max
    singular: float  # part of t, as a share of sqrt(lambda_max)
    relative: float = 0.0  # part of e, as a share of each eigenvalue itself
    absolute: float = 0.0  # further part of e
    stored: float = 0.0  # further part of t

    def floor(self, lambda_max: float) -> float:
        """Return the eigenvalue whose stated error is as large as itself."""
        e, t = self._parts(lambda_max)
        return float((t + np.sqrt(2 * (t**2 + e))) ** 2 - e)

    def error(self, eigenvalues: NDArray[np.float64], lambda_max: float) -> NDArray[np.float64]:
        """Return the stated absolute errors (m,) of eigenvalues (m,)."""
        e, t = self._parts(lambda_max)
        positive = np.maximum(eigenvalues, 0.0)
        return np.asarray(e + 2 * t * np.sqrt(positive + e) + t**2 + self.relative * positive)

    def _parts(self, lambda_max: float) -> tuple[float, float]:
        """Return e and t."""
        e = self.eigenvalue * lambda_max + self.absolute
        return e, self.singular * np.sqrt(lambda_max) + self.stored


@dataclass(frozen=True)
class Magnitude:
    """The size of the absolute values of a Jacobian's numbers, and how often they are rounded."""

    size: int  # N
    norm: float  # ||J| |J|^T| at most
    entries: float  # the same before colliding entries are added up
    entry_sums: int  # roundings behind an entry of K, from those of J on
    vector_sums: int  # roundings behind a component of K v
    additions: int  # of entries that collide, in both factors, each a rounding
    underflow: float  # bound on the norm of what underflow may take off K
    trace: float
    trace_error: float  # of the computed trace
    dtype: np.dtype[Any]  # in which the factors are stored

    def forming(self, working: np.dtype[Any]) -> float:
        """Bound the norm of the error of a kernel formed in `working` precision."""
        return gamma(self.entry_sums, working) * self.norm + self.underflow

    def storing(self, *precisions: np.dtype[Any], products: int = 0) -> float:
        """Bound the norm of the error of J from rounding its factors once to each of these precisions.

        Args:
            products: further roundings of J's entries, in float64.
        """
        growth = sum(gamma(2, dtype) for dtype in precisions) + gamma(self.additions + products)
        return growth * float(np.sqrt(self.entries))


def magnitude_of(kernel: Kernel) -> Magnitude:
    """Measure how large the absolute values of the numbers in a kernel's Jacobian are.

    This costs about two products K v, or four where entries of J are sums of several stored numbers. Where
    the factors do not all fit in memory, the trace bounds the norms.
    """
    counts = [_Counts.from_term(term, kernel.dtype) for term in kernel.terms]
    plain, before, trace = kernel.diagonal, kernel.absolute_diagonal, kernel.trace
    if kernel.facts_fit:
        entries = norm = _norm([term.absolute_pair for term in kernel.terms], plain, kernel.backend)
        if kernel.additions:
            entries = _norm([term.uncancelled_pair for term in kernel.terms], before, kernel.backend)
    else:
        norm, entries = trace * UP, float(before.sum()) * UP
    blocks = len(counts)
    entry_sums = max(count.entry for count in counts) + 2 * blocks + 1
    # Not the smallest number: some machines flush all below it to zero. A kernel of zeros loses nothing.
    tiny = float(np.finfo(kernel.dtype).tiny) if entries else 0.0
    return Magnitude(
        size=kernel.size,
        norm=norm,
        entries=entries,
        entry_sums=entry_sums,
        vector_sums=max(count.vector for count in counts) + blocks + 2,
        additions=kernel.additions,
        underflow=kernel.size * entry_sums * tiny * sum(count.largest for count in counts),
        trace=trace,
        trace_error=gamma(entry_sums + TRACE) * trace
        + 2 * gamma(kernel.additions) * float(np.sqrt(trace) * np.sqrt(before.sum()))
        + gamma(kernel.additions) ** 2 * float(before.sum()),
        dtype=kernel.rows.dtype,
    )


@dataclass(frozen=True)
class _Counts:
    """Roundings of one block's part of the kernel."""

    entry: int  # behind an entry of K
    vector: int  # behind a component of K v
    largest: float  # what an underflow may be multiplied by

    @staticmethod
    def from_term(term: Term, working: np.dtype[Any]) -> _Counts:
        """Count the roundings of a term in `working` precision."""
        block, c = term.block, term.outputs_added
        size = term.size
        along = block.left.roundings(1) + block.right.roundings(c)
        vector = summation.roundings(size, summation.over_samples(size)) + along + 2 * PRODUCT
        entry = block.left.roundings(1, block.samples) + block.right.roundings(c, size) + PRODUCT
        return _Counts(entry, vector, term.largest_factor(working))


def gram_errors(magnitude: Magnitude, working: np.dtype[Any]) -> ErrorModel:
    """State the errors of eigenvalues of a kernel formed and solved in `working` precision."""
    coarser = max(magnitude.dtype, working, key=lambda dtype: float(np.finfo(dtype).eps))
    return ErrorModel(
        eigenvalue=solver_error(magnitude.size, working),
        singular=0.0,
        absolute=magnitude.forming(working),
        stored=magnitude.storing(coarser),  # factors are rounded to the working precision too
    )


def svd_errors(magnitude: Magnitude, folds: int, fold_sums: int = 0) -> ErrorModel:
    """Return the errors of squared singular values of J in float64, computed from its triangular factor R.

    Args:
        magnitude: of J.
        folds: how many panels of J's columns were added to R, each by a QR factorisation; at most.
        fold_sums: length of the sums in one QR, if it treats R as a full matrix, as on a device; 0 on the
            CPU. On a device the singular values are computed as eigenvalues of a matrix of size 2 N.
    """
    eps = float(np.finfo(np.float64).eps)
    on_device = 2 * _growth(fold_sums) + 2 * _growth(2 * magnitude.size)
    growth = on_device if fold_sums else _growth(magnitude.size)
    return ErrorModel(
        eigenvalue=0.0,
        singular=float(growth + 2 * np.sqrt(folds)) * eps,
        relative=0.0 if fold_sums else 2 * BDSQR * eps,
        stored=magnitude.storing(magnitude.dtype, products=PRODUCT),
    )


def solver_error(size: int, working: np.dtype[Any]) -> float:
    """Return the measured error of a symmetric eigenvalue solver, 2 g(N) eps, as a share of lambda_max."""
    return 2 * _growth(size) * float(np.finfo(working).eps)


def _growth(size: int) -> float:
    """Return g(m) = sqrt(m) + 4 + m/500.

    4 is for small m, and m/500 for the bias that very long sums show.
    """
    return float(np.sqrt(size) + 4 + size / 500)


def norm_bound(matrix: Array, engine: Backend) -> float:
    """Bound || |M|^T |M| || for a device matrix M (r, N)."""
    squares = engine.get(engine.xp.einsum("rn,rn->n", matrix, matrix))
    return _norm([Pair(None, abs(matrix.T), 1)], squares, engine)


def _norm(pairs: list[Pair], diagonal: NDArray[np.float64], engine: Backend) -> float:
    """Bound the spectral norm of a kernel without negative entries by Collatz's quotients.

    Args:
        pairs: factors of the kernel's terms.
        diagonal: (N,) of the kernel; its square root is the first vector of the iteration.
    """
    rows = diagonal > 0  # all others contain nothing but zeros
    if not rows.any():
        return 0.0
    vector, blocks = np.sqrt(diagonal), [TermOperator(pair, engine) for pair in pairs]
    for _ in range(STEPS):
        before = np.where(rows, np.maximum(vector / vector.max(), LEAST), 0.0)
        vector = engine.get(apply(blocks, engine.put(before[:, None], np.float64)))[:, 0]
        bound = float((vector[rows] / before[rows]).max())
    return bound * UP
