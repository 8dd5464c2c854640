"""Bounds from two moments of the eigenvalues: trace(K) and the Frobenius norm of K.

With m = trace(K) / N and s = ||K - m I||_F / sqrt(N), the mean and the standard deviation of the eigenvalues
(Wolkowicz and Styan 1980, theorems 2.1 and 2.2):

    m - s sqrt((k - 1) / (N - k + 1)) <= lambda_k <= m + s sqrt((N - k) / k),
    lambda_N <= m - s / sqrt(N - 1),    m + s / sqrt(N - 1) <= lambda_1.

s is never computed as sum(K^2) / N - m^2: that cancels, comes out too small and makes a lower bound that is
none. Trace and norm of the kernel as formed are off by at most the sum, or the norm, of the errors of its
entries; both are carried as (least, most), and everything is rounded outwards.
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
def wolkowicz_styan_lower(formed: KernelEnclosure) -> Values:
    """lambda_k >= m - s sqrt((k - 1) / (N - k + 1)), lambda_1 >= m + s / sqrt(N - 1); at least 0."""
    size = formed.size
    mean, spread = _mean_and_spread(formed)
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
def wolkowicz_styan_upper(formed: KernelEnclosure) -> Values:
    """lambda_k <= m + s sqrt((N - k) / k), lambda_N <= m - s / sqrt(N - 1)."""
    size = formed.size
    mean, spread = _mean_and_spread(formed)
    k = np.arange(1, size + 1)
    reach = spread[1] * np.sqrt((size - k) / k)
    values = mean[1] + reach
    if size > 1:
        values[-1] = mean[1] - spread[0] / math.sqrt(size - 1)
    values = values + ROUNDINGS * (mean[1] + reach + spread[1])
    return values, values[-1] >= _diagonal_mean(formed)


@stated(
    "Trace and Frobenius upper bound",
    "lambda_i(K) <= min(trace(K) / i, ||K||_F / sqrt(i))",
    source="sums of the i largest eigenvalues and of their squares",
    assumptions=POSITIVE,
    side="upper",
    computed_from="kernel",
)
def trace_upper(formed: KernelEnclosure) -> Values:
    """lambda_i <= min(trace(K) / i, ||K||_F / sqrt(i)): the i largest are all at least lambda_i.

    Always vacuous: of lambda_min it says trace(K) / N.
    """
    i = np.arange(1, formed.size + 1)
    values = np.minimum(_trace(formed)[1] / i, _norm(formed, 0.0)[1] / np.sqrt(i)) * (1 + ROUNDINGS)
    return values, values[-1] >= _diagonal_mean(formed)


@stated(
    "Frobenius lower bound",
    "lambda_1(K) >= ||K||_F^2 / trace(K)",
    source="sum of lambda_i^2 <= lambda_1 sum of lambda_i",
    assumptions=POSITIVE,
    side="lower",
    computed_from="kernel",
)
def frobenius_lower(formed: KernelEnclosure) -> Values:
    """lambda_1 >= ||K||_F^2 / trace(K), since sum lambda^2 <= lambda_1 sum lambda; 0 for the others."""
    trace, norm = _trace(formed)[1], _norm(formed, 0.0)[0]
    values = np.zeros(formed.size)
    if trace > 0:
        values[0] = norm * (norm / trace) * (1 - ROUNDINGS)
    return values, values[-1] <= 0


def _mean_and_spread(formed: KernelEnclosure) -> tuple[Range, Range]:
    """m and s. s sqrt(N) is off by the norm of the kernel's error at most: taking the mean away shortens it.

    About a centre that is m but for rounding, the norm exceeds that about m by sqrt(N) times the way at most.
    """
    size, trace, centre = formed.size, _trace(formed), _diagonal_mean(formed)
    mean = (trace[0] / size * (1 - ROUNDINGS), trace[1] / size * (1 + ROUNDINGS))
    norm = _norm(formed, centre)
    least = norm[0] / math.sqrt(size) * (1 - ROUNDINGS) - ROUNDINGS * centre
    return mean, (max(least, 0.0), norm[1] / math.sqrt(size) * (1 + ROUNDINGS))


def _trace(formed: KernelEnclosure) -> Range:
    total = math.fsum(formed.diagonal)
    return _range(total, _error(formed) + ROUNDINGS * total)


def _norm(formed: KernelEnclosure, shift: float) -> Range:
    """||K - shift I||_F, a panel of rows at a time, scaled so that no square overflows."""
    kernel, size, xp = formed.kernel, formed.size, formed.engine.xp
    diagonal = kernel.diagonal()
    exponent = -math.frexp(float(diagonal.max()))[1]
    squares = np.empty(size)
    for rows in strips(kernel):
        panel = xp.ldexp(kernel[rows], exponent)
        places = xp.arange(len(panel))
        panel[places, rows.start + places] = xp.ldexp(diagonal[rows] - shift, exponent)
        squares[rows] = formed.engine.get(xp.einsum("ij,ij->i", panel, panel))
    norm = math.sqrt(math.fsum(squares))
    lost = gamma(size + 8) * norm + size * 1e-160  # the last for squares that underflow
    return _range(math.ldexp(norm, -exponent), math.ldexp(lost, -exponent) + _error(formed))


def _error(formed: KernelEnclosure) -> float:
    """Bound on the Frobenius norm of the kernel's error, and on the error of its trace."""
    return (formed.gamma * float(formed.weights @ formed.weights) + formed.size * formed.underflow) * UP


def _diagonal_mean(formed: KernelEnclosure) -> float:
    return math.fsum(formed.diagonal) / formed.size


def _range(value: float, error: float) -> Range:
    """All values that are not negative within an error, the sums rounded outwards."""
    error += ROUNDINGS * (value + error)
    return max(value - error, 0.0), value + error
