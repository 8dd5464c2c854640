"""Bounds on the kernel K_s = J S J^T of training with a learning rate for each group of parameters.

S is diagonal, with the parameters' learning rates in [least, most]:

    lambda_i(K_s) = theta_i lambda_i(K),    least <= theta_i <= most

(Ostrowski 1959, applied to S^1/2 J^T J S^1/2; Horn and Johnson, Matrix Analysis, theorem 4.5.9).
`Jacobian.scaled` makes the Jacobian J S^1/2 of K_s itself.
"""

from __future__ import annotations

from ntkspec.arguments.counts import positive_number
from ntkspec.spectral.bounds.record import require_complete
from ntkspec.spectral.bounds.statement import Values, stated
from ntkspec.spectral.record import Spectrum

SOURCE = "Ostrowski 1959; Horn and Johnson, Matrix Analysis, theorem 4.5.9"


@stated(
    "Ostrowski's lower bound",
    "lambda_i(J S J^T) >= min(s) lambda_i(J J^T)",
    source=SOURCE,
    assumptions="S diagonal and positive",
    side="lower",
)
def ostrowski_lower(spectrum: Spectrum, least: float) -> Values:
    """Bound lambda_i(J S J^T) >= least lambda_i(J J^T), where S is a diagonal matrix of learning rates.

    Args:
        spectrum: complete spectrum of J J^T.
        least: the smallest entry of S; the learning rates are relative to that of J J^T.

    Raises:
        UsageError: the spectrum is not complete, or the rate is not positive and finite.

    Example:
        >>> import numpy as np
        >>> spectrum = Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64")
        >>> ostrowski_lower(spectrum, 0.5).values
        array([2. , 0.5])
    """
    least = _check(spectrum, "least", least)
    return least * spectrum.lower, not spectrum.lambda_min


@stated(
    "Ostrowski's upper bound",
    "lambda_i(J S J^T) <= max(s) lambda_i(J J^T)",
    source=SOURCE,
    assumptions="S diagonal and positive",
    side="upper",
)
def ostrowski_upper(spectrum: Spectrum, most: float) -> Values:
    """Bound lambda_i(J S J^T) <= most lambda_i(J J^T), where S is a diagonal matrix of learning rates.

    It is vacuous when lambda_min(J J^T) is not below trace(J J^T) / N.

    Args:
        spectrum: complete spectrum of J J^T.
        most: the largest entry of S; the learning rates are relative to that of J J^T.

    Raises:
        UsageError: the spectrum is not complete, or the rate is not positive and finite.

    Example:
        >>> import numpy as np
        >>> spectrum = Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64")
        >>> ostrowski_upper(spectrum, 2.0).values
        array([8., 2.])
    """
    most = _check(spectrum, "most", most)
    return most * spectrum.upper, spectrum.upper[-1] >= spectrum.trace / spectrum.size


def _check(spectrum: Spectrum, name: str, rate: object) -> float:
    """Return the rate, once the spectrum is complete."""
    require_complete(spectrum)
    return positive_number(rate, f"{name} rate", "give the learning rate relative to that of the kernel")
