"""Bounds on the eigenvalues of K = A + B from the spectra of A and B; one function per theorem.

All eigenvalues descend, lambda_1 the largest; A and B are symmetric and positive semidefinite (PSD).
The inputs are computed spectra: each lower bound starts from what an eigenvalue is at least, within its
stated error, each upper bound from what it is at most. That covers rounding as far as the stated errors
do, so no bound of this file is certified.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.spectral.bounds.record import Side, require_complete
from ntkspec.spectral.bounds.statement import Values, stated
from ntkspec.spectral.record import Spectrum


@stated(
    "Theorem 1",
    "lambda_i(A) <= lambda_i(A + B)",
    source="Audia, Feizi, Zwicker and Manocha, ICLR 2025, Theorem 1; Weyl 1912",
    assumptions="A symmetric, B positive semidefinite",
    side="lower",
    computed_from="blocks",
)
def theorem1(kept: Spectrum) -> Values:
    """Bound lambda_i(A + B) >= lambda_i(A) for B PSD (Audia et al., ICLR 2025, Theorem 1; Weyl 1912).

    Args:
        kept: complete spectrum of A, the network's own part of the kernel.

    Example:
        >>> network = Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64")
        >>> theorem1(network).values
        array([4., 1.])
    """
    require_complete(kept)
    return kept.lower, not kept.lambda_min


@stated(
    "Weyl's lower bound",
    "lambda_i(A + B) >= lambda_j(A) + lambda_k(B), j + k = i + n, best pair",
    source="Weyl 1912",
    assumptions="A and B symmetric",
    side="lower",
    computed_from="halves",
)
def weyl_lower(a: Spectrum, b: Spectrum) -> Values:
    """Bound lambda_i(A + B) >= max over j + k = i + N of lambda_j(A) + lambda_k(B) (Weyl 1912).

    It contains Theorem 1 (k = N) and its sharper form + lambda_N(B). Its cost is N^2.

    Args:
        a: complete spectrum of A.
        b: complete spectrum of B, of the same size.

    Example:
        >>> a = Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64")
        >>> weyl_lower(a, a).values
        array([5., 2.])
    """
    low_a, low_b = _same_size(a, b, "lower")
    size = len(low_a)
    # Zero-based: j + k = i + N - 1, so j runs from i to N - 1 while k runs back from N - 1 to i.
    values = np.array([np.max(low_a[i:] + low_b[i:][::-1]) for i in range(size)])
    return values, not (a.lambda_min or b.lambda_min)


@stated(
    "Weyl's upper bound",
    "lambda_{i+j-1}(A + B) <= lambda_i(A) + lambda_j(B), best pair",
    source="Weyl 1912",
    assumptions="A and B symmetric",
    side="upper",
    computed_from="halves",
)
def weyl_upper(a: Spectrum, b: Spectrum) -> Values:
    """Bound lambda_{i+j-1}(A + B) <= lambda_i(A) + lambda_j(B), best pair for every eigenvalue (Weyl 1912).

    It is vacuous unless its bound on lambda_min is below trace(A + B) / N, the mean of all eigenvalues. Its
    cost is N^2.

    Args:
        a: complete spectrum of A.
        b: complete spectrum of B, of the same size.

    Example:
        >>> a = Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64")
        >>> weyl_upper(a, a).values
        array([8., 5.])
    """
    high_a, high_b = _same_size(a, b, "upper")
    size = len(high_a)
    values = np.array([np.min(high_a[: m + 1] + high_b[: m + 1][::-1]) for m in range(size)])
    return values, values[-1] >= (a.trace + b.trace) / size


def _same_size(a: Spectrum, b: Spectrum, side: Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    require_complete(a, b)
    if a.size != b.size:
        raise UsageError(
            "bounds",
            expected="spectra of two kernels of the same size",
            got=f"sizes {a.size} and {b.size}",
            remedy="use the same samples and outputs for both",
        )
    return (a.lower, b.lower) if side == "lower" else (a.upper, b.upper)
