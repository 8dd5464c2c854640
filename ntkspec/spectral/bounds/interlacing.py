"""Cauchy's interlacing: bounds on the kernel of all samples from the kernel of some of them.

For K of N rows and a principal submatrix of m of them (Cauchy 1829; Horn and Johnson, Matrix Analysis, 2nd
edition, theorem 4.3.28):

    lambda_{i+N-m}(K) <= lambda_i(part) <= lambda_i(K),    i = 1..m.
"""

from __future__ import annotations

import numpy as np

from ntkspec.arguments.counts import whole_number
from ntkspec.spectral.bounds.record import require_complete
from ntkspec.spectral.bounds.statement import Values, stated
from ntkspec.spectral.record import Spectrum

SOURCE = "Cauchy 1829; Horn and Johnson, Matrix Analysis, 2nd edition, theorem 4.3.28"


@stated(
    "Cauchy's interlacing, lower",
    "lambda_i(K) >= lambda_i(part), i <= m",
    source=SOURCE,
    assumptions="K positive semidefinite, part a principal submatrix of K",
    side="lower",
    computed_from="samples",
)
def cauchy_lower(part: Spectrum, size: int) -> Values:
    """Bound lambda_i(K) >= lambda_i(part) for i <= m, and >= 0 beyond: vacuous unless m = N.

    Args:
        part: complete spectrum of the kernel of m of the rows.
        size: N, the rows of K.

    Raises:
        UsageError: the spectrum is not complete, or N < m.

    Example:
        >>> part = Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64")
        >>> cauchy_lower(part, 3).values
        array([4., 1., 0.])
    """
    size = _check(part, size)
    values = np.zeros(size)
    values[: part.size] = part.lower
    return values, part.size < size or not part.lambda_min


@stated(
    "Cauchy's interlacing, upper",
    "lambda_{i+n-m}(K) <= lambda_i(part), i <= m",
    source=SOURCE,
    assumptions="K symmetric, part a principal submatrix of K",
    side="upper",
    computed_from="samples",
)
def cauchy_upper(part: Spectrum, size: int) -> Values:
    """Bound lambda_{i+N-m}(K) <= lambda_i(part) for i <= m.

    The N - m largest eigenvalues have no bound: their values are infinite (null in report.json). The
    bound is vacuous when lambda_min(part) is not below the mean of the part's own diagonal.

    Args:
        part: complete spectrum of the kernel of m of the rows.
        size: N, the rows of K.

    Raises:
        UsageError: the spectrum is not complete, or N < m.

    Example:
        >>> part = Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64")
        >>> cauchy_upper(part, 3).values
        array([inf,  4.,  1.])
    """
    size = _check(part, size)
    values = np.full(size, np.inf)
    values[size - part.size :] = part.upper
    return values, values[-1] >= part.trace / part.size


def _check(part: Spectrum, size: object) -> int:
    """Return N, once the spectrum is complete."""
    require_complete(part)
    return whole_number(size, "size of the whole kernel", part.size)
