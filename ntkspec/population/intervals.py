"""Compute bootstrap intervals over the items of a population.

An item is a unit that is resampled: a picture, a mesh, or a single run. Numbers may be known
only by two limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from ntkspec.report.compare import Known

DRAWS = 4000  # of the bootstrap
LEVEL = 0.95  # of intervals
FEW = 8  # items: with fewer a bootstrap tells little, and the range of the values takes its place
_CELLS = 2**22  # draws times items that are in memory at a time

Values = NDArray[np.float64]
Seeds = Sequence[int]  # one for each item; empty: all differ


@dataclass(frozen=True)
class Interval:
    """A statistic over items, with the ends of its bootstrap interval or, for few items, of their range.

    Example:
        >>> print(Interval(3.0, 1.0, 6.0, count=3))
        3.00 (1.00 to 6.00)
    """

    value: float
    low: float
    high: float
    count: int  # items

    def text(self, digits: int) -> str:
        """Return the value and the ends as text, with this number of decimals."""
        return self.shown(lambda number: f"{number:.{digits}f}")

    def shown(self, form: Callable[[float], str]) -> str:
        """Return the value and the ends as text, each number formatted by `form`."""
        return f"{form(self.value)} {self.ends(form) or '(of one)'}"

    def ends(self, form: Callable[[float], str]) -> str:
        """Return the ends as text: [low, high] of a bootstrap, (low to high) of a range, "" of one item."""
        if self.count == 1:
            return ""
        low, high = form(self.low), form(self.high)
        return f"({low} to {high})" if self.count < FEW else f"[{low}, {high}]"

    def __str__(self) -> str:
        return self.text(2)


def interval(values: Sequence[float], seeds: Seeds = ()) -> Interval:
    """Return the mean of finite values with its 95% interval over resampled items, see `_bootstrap`.

    With fewer than eight items the ends are the least and the largest value; with one item they are infinite.

    Args:
        values: one for each item.
        seeds: the seed of each item; if eight or more differ, all items of a seed are drawn together.

    Raises:
        ValueError: there are no values, or one is not finite.

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
    interval; quantiles that lie further out make up for that.

    Items of one seed start from the same weights and do not vary independently, so they are drawn together
    (Davison and Hinkley 1997, section 3.8). With fewer than eight seeds items are drawn one by one, and the
    interval leaves out what varies with the seed.

    Args:
        value: the statistic of all items.
        statistic: computes the statistic of m resamples, given how often each item is drawn,
            (m, count) -> (m,).
        count: how many items there are.
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


def median(pairs: Sequence[Known], seeds: Seeds = ()) -> tuple[Interval, Interval]:
    """Return the medians over items of the lower limits of their numbers, and of the upper limits.

    The true median lies between the two, which may be infinite. They are equal if every number that is not
    known exactly is certainly above or certainly below the median.

    Args:
        pairs: limits of the number of each item, such as a ratio in decades.
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


def _medians(data: Values, times: NDArray[np.int64], side: int) -> Values:
    """Return the median of each resample, (m,); `times` (m, n) says how often each of the n items is drawn.

    If one of the two middle values is infinite, take the lower one for side -1, the higher one for side 1.
    """
    order = np.argsort(data, kind="stable")
    upto = times[:, order].cumsum(axis=1)
    count = upto[:, -1:]
    low, high = (data[order][(upto <= place).sum(axis=1)] for place in ((count - 1) // 2, count // 2))
    both = np.isfinite(low) & np.isfinite(high)
    return np.where(
        both, (np.where(both, low, 0.0) + np.where(both, high, 0.0)) / 2, low if side < 0 else high
    )
