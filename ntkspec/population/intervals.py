"""Intervals over the items of a population, and ratios of lambda_min that may be zero or unresolved.

An item is what varies: a picture, a mesh, or a run of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from ntkspec.population.outcomes import Curve
from ntkspec.report.decades import Known, known_decades

DRAWS = 4000
LEVEL = 0.95
FEW = 8  # items: of fewer a bootstrap says little, and the range of the values stands in its place
_CELLS = 2**22  # of draws times items, at a time: thousands of items stay small in memory

Values = NDArray[np.float64]
Seeds = Sequence[int]  # one for each item, or none: each has one of its own


@dataclass(frozen=True)
class Interval:
    """A number for all items, between the ends of its bootstrap interval, or of few items' range.

    Example:
        >>> print(Interval(3.0, 1.0, 6.0, count=3))
        3.00 (1.00 to 6.00)
    """

    value: float
    low: float
    high: float
    count: int  # items

    def text(self, digits: int) -> str:
        """Return the value and the ends with so many decimals, see `shown`."""
        return self.shown(lambda number: f"{number:.{digits}f}")

    def shown(self, form: Callable[[float], str]) -> str:
        """Return the value and the ends, each number in this form."""
        return f"{form(self.value)} {self.ends(form) or '(of one)'}"

    def ends(self, form: Callable[[float], str]) -> str:
        """Return the ends in this form: [low, high] of a bootstrap, (low to high) of a range, "" of one."""
        if self.count == 1:
            return ""
        low, high = form(self.low), form(self.high)
        return f"({low} to {high})" if self.count < FEW else f"[{low}, {high}]"

    def __str__(self) -> str:
        return self.text(2)


def interval(values: Sequence[float], seeds: Seeds = ()) -> Interval:
    """Return the mean of finite values, with its 95% interval over resampled items, see `_bootstrap`.

    Of fewer than eight items the ends are those of the values. One alone has none: they are infinite.

    Args:
        values: one for each item.
        seeds: those of the items; of at least eight, all items of a seed are drawn together.

    Raises:
        ValueError: there are none, or one is not finite.

    Example:
        >>> print(interval([1.0, 2.0, 6.0]))
        3.00 (1.00 to 6.00)
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data) or not np.isfinite(data).all():
        raise ValueError(f"expected finite values, got {len(data)} of which not all are finite")
    if len(data) < FEW:
        return _range_of(float(data.mean()), data)
    return _bootstrap(float(data.mean()), lambda times: (times @ data) / times.sum(axis=1), len(data), seeds)


