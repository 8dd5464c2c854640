"""Ratios in decades of what may be zero or unresolved, and bootstrap intervals over pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from outcomes import Curve

DRAWS = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """The mean over pictures, with a bootstrap interval of it (Efron 1979, percentiles)."""

    mean: float
    low: float
    high: float
    count: int  # pictures

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean of finite values, with its 95% interval over resampled pictures.

    One picture alone has no interval: its ends are infinite.

    Raises:
        ValueError: there are none, or one is not finite.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data) or not np.isfinite(data).all():
        raise ValueError(f"expected finite values, got {len(data)} of which not all are finite")
    mean = float(data.mean())
    if len(data) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    rng = np.random.default_rng(seed)
    means = data[rng.integers(len(data), size=(DRAWS, len(data)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high), len(data))


@dataclass(frozen=True)
class Decades:
    """What is known of log10(a / b): it lies between these; both infinite of one sign where one is zero."""

    low: float
    high: float

    @property
    def exact(self) -> bool:
        """Whether it is a number."""
        return math.isfinite(self.low) and self.low == self.high


def decades(a: Curve, b: Curve) -> Decades:
    """lambda_min of `a` over that of `b`; each may be a number, exactly zero, or below its floor."""
    (a_low, a_high), (b_low, b_high) = _range(a), _range(b)
    return Decades(_log_ratio(a_low, b_high, -math.inf), _log_ratio(a_high, b_low, math.inf))


def _range(curve: Curve) -> tuple[float, float]:
    if curve.lambda_min is None:
        return 0.0, curve.floor
    return curve.lambda_min, curve.lambda_min


def _log_ratio(above: float, below: float, unknown: float) -> float:
    if above == 0 and below == 0:
        return unknown
    if above == 0:
        return -math.inf
    return math.inf if below == 0 else math.log10(above / below)


def resolved(curve: Curve) -> NDArray[np.float64]:
    """The kept eigenvalues, NaN where unresolved or zero."""
    return np.array([value if value else math.nan for value in curve.values], dtype=np.float64)
