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
(g(N) + 2 sqrt(folds)) eps sigma_max where J is factorised itself, g(m) = sqrt(m) + 4 + m/500.

A singular value off by t changes lambda = sigma^2 by at most 2 t sqrt(lambda) + t^2, so

    error(lambda) = e + 2 t sqrt(lambda + e) + t^2,    floor = (t + sqrt(2 t^2 + 2 e))^2 - e,

the floor being the eigenvalue whose error is as large as itself. To singular values the solver adds a
relative error of 49 eps, which moves no floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec import sums
from ntkspec.jacobian import Block, Factor, Jacobian, Matrix, Outputs, Pair
from ntkspec.operator import apply, diagonal, in_parts, in_pieces
from ntkspec.sums import gamma

# LAPACK's bdsqr takes an off-diagonal entry for zero from eps^(-1/8) u, 49 eps, of its neighbours on; with
# clusters of singular values as much has been seen: 47 eps at N = 11.
BDSQR = 49
STEPS = 2  # of the iteration for the largest eigenvalue of |J| |J|^T: more gain little
UP = 1 + 1e-6  # covers the roundings of the norms themselves
PRODUCT = 1  # rounding of left times right
TRACE = (
    400  # roundings of a diagonal's entries, in wide panels, and of adding them up, which NumPy does pairwise
)
LEAST = 1e-200  # of a vector's largest number: smaller ones would underflow
FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class ErrorModel:
    """Errors of a route: absolute ones, and those relative to lambda_max, which is not known before."""

    eigenvalue: float  # of e / lambda_max
    singular: float  # of t / sqrt(lambda_max)
    relative: float = 0.0  # of each eigenvalue itself
    absolute: float = 0.0  # of e
    stored: float = 0.0  # of t

    def floor(self, lambda_max: float) -> float:
        """The eigenvalue whose stated error equals itself."""
        e, t = self._parts(lambda_max)
        return float((t + np.sqrt(2 * (t**2 + e))) ** 2 - e)

    def error(self, eigenvalues: NDArray[np.float64], lambda_max: float) -> NDArray[np.float64]:
        """Stated absolute error of each eigenvalue; (m,)."""
        e, t = self._parts(lambda_max)
        positive = np.maximum(eigenvalues, 0.0)
        return np.asarray(e + 2 * t * np.sqrt(positive + e) + t**2 + self.relative * positive)

    def _parts(self, lambda_max: float) -> tuple[float, float]:
        e = self.eigenvalue * lambda_max + self.absolute
        return e, self.singular * np.sqrt(lambda_max) + self.stored


@dataclass(frozen=True)
class Magnitude:
    """How large the numbers of a Jacobian are, whatever their signs, and how often they are rounded."""

    rows: int  # N
    norm: float  # ||J| |J|^T| at most
    entries: float  # the same before colliding entries are added up
    entry_sums: int  # roundings behind an entry of K, from those of J on
    vector_sums: int  # roundings behind a component of K v
    collisions: int  # roundings of adding up colliding entries, in both factors
    underflow: float  # bound on the norm of what underflow may take off K
    trace: float
    trace_error: float  # of the computed trace
    dtype: np.dtype[Any]  # in which the factors are stored

    def forming(self, working: np.dtype[Any]) -> float:
        """Bound on the norm of the error of a kernel formed in `working` precision."""
        return gamma(self.entry_sums, working) * self.norm + self.underflow

    def storing(self, *precisions: np.dtype[Any], products: int = 0) -> float:
        """Bound on the norm of the error of J from rounding factors once to each of these precisions.

        Args:
            products: further roundings of J's entries, in float64.
        """
        growth = sum(gamma(2, dtype) for dtype in precisions) + gamma(self.collisions + products)
        return growth * float(np.sqrt(self.entries))


def magnitude(
    jacobian: Jacobian, outputs: Outputs, working: np.dtype[Any] = FLOAT64, *, fits: bool = True
) -> Magnitude:
    """Measure the absolute values of a Jacobian; about two products K v, four where entries collide.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: output mode.
        working: precision in which products are formed.
        fits: whether all factors may be in memory at once. If not, the trace bounds the norms.
    """
    counts = [_Counts.of(block, outputs, working) for block in jacobian]
    collisions = max(count.collisions for count in counts)
    plain = diagonal(jacobian, outputs)
    trace = float(plain.sum())
    before = diagonal(jacobian, outputs, absolute=True) if collisions else plain
    if fits:
        entries = norm = _norm([_absolute(block.compact().pair(outputs)) for block in jacobian], plain)
        if collisions:
            entries = _norm([block.absolute().compact().pair(outputs) for block in jacobian], before)
    else:
        norm, entries = trace * UP, float(before.sum()) * UP
    blocks = len(jacobian.blocks)
    entry_sums = max(count.entry for count in counts) + 2 * blocks + 1
    # Not the smallest number: some machines flush all below it to zero. A kernel of zeros loses nothing.
    tiny = float(np.finfo(working).tiny) if entries else 0.0
    return Magnitude(
        rows=len(plain),
        norm=norm,
        entries=entries,
        entry_sums=entry_sums,
        vector_sums=max(count.vector for count in counts) + blocks + 2,
        collisions=collisions,
        underflow=len(plain) * entry_sums * tiny * sum(count.largest for count in counts),
        trace=trace,
        trace_error=gamma(entry_sums + TRACE) * trace
        + 2 * gamma(collisions) * float(np.sqrt(trace * before.sum())),
        dtype=jacobian.dtype,
    )


