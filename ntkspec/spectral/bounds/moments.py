"""Bounds from two moments of the eigenvalues: trace(K) and the Frobenius norm of K.

With m = trace(K) / N and s = ||K - m I||_F / sqrt(N), the mean and the standard deviation of the eigenvalues
(Wolkowicz and Styan 1980, theorems 2.1 and 2.2):

    m - s sqrt((k - 1) / (N - k + 1)) <= lambda_k <= m + s sqrt((N - k) / k),
    lambda_N <= m - s / sqrt(N - 1),    m + s / sqrt(N - 1) <= lambda_1.

s is never computed from sum(K^2) / N - m^2: digits cancel in it, it comes out too small, and the lower bound
would be wrong. The trace of the computed kernel is off by at most the sum of the errors of its entries, and
its norm by at most their norm. Both are kept as a pair (least, most), and everything is rounded outwards.
"""

from __future__ import annotations

import math

import numpy as np

from ntkspec.backend.arrays import strips
from ntkspec.kernel.enclosure import UNIT, UP, KernelEnclosure
from ntkspec.spectral.bounds.statement import Values, stated
from ntkspec.summation import gamma

ROUNDINGS = 16 * UNIT  # of the few operations that make a value from trace and norm
Range = tuple[float, float]  # (least, most)

WOLKOWICZ_STYAN = "Wolkowicz and Styan 1980, Bounds for eigenvalues using traces, theorems 2.1 and 2.2"
POSITIVE = "K positive semidefinite"


@stated(
    "Wolkowicz and Styan's lower bound",
    "lambda_k(K) >= m - s sqrt((k-1)/(n-k+1)), lambda_1(K) >= m + s/sqrt(n-1)",
    source=WOLKOWICZ_STYAN,
    assumptions=POSITIVE,
    side="lower",
    computed_from="kernel",
)
def wolkowicz_styan_lower(enclosure: KernelEnclosure) -> Values:
    """Bound lambda_k >= m - s sqrt((k - 1) / (N - k + 1)), lambda_1 >= m + s / sqrt(N - 1); at least 0.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> wolkowicz_styan_lower(exact).values.round(6)
        array([3., 1.])
    """
    size = enclosure.size
    mean, spread = _mean_and_spread(enclosure)
    k = np.arange(1, size + 1)
    reach = spread[1] * np.sqrt((k - 1) / (size - k + 1))
    values = mean[0] - reach
    if size > 1:
        values[0] = mean[0] + spread[0] / math.sqrt(size - 1)
    values = np.maximum(values - ROUNDINGS * (mean[1] + reach + spread[1]), 0.0)
    return values, values[-1] <= 0


@stated(
    "Wolkowicz and Styan's upper bound",
    "lambda_k(K) <= m + s sqrt((n-k)/k), lambda_n(K) <= m - s/sqrt(n-1)",
    source=WOLKOWICZ_STYAN,
    assumptions="K symmetric",
    side="upper",
    computed_from="kernel",
)
def wolkowicz_styan_upper(enclosure: KernelEnclosure) -> Values:
    """Bound lambda_k <= m + s sqrt((N - k) / k), lambda_N <= m - s / sqrt(N - 1).

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> wolkowicz_styan_upper(exact).values.round(6)
        array([3., 1.])
    """
    size = enclosure.size
    mean, spread = _mean_and_spread(enclosure)
    k = np.arange(1, size + 1)
    reach = spread[1] * np.sqrt((size - k) / k)
    values = mean[1] + reach
    if size > 1:
        values[-1] = mean[1] - spread[0] / math.sqrt(size - 1)
    values = values + ROUNDINGS * (mean[1] + reach + spread[1])
    return values, values[-1] >= _diagonal_mean(enclosure)


