"""Compare lambda_min in decades: log10 of the ratio of two numbers, each known exactly or by its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ntkspec.report.records import Qualifier
from ntkspec.spectral import Spectrum

Limits = tuple[float, float]  # at least, at most; both >= 0

_SHOWN = 0.1  # decades: the last digit of what is shown


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

    "=" is of two numbers whose stated errors leave the ratio within a tenth of a decade. Otherwise the result
    is a bound: it allows for the stated errors of both, and uses the largest value that an unresolved number
    can have (the floor if it is exactly zero). The result is (None, "unresolved") if neither is resolved, if
    the errors do not tell which is larger, or if not all eigenvalues were computed.
    """
    if not (spectrum.complete and baseline.complete):
        return None, "unresolved"
    within = known_decades(_limits(spectrum), _limits(baseline))
    if spectrum.lambda_min and baseline.lambda_min:
        if within.high - within.low <= _SHOWN:
            return math.log10(spectrum.lambda_min) - math.log10(baseline.lambda_min), "="
        # Only the limit that says which is larger is worth a sentence.
        within = Known(
            within.low if within.low > 0 else -math.inf, within.high if within.high < 0 else math.inf
        )
    if math.isfinite(within.low):
        return within.low, ">="
    if math.isfinite(within.high):
        return within.high, "<="
    return None, "unresolved"


def _limits(spectrum: Spectrum) -> Limits:
    """Return the limits of lambda_min by its stated error, or by what is known where it is not resolved."""
    if spectrum.lambda_min:
        return float(spectrum.lower[-1]), float(spectrum.upper[-1])
    return 0.0, spectrum.floor if spectrum.singular or not spectrum.floor else spectrum.smallest_at_most
