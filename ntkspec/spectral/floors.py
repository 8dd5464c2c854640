"""How far a computed eigenvalue may be off, and the floor below which it says nothing.

Three sources, all relative to the largest singular value s = sqrt(lambda_max) of J:

- an absolute error e of the eigenvalues, from forming K or J^T J and from the symmetric solver:
  |error| <= e (Weyl 1912), e = 2 g(m) eps s^2, m the longest sum behind an entry or a reduction,
  g(m) = sqrt(m) + 4 + m/500;
- an error t of the singular values, from rounding J when it was stored (2 u s: two factors, each rounded
  once to unit roundoff u) and, where J is factorised itself, from the solver ((g(m) + sqrt(folds)) eps s).

Worst-case analysis has m where g has sqrt(m); rounding errors of mean zero add up like a random walk
(Higham and Mary 2019, "A new approach to probabilistic rounding error analysis"), and the largest errors
measured over prescribed spectra grow as sqrt(m), with a constant that shows at m < 20 and a bias that shows
in very long sums: see docs/method.md.

A singular value off by t changes lambda = sigma^2 by at most 2 t sqrt(lambda) + t^2, so

    error(lambda) = e + 2 t sqrt(lambda) + t^2,        floor = (t + sqrt(2 t^2 + e))^2,

the floor being the eigenvalue whose error is as large as itself. To singular values the solver adds a
relative error of 49 eps, which moves no floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian import Factor, Jacobian, Outputs

# LAPACK's bdsqr takes an off-diagonal entry for zero from eps^(-1/8) u, 49 eps, of its neighbours on; with
# clusters of singular values as much has been seen: 47 eps at N = 11.
BDSQR = 49


@dataclass(frozen=True)
class ErrorModel:
    """Errors of a route, before lambda_max is known; all are relative."""

    eigenvalue: float  # e / lambda_max
    singular: float  # t / sqrt(lambda_max)
    relative: float = 0.0  # of each eigenvalue itself

    def floor(self, lambda_max: float) -> float:
        """The eigenvalue whose stated error equals itself."""
        t = self.singular
        return float(lambda_max * (t + np.sqrt(2 * t**2 + self.eigenvalue)) ** 2)

    def error(self, eigenvalues: NDArray[np.float64], lambda_max: float) -> NDArray[np.float64]:
        """Stated absolute error of each eigenvalue; (m,)."""
        relative = np.sqrt(np.maximum(eigenvalues, 0.0) / lambda_max) if lambda_max > 0 else eigenvalues * 0
        t = self.singular
        absolute = lambda_max * (self.eigenvalue + 2 * t * relative + t**2)
        return np.asarray(absolute + self.relative * np.maximum(eigenvalues, 0.0))


def gram_errors(jacobian: Jacobian, working: np.dtype[Any], size: int, outputs: Outputs) -> ErrorModel:
    """Errors of eigenvalues of a kernel (size, size) formed and solved in `working` precision."""
    coarser = max(_eps(jacobian.dtype), _eps(working))  # factors are rounded to the working precision too
    growth = _growth(max(size, _longest_sum(jacobian, outputs)))
    return ErrorModel(eigenvalue=2 * growth * _eps(working), singular=coarser * _cancellation(jacobian))


def svd_errors(jacobian: Jacobian, size: int, folds: int) -> ErrorModel:
    """Errors of squared singular values of J in float64, from a triangular factor of that many folds."""
    eps = _eps(np.dtype(np.float64))
    solver = (_growth(size) + np.sqrt(folds)) * eps
    stored = _eps(jacobian.dtype) * _cancellation(jacobian)
    return ErrorModel(eigenvalue=0.0, singular=solver + stored, relative=2 * BDSQR * eps)


def _growth(longest: int) -> float:
    """sqrt(m), a constant for small m, and a share of m for the bias that very long sums show."""
    return float(np.sqrt(longest) + 4 + longest / 500)


def _longest_sum(jacobian: Jacobian, outputs: Outputs) -> int:
    """The longest sum behind an entry of K; sums added in order, whose errors have a bias, count squared."""
    c = jacobian.outputs if outputs == "trace" else 1
    lengths = [len(jacobian.blocks) ** 2]
    for block in jacobian:
        (left, sparse_left), (right, sparse_right) = _terms(block.left), _terms(block.right)
        lengths.append(left**2 if sparse_left else left)
        lengths.append((right * c) ** 2 if sparse_left or sparse_right else right * c)
    return max(lengths)


def _terms(factor: Factor | None) -> tuple[int, bool]:
    """Nonzero terms of an inner product of two rows, and whether they are added in order (sparse)."""
    return (factor.entries, factor.sparse) if factor else (1, False)


def _cancellation(jacobian: Jacobian) -> float:
    """By how much colliding entries of sparse factors exceed their sums, and rounding errors with them."""
    return max(_excess(block.left) * _excess(block.right) for block in jacobian)


def _excess(factor: Factor | None) -> float:
    """Of a dense factor none, and without reading it."""
    return factor.load().cancellation if factor and factor.sparse else 1.0


def _eps(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).eps)