@stated(
    "Trace and Frobenius upper bound",
    "lambda_i(K) <= min(trace(K) / i, ||K||_F / sqrt(i))",
    source="sums of the i largest eigenvalues and of their squares",
    assumptions=POSITIVE,
    side="upper",
    computed_from="kernel",
)
def trace_upper(enclosure: KernelEnclosure) -> Values:
    """Bound lambda_i <= min(trace(K) / i, ||K||_F / sqrt(i)): the i largest are all at least lambda_i.

    It is always vacuous: its bound on lambda_min is no better than trace(K) / N.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> trace_upper(exact).values.round(6)
        array([3.162278, 2.      ])
    """
    i = np.arange(1, enclosure.size + 1)
    values = np.minimum(_trace(enclosure)[1] / i, _norm(enclosure, 0.0)[1] / np.sqrt(i)) * (1 + ROUNDINGS)
    return values, values[-1] >= _diagonal_mean(enclosure)


@stated(
    "Frobenius lower bound",
    "lambda_1(K) >= ||K||_F^2 / trace(K)",
    source="sum of lambda_i^2 <= lambda_1 sum of lambda_i",
    assumptions=POSITIVE,
    side="lower",
    computed_from="kernel",
)
def frobenius_lower(enclosure: KernelEnclosure) -> Values:
    """Bound lambda_1 >= ||K||_F^2 / trace(K), since sum lambda^2 <= lambda_1 sum lambda.

    The bound on all other eigenvalues is 0.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> frobenius_lower(exact).values.round(6)
        array([2.5, 0. ])
    """
    trace, norm = _trace(enclosure)[1], _norm(enclosure, 0.0)[0]
    values = np.zeros(enclosure.size)
    if trace > 0:
        values[0] = norm * (norm / trace) * (1 - ROUNDINGS)
    return values, values[-1] <= 0


def _mean_and_spread(enclosure: KernelEnclosure) -> tuple[Range, Range]:
    """Return the ranges of m and s.

    s sqrt(N) is off by at most the norm of the kernel's error: subtracting the mean does not enlarge it.
    The norm is taken about a rounded m; it exceeds the norm about m by at most sqrt(N) times the difference.
    """
    size, trace, centre = enclosure.size, _trace(enclosure), _diagonal_mean(enclosure)
    mean = (trace[0] / size * (1 - ROUNDINGS), trace[1] / size * (1 + ROUNDINGS))
    norm = _norm(enclosure, centre)
    least = norm[0] / math.sqrt(size) * (1 - ROUNDINGS) - ROUNDINGS * centre
    return mean, (max(least, 0.0), norm[1] / math.sqrt(size) * (1 + ROUNDINGS))


def _trace(enclosure: KernelEnclosure) -> Range:
    total = math.fsum(enclosure.diagonal)
    return _range(total, _error(enclosure) + ROUNDINGS * total)


def _norm(enclosure: KernelEnclosure, shift: float) -> Range:
    """Return the range of ||K - shift I||_F, from panels of rows, scaled so that no square overflows."""
    kernel, size, xp = enclosure.kernel, enclosure.size, enclosure.engine.xp
    diagonal = kernel.diagonal()
    exponent = -math.frexp(float(diagonal.max()))[1]
    squares = np.empty(size)
    for rows in strips(kernel):
        panel = xp.ldexp(kernel[rows], exponent)
        places = xp.arange(len(panel))
        panel[places, rows.start + places] = xp.ldexp(diagonal[rows] - shift, exponent)
        squares[rows] = enclosure.engine.get(xp.einsum("ij,ij->i", panel, panel))
    norm = math.sqrt(math.fsum(squares))
    lost = gamma(size + 8) * norm + size * 1e-160  # the last for squares that underflow
    return _range(math.ldexp(norm, -exponent), math.ldexp(lost, -exponent) + _error(enclosure))


def _error(enclosure: KernelEnclosure) -> float:
    """Return a bound on the kernel's error in the Frobenius norm; it also bounds the error of the trace."""
    return (
        enclosure.gamma * float(enclosure.weights @ enclosure.weights) + enclosure.size * enclosure.underflow
    ) * UP


def _diagonal_mean(enclosure: KernelEnclosure) -> float:
    return math.fsum(enclosure.diagonal) / enclosure.size


def _range(value: float, error: float) -> Range:
    """Return (value - error, value + error), rounded outwards; the first is at least 0."""
    error += ROUNDINGS * (value + error)
    return max(value - error, 0.0), value + error
