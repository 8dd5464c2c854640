"""Compare lambda_min of outcomes as ratios in decades, and say medians of such ratios."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ntkspec.population.intervals import Interval
from ntkspec.population.outcomes import Curve, known_range
from ntkspec.report.compare import Known, known_decades


def decades(a: Curve, b: Curve) -> Known:
    """Return limits of log10(lambda_min of `a` / lambda_min of `b`).

    Each lambda_min is a number, exactly zero, or unresolved, which means between 0 and its floor.

    Two that are exactly zero are equal: their ratio is 0 decades. So what is unresolved is 0 decades or more
    above an exact zero.
    """
    found = known_decades(known_range(a), known_range(b))
    low = max(found.low, 0.0) if b.lambda_min == 0 else found.low
    high = min(found.high, 0.0) if a.lambda_min == 0 else found.high
    return Known(low, high)


def said(least: Interval, most: Interval, unit: str = "") -> str:
    """Return as text the median of ratios, some of which are known only by a lower and an upper limit.

    What the median is at least is rounded down, what it is at most up.

    Args:
        least: the median of the lower limits, see `median`.
        most: the median of the upper limits.
        unit: appended to a number.

    Example:
        >>> from ntkspec.population.intervals import median
        >>> said(*median([Known(1.0, 1.0)] * 3), " decades")
        '1.00 (1.00 to 1.00) decades'
    """
    if least.value == math.inf:
        return "no finite ratio" if least.low == math.inf else f"{least}{unit}"
    if most.value == -math.inf:
        return "zero" if most.high == -math.inf else f"{most}{unit}"
    if math.isinf(least.value):
        return "unknown" if math.isinf(most.value) else f"at most {_up(most.value)}{unit}"
    if math.isinf(most.value):
        return f"at least {_down(least.value)}{unit}"
    if least == most:
        return f"{least}{unit}"
    if least.value == most.value:
        low, high = min(least.low, most.low), max(least.high, most.high)
        return f"{least.value:.2f}, between {low:.2f} and {high:.2f}{unit}"
    return f"between {_down(least.value)} and {_up(most.value)}{unit}"


def _down(value: float) -> str:
    return f"{math.floor(100 * value + 1e-9) / 100:.2f}"  # 0.29 is a little less than 29 / 100


def _up(value: float) -> str:
    return f"{math.ceil(100 * value - 1e-9) / 100:.2f}"


def resolved(curve: Curve) -> NDArray[np.float64]:
    """Return the eigenvalues of a curve, with NaN for those that are unresolved or zero."""
    return np.array([value if value else math.nan for value in curve.values], dtype=np.float64)
