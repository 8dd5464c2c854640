"""Compute the shares of targets in the modes of a kernel."""

from __future__ import annotations

import numpy as np

from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.targets import Vector

DIGITS = 5  # of shares, rounded when they are made: a file holds the very record, and is small
TOLERANCE = 10.0 ** (1 - DIGITS)  # relative, of a share or of a sum of shares


def shares_of(spectrum: Spectrum, values: Vector, projected: Vector) -> tuple[Vector, float]:
    """Return the shares of the resolved modes (r,), and that of the rest.

    Args:
        spectrum: m eigenvalues with their eigenvectors.
        values: targets or residual (N, columns).
        projected: v_i . y_o (m, columns).
    """
    r, whole = spectrum.resolved, float(np.sum(values**2))
    if r == spectrum.size:
        rest = 0.0
    elif spectrum.vectors is None or r == 0:
        rest = 1.0
    else:  # not 1 - the others: it may be far below their rounding
        rest = float(np.sum((values - spectrum.vectors[:, :r] @ projected[:r]) ** 2)) / whole
    shares = np.sum(projected[:r] ** 2, axis=1) / whole
    return np.array([_rounded(share) for share in shares.tolist()]), _rounded(min(rest, 1.0))


def kernel_target_of(spectrum: Spectrum, target: Vector, projected: Vector) -> float | None:
    """Return <K, Y Y^T> / (||K|| ||Y Y^T||) in the Frobenius norm.

    None where not all eigenvalues of K are known, or K is zero.
    """
    if not spectrum.complete or spectrum.resolved == 0:
        return None
    values = spectrum.eigenvalues / spectrum.eigenvalues[0]
    common = float(values @ np.sum(projected**2, axis=1))
    norms = np.linalg.norm(values) * np.linalg.norm(target.T @ target)
    return _rounded(min(common / float(norms), 1.0))


def _rounded(value: float) -> float:
    """Return a share with `DIGITS` digits."""
    return float(f"{value:.{DIGITS - 1}e}")
