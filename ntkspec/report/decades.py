"""Compare lambda_min in decades: log10 of the ratio of two numbers, each known exactly or by its limits."""

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

    If both may be zero, that limit of the result is infinite: nothing is known on that side.

    Args:
        above: lower and upper limit of the numerator; equal if it is known.
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
    """Return log10 of lambda_min(spectrum) / lambda_min(baseline), and "=", ">=", "<=" or "unresolved".

    If one of the two is not resolved, the result is a bound: it uses the largest value that this one can have
    (the floor if it is exactly zero) and allows for the stated errors of both. If neither is resolved, or if
    not all eigenvalues were computed, the result is (None, "unresolved").
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
    """Return the limits of lambda_min; with `as_number`, both are lambda_min itself if it is resolved."""
    smallest = spectrum.lambda_min
    if smallest:
        return (smallest, smallest) if as_number else (float(spectrum.lower[-1]), float(spectrum.upper[-1]))
    return 0.0, spectrum.floor if spectrum.singular or not spectrum.floor else spectrum.smallest_at_most
