"""Compute decades of lambda_min: log10 of the ratio of two numbers of which only limits may be known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ntkspec.report.records import Qualifier
from ntkspec.spectral import Spectrum

Limits = tuple[float, float]  # at least, at most; both >= 0


@dataclass(frozen=True)
class Known:
    """Two limits between which a number lies.

    For log10(a / b) both are infinite, with the same sign, where a or b is zero.
    """

    low: float
    high: float

    @property
    def exact(self) -> bool:
        """Return whether both limits are the same number."""
        return math.isfinite(self.low) and self.low == self.high


def known_decades(above: Limits, below: Limits) -> Known:
    """Return log10 of one number over another.

    Where both may be zero nothing is known on that side.

    Args:
        above: what the numerator is at least and at most; twice the same where it is known.
        below: the same of the denominator.

    Example:
        >>> known_decades((100.0, 100.0), (1.0, 1.0))
        Known(low=2.0, high=2.0)
        >>> known_decades((100.0, 100.0), (0.0, 1.0))
        Known(low=2.0, high=inf)
    """
    return Known(_log_ratio(above[0], below[1], -math.inf), _log_ratio(above[1], below[0], math.inf))


def _log_ratio(above: float, below: float, unknown: float) -> float:
    if above == 0 and below == 0:
        return unknown
    if above == 0:
        return -math.inf
    return math.inf if below == 0 else math.log10(above) - math.log10(below)


def decades_between(spectrum: Spectrum, baseline: Spectrum) -> tuple[float | None, Qualifier]:
    """Return log10 of lambda_min(spectrum) / lambda_min(baseline), with what is known of it.

    Where one of both is unresolved, the largest value that it can have is taken in its place (its floor
    where it is exactly zero), and the result is a bound that allows for the stated errors of both. Where both
    are, or where not all eigenvalues were computed, nothing is known.
    """
    if not (spectrum.complete and baseline.complete):
        return None, "unresolved"
    numbers = bool(spectrum.lambda_min and baseline.lambda_min)
    log_ratio = known_decades(_limits(spectrum, numbers), _limits(baseline, numbers))
    if numbers:
        return log_ratio.low, "="
    if math.isfinite(log_ratio.low):
        return log_ratio.low, ">="
    if math.isfinite(log_ratio.high):
        return log_ratio.high, "<="
    return None, "unresolved"


def _limits(spectrum: Spectrum, as_number: bool) -> Limits:
    """Return the limits of lambda_min, from its stated errors unless it is to be taken as a number."""
    smallest = spectrum.lambda_min
    if smallest:
        return (smallest, smallest) if as_number else (float(spectrum.lower[-1]), float(spectrum.upper[-1]))
    return 0.0, spectrum.floor if spectrum.singular or not spectrum.floor else spectrum.smallest_at_most