def _bootstrap(
    value: float, statistic: Callable[[NDArray[np.int64]], Values], count: int, seeds: Seeds
) -> Interval:
    """Return the expanded percentile interval (Hesterberg 2015, The American Statistician 69).

    Plain percentiles of the mean of n normal numbers are sqrt((n - 1) / n) z / t times as wide as Student's
    interval; quantiles further out make up for it.

    Items of one seed start from the same weights and do not vary apart, so they are drawn together (Davison
    and Hinkley 1997, section 3.8). Of too few seeds for that the items are drawn one by one, and what varies
    with the seed is not in the interval.

    Args:
        value: of all items.
        statistic: of items that are drawn so often, (m, count) -> (m,).
        count: items.
        seeds: see `interval`.
    """
    group = np.unique(seeds, return_inverse=True)[1] if len(set(seeds)) >= FEW else np.arange(count)
    n = int(group.max()) + 1
    rng, most = np.random.default_rng(0), max(_CELLS // count, 1)
    sizes = [min(most, DRAWS - done) for done in range(0, DRAWS, most)]
    times = (rng.multinomial(n, np.full(n, 1 / n), size=size) for size in sizes)
    tail = norm.cdf(-math.sqrt(n / (n - 1)) * student.ppf((1 + LEVEL) / 2, n - 1))
    drawn = np.concatenate([statistic(some[:, group]) for some in times])
    low, high = np.quantile(drawn, [tail, 1 - tail], method="closest_observation")
    return Interval(value, float(low), float(high), count)


def _range_of(value: float, data: Values) -> Interval:
    if len(data) == 1:
        return Interval(value, -math.inf, math.inf, 1)
    return Interval(value, float(data.min()), float(data.max()), len(data))


def known_range(curve: Curve) -> tuple[float, float]:
    """Return between what lambda_min lies: twice a number, or 0 and the floor."""
    if curve.lambda_min is None:
        return 0.0, curve.floor
    return curve.lambda_min, curve.lambda_min


def decades(a: Curve, b: Curve) -> Known:
    """Return the decades of lambda_min of `a` over that of `b`, each a number, zero, or below its floor.

    Two that are exactly zero are equal: no decades lie between them.
    """
    if a.lambda_min == b.lambda_min == 0:
        return Known(0.0, 0.0)
    return known_decades(known_range(a), known_range(b))


def median(pairs: Sequence[Known], seeds: Seeds = ()) -> tuple[Interval, Interval]:
    """Return the median over items of what numbers are at least, and at most, infinite ones included.

    They are equal where fewer than half of the numbers are unknown on the side of the middle.

    Args:
        pairs: what is known of each item's number, such as of a ratio in decades.
        seeds: see `interval`.

    Example:
        >>> least, most = median([Known(1.0, 1.0), Known(2.0, 2.0), Known(0.0, 0.5)])
        >>> least.value, most.value
        (1.0, 1.0)
    """
    least = _median([pair.low for pair in pairs], seeds, -1)
    return least, _median([pair.high for pair in pairs], seeds, 1)


def _median(values: Sequence[float], seeds: Seeds, side: int) -> Interval:
    data = np.asarray(values)
    middle = float(_medians(data, np.ones((1, len(data)), dtype=np.int64), side)[0])
    if len(data) < FEW:
        return _range_of(middle, data)
    return _bootstrap(middle, lambda times: _medians(data, times, side), len(data), seeds)


def said(least: Interval, most: Interval, unit: str = "") -> str:
    """Return in words the median of ratios of which some are known to lie between two ends only.

    Example:
        >>> said(*median([Known(1.0, 1.0)] * 3), " decades")
        '1.00 (1.00 to 1.00) decades'
    """
    if least.value == math.inf:
        return "no finite ratio" if least.low == math.inf else f"{least}{unit}"
    if most.value == -math.inf:
        return "zero" if most.high == -math.inf else f"{most}{unit}"
    if math.isinf(least.value) or math.isinf(most.value):
        known = f"at most {most.value:.2f}" if math.isinf(least.value) else f"at least {least.value:.2f}"
        return "unknown" if math.isinf(least.value) and math.isinf(most.value) else known + unit
    if least == most:
        return f"{least}{unit}"
    if least.value == most.value:
        low, high = min(least.low, most.low), max(least.high, most.high)
        return f"{least.value:.2f}, between {low:.2f} and {high:.2f}{unit}"
    return f"between {least.value:.2f} and {most.value:.2f}{unit}"


def _medians(data: Values, times: NDArray[np.int64], side: int) -> Values:
    """Return for each row of `times` the median of items drawn so often.

    Of two in the middle, of which one is infinite, the lower, or on side 1 the higher.
    """
    order = np.argsort(data, kind="stable")
    upto = times[:, order].cumsum(axis=1)
    count = upto[:, -1:]
    low, high = (data[order][(upto <= place).sum(axis=1)] for place in ((count - 1) // 2, count // 2))
    both = np.isfinite(low) & np.isfinite(high)
    return np.where(
        both, (np.where(both, low, 0.0) + np.where(both, high, 0.0)) / 2, low if side < 0 else high
    )


def resolved(curve: Curve) -> NDArray[np.float64]:
    """Return the kept eigenvalues, NaN where unresolved or zero."""
    return np.array([value if value else math.nan for value in curve.values], dtype=np.float64)