@dataclass(frozen=True)
class _Counts:
    """Roundings of one block."""

    entry: int
    vector: int
    collisions: int
    largest: float  # what an underflow may be multiplied by

    @staticmethod
    def of(block: Block, outputs: Outputs, working: np.dtype[Any]) -> _Counts:
        c = block.outputs if outputs == "trace" else 1
        size = block.samples * (block.outputs if outputs == "full" else 1)
        left, right = _sum(block.left, 1), _sum(block.right, c)
        vector = sums.roundings(size, sums.over_samples(size)) + left + right + 2 * PRODUCT
        left, right = _sum(block.left, 1, block.samples), _sum(block.right, c, size)
        collisions, largest = 0, 1.0
        for _, part in in_parts(block):
            factors = [factor.load() for factor in (part.left, part.right) if factor]
            collisions = max(collisions, sum(factor.collisions - 1 for factor in factors))
            largest = max(largest, _largest(part.compact().pair(outputs, working)))
        return _Counts(left + right + PRODUCT, vector, collisions, largest)


def _largest(pair: Pair) -> float:
    """What an underflow in one Gram matrix may be multiplied by: the largest entry of the other."""
    both = [matrix for matrix in (pair.left, pair.right) if matrix is not None and matrix.size]
    squares = [float(abs(matrix).max()) ** 2 * int(matrix.shape[1]) for matrix in both]
    return 1.0 + sum(squares)


def gram_errors(found: Magnitude, working: np.dtype[Any]) -> ErrorModel:
    """Errors of eigenvalues of a kernel formed and solved in `working` precision."""
    coarser = max(found.dtype, working, key=lambda dtype: float(np.finfo(dtype).eps))
    return ErrorModel(
        eigenvalue=solver_error(found.rows, working),
        singular=0.0,
        absolute=found.forming(working),
        stored=found.storing(coarser),  # factors are rounded to the working precision too
    )


def svd_errors(found: Magnitude, folds: int) -> ErrorModel:
    """Errors of squared singular values of J in float64, from a triangular factor of that many folds."""
    eps = float(np.finfo(np.float64).eps)
    return ErrorModel(
        eigenvalue=0.0,
        singular=float(_growth(found.rows) + 2 * np.sqrt(folds)) * eps,
        relative=2 * BDSQR * eps,
        stored=found.storing(found.dtype, products=PRODUCT),
    )


def solver_error(size: int, working: np.dtype[Any]) -> float:
    """Relative error of a symmetric eigenvalue solver, as measured."""
    return 2 * _growth(size) * float(np.finfo(working).eps)


def _growth(size: int) -> float:
    """sqrt(m), a constant for small m, and a share of m for the bias that very long sums show."""
    return float(np.sqrt(size) + 4 + size / 500)


def _sum(factor: Factor | None, times: int, rows: int | None = None) -> int:
    """Roundings behind an inner product of two rows; sparse ones are added in order.

    Args:
        times: outputs that are added up.
        rows: of the Gram matrix that it stands in, if it does.
    """
    if factor is None:
        return 0
    if factor.sparse:
        return times * factor.entries
    return sums.roundings(times * factor.width, sums.PANEL if rows is None else sums.panel_of(rows))


def norm_bound(matrix: NDArray[np.float64]) -> float:
    """Bound || |M|^T |M| || for a matrix M (r, N)."""
    pair = Pair(None, abs(matrix.T), 1)
    return _norm([pair], np.einsum("rn,rn->n", matrix, matrix))


def _norm(pairs: list[Pair], diagonal: NDArray[np.float64]) -> float:
    """Bound the norm of a kernel without negative entries from its diagonal on, by Collatz's quotients."""
    rows = diagonal > 0  # the others are zero throughout
    if not rows.any():
        return 0.0
    vector, blocks = np.sqrt(diagonal), [in_pieces(pair) for pair in pairs]
    for _ in range(STEPS):
        before = np.where(rows, np.maximum(vector / vector.max(), LEAST), 0.0)
        vector = apply(blocks, before)
        bound = float((vector[rows] / before[rows]).max())
    return bound * UP


def _absolute(pair: Pair) -> Pair:
    """The absolute values of both matrices, colliding entries added up before."""

    def of(matrix: Matrix | None) -> Matrix | None:
        return None if matrix is None else abs(matrix)

    return Pair(of(pair.left), of(pair.right), pair.repeat)
