"""How far a computed eigenvalue may be off, and the floor below which it says nothing.

Three sources, all relative to the largest singular value s = sqrt(lambda_max) of J:

- an absolute error e of the eigenvalues, from forming K or J^T J and from the symmetric solver:
  |error| <= e (Weyl 1912), e = 2 (sqrt(m) + 4) eps s^2, m the longest sum behind an entry or a reduction;
- an error t of the singular values, from rounding J when it was stored (2 u s: two factors, each rounded
  once to unit roundoff u) and, where J is factorised itself, from the solver ((sqrt(m) + 4) eps s).

Worst-case analysis has m where we write sqrt(m); rounding errors of mean zero add up like a random walk
(Higham and Mary 2019, "A new approach to probabilistic rounding error analysis"), and the largest errors
measured over prescribed spectra grow as sqrt(m), with a constant that shows at m < 20: see docs/method.md.

A singular value off by t changes lambda = sigma^2 by at most 2 t sqrt(lambda) + t^2, so

    error(lambda) = e + 2 t sqrt(lambda) + t^2,        floor = (t + sqrt(2 t^2 + e))^2,

the floor being the eigenvalue whose error is as large as itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ErrorModel:
    """Errors of a route, before lambda_max is known; all are relative."""

    eigenvalue: float  # e / lambda_max
    singular: float  # t / sqrt(lambda_max)

    def floor(self, lambda_max: float) -> float:
        """The eigenvalue whose stated error equals itself."""
        t = self.singular
        return float(lambda_max * (t + np.sqrt(2 * t**2 + self.eigenvalue)) ** 2)

    def error(self, eigenvalues: NDArray[np.float64], lambda_max: float) -> NDArray[np.float64]:
        """Stated absolute error of each eigenvalue; (m,)."""
        relative = np.sqrt(np.maximum(eigenvalues, 0.0) / lambda_max) if lambda_max > 0 else eigenvalues * 0
        t = self.singular
        return np.asarray(lambda_max * (self.eigenvalue + 2 * t * relative + t**2))


def gram_errors(stored: np.dtype[Any], working: np.dtype[Any], longest: int) -> ErrorModel:
    """Errors of eigenvalues of a formed kernel.

    Args:
        stored: precision of the factors in the file.
        working: precision in which the kernel is formed and solved.
        longest: the larger of the kernel's size and the longest inner product behind an entry.
    """
    coarser = max(_eps(stored), _eps(working))  # factors are rounded to the working precision too
    return ErrorModel(eigenvalue=2 * _growth(longest) * _eps(working), singular=coarser)


def svd_errors(stored: np.dtype[Any], longest: int) -> ErrorModel:
    """Errors of squared singular values of J in float64.

    Args:
        stored: precision of the factors in the file.
        longest: the larger of J's sides that the triangular factor keeps, i.e. its number of rows N.
    """
    eps = _eps(np.dtype(np.float64))
    return ErrorModel(eigenvalue=0.0, singular=_growth(longest) * eps + _eps(stored))


def _growth(longest: int) -> float:
    return float(np.sqrt(longest) + 4)


def _eps(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).eps)
