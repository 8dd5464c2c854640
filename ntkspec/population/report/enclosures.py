"""Compute means and quantiles over runs of numbers of which only a lower and an upper limit are known.

Each statistic is computed twice: from the lower limits and from the upper limits. Means and quantiles never
decrease when a number increases, so the true value lies between the two results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

AGREE = 0.01  # of the upper end: how near both ends must be for a number to be quoted


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Lower and upper limits of a statistic, at each index."""

    low: Values  # (k,) >= 0
    high: Values  # (k,) >= low; infinite where nothing is known

    @property
    def numbers(self) -> Values:
        """Return the midpoint of the two limits where they agree, and NaN elsewhere; (k,)."""
        agreeing = [agree(*ends) for ends in zip(self.low.tolist(), self.high.tolist(), strict=True)]
        return np.where(agreeing, self.low / 2 + self.high / 2, np.nan)

    @property
    def at_most(self) -> Values:
        """Return the upper limit where it is finite and the limits do not agree, and NaN elsewhere; (k,)."""
        return np.where(np.isnan(self.numbers) & np.isfinite(self.high), self.high, np.nan)


def agree(low: float, high: float) -> bool:
    """Return whether both limits are so close that one number can be quoted; two zeros agree.

    Example:
        >>> agree(0.995, 1.0), agree(0.5, 1.0), agree(0.0, 0.0)
        (True, False, True)
    """
    return math.isfinite(high) and high - low <= AGREE * high


def mean(low: Values, high: Values) -> Enclosure:
    """Return the arithmetic mean over runs.

    Args:
        low: lower limits of the numbers, a row for each run (n, k).
        high: upper limits (n, k).

    Example:
        >>> mean(np.array([[4.0], [0.0]]), np.array([[4.0], [1.0]]))
        Enclosure(low=array([2.]), high=array([2.5]))
    """
    largest = np.where(np.isfinite(high), high, 0.0).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)  # so that no sum overflows
    return Enclosure((low / scale).mean(axis=0) * scale, (high / scale).mean(axis=0) * scale)


def quantile(low: Values, high: Values, share: float) -> Enclosure:
    """Return a quantile over runs, interpolated on a log scale between the two nearest runs.

    Eigenvalues differ by decades: halfway between 1e-2 and 1e-6 is 1e-4, and halfway between any number
    and zero is zero.

    Args:
        low: see `mean`.
        high: see `mean`.
        share: the share of the runs that lie below the quantile, from 0 to 1; 0.5 gives the median.

    Example:
        >>> quantile(np.array([[4.0], [0.0], [1.0], [9.0]]), np.array([[4.0], [0.1], [1.0], [9.0]]), 0.5)
        Enclosure(low=array([2.]), high=array([2.]))
    """
    return Enclosure(_quantile(low, share), _quantile(high, share))


def _quantile(values: Values, share: float) -> Values:
    """Return the quantile of each column; infinite values count as the largest."""
    ranked = np.sort(values, axis=0)
    place = share * (len(ranked) - 1)
    below = math.floor(place)
    part = place - below
    lower, upper = ranked[below], ranked[min(below + 1, len(ranked) - 1)]
    if part == 0:
        return np.asarray(lower)
    first = np.where(lower > 0, lower, 1.0)  # avoids 0 times infinity
    with np.errstate(over="ignore"):
        between = np.clip(first ** (1 - part) * upper**part, lower, upper)
    return np.where(lower > 0, between, 0.0)
