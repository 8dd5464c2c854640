"""Bounds from trace and Frobenius norm: the formulas, where they are attained, the cancellation to avoid."""

from __future__ import annotations

import math

import cases
import numpy as np
import pytest
from cases import exact_kernel
from hypothesis import given
from hypothesis import strategies as st

from ntkspec.jacobian import DenseFactor, Jacobian
from ntkspec.kernel.enclosure import KernelEnclosure, form
from ntkspec.spectral import bounds

ALL = (bounds.wolkowicz_styan_lower, bounds.wolkowicz_styan_upper, bounds.trace_upper, bounds.frobenius_lower)


def rotated(eigenvalues, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))[0]
    kernel = (q * np.asarray(eigenvalues, dtype=float)) @ q.T
    return (kernel + kernel.T) / 2


def naive(eigenvalues):
    """The four bounds from the eigenvalues themselves, one index after the other."""
    n = len(eigenvalues)
    m = sum(eigenvalues) / n
    s = math.sqrt(sum((value - m) ** 2 for value in eigenvalues) / n)
    total, norm = n * m, math.sqrt(sum(value**2 for value in eigenvalues))
    lower = [max(m - s * math.sqrt((k - 1) / (n - k + 1)), 0) for k in range(1, n + 1)]
    upper = [m + s * math.sqrt((n - k) / k) for k in range(1, n + 1)]
    if n > 1:
        lower[0], upper[-1] = m + s / math.sqrt(n - 1), m - s / math.sqrt(n - 1)
    trace = [min(total / i, norm / math.sqrt(i)) for i in range(1, n + 1)]
    return lower, upper, trace, [norm**2 / total, *[0] * (n - 1)]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=10))
def test_values_are_the_definition(eigenvalues):
    formed = exact_kernel(rotated(eigenvalues))
    for of, expected in zip(ALL, naive(eigenvalues), strict=True):
        atol = 1e-6 * max(eigenvalues)  # s of equal eigenvalues is what rounding left of the kernel
        assert np.allclose(of(formed).values, expected, rtol=1e-9, atol=atol), of(formed).name


@given(n=st.integers(1, 12), value=st.floats(1e-100, 1e100))
def test_equal_eigenvalues_attain_all_but_the_trace(n, value):
    formed = exact_kernel(value * np.eye(n))
    for of in (bounds.wolkowicz_styan_lower, bounds.wolkowicz_styan_upper):
        assert np.allclose(of(formed).values / value, 1, rtol=1e-12)
    assert np.isclose(bounds.trace_upper(formed).values[-1] / value, 1)
    assert np.isclose(bounds.frobenius_lower(formed).values[0] / value, 1)
    for bound in (of(formed) for of in ALL):  # in the last digit, too
        assert (bound.values <= value if bound.side == "lower" else bound.values >= value).all(), bound.name


def test_two_different_eigenvalues_attain_what_their_multiplicities_allow():
    """Equality for lambda_k when the first k, or the last n - k + 1, are equal and so are all others."""
    kernel = exact_kernel(rotated([5, 1, 1, 1]))
    assert np.allclose(bounds.wolkowicz_styan_upper(kernel).values[[0, 3]], [5, 1])
    assert np.allclose(bounds.wolkowicz_styan_lower(kernel).values[1], 1)
    kernel = exact_kernel(rotated([5, 5, 5, 1]))
    assert np.allclose(bounds.wolkowicz_styan_lower(kernel).values[[0, 3]], [5, 1])
    assert np.allclose(bounds.wolkowicz_styan_upper(kernel).values[2], 5)


def test_rank_one_attains_trace_and_frobenius():
    formed = exact_kernel(np.ones((4, 4)))
    assert np.isclose(bounds.trace_upper(formed).values[0], 4)
    assert np.isclose(bounds.frobenius_lower(formed).values[0], 4)


def cancelling(kernel):
    """lambda_min >= m - s sqrt(N - 1) with the s that must not be: sum(K^2) / N - m^2."""
    n, m = len(kernel), kernel.trace() / len(kernel)
    return m - math.sqrt(max((kernel**2).sum() / n - m**2, 0)) * math.sqrt(n - 1)


def test_close_eigenvalues_do_not_cancel():
    """Of eigenvalues 1, ..., 1, 1 - 1e-9 the variance is lost in 1 - 1; about the mean it is not."""
    values = np.ones(100)
    values[-1] -= 1e-9
    found = bounds.wolkowicz_styan_lower(exact_kernel(np.diag(values))).values[-1]
    assert cancelling(np.diag(values)) > values[-1] + 5e-10  # a "bound" that is broken
    assert values[-1] - 1e-11 < found <= values[-1]


def test_a_singular_kernel_is_not_lifted_by_orders_of_magnitude():
    """Two samples, one parameter: lambda_min = 0 exactly, and m - s is attained: no more than 0 is true."""
    broken = 0
    for x in np.linspace(1.1, 3, 20):
        right = DenseFactor(np.array([[[1.0]], [[x]]]))
        formed = form(Jacobian((cases.block("theta", None, right, 2, 1),)))
        broken += cancelling(formed.kernel) > 1e-17
        assert bounds.wolkowicz_styan_lower(formed).values[-1] == 0
    assert broken > 0


def test_error_of_forming_the_kernel_counts():
    sure, unsure = (
        exact_kernel(np.diag([2.0, 1])),
        KernelEnclosure(np.diag([2.0, 1]), np.array([2.0, 1]), 1e-3, 1e-4),
    )
    for of in ALL:
        sign = 1 if of(sure).side == "lower" else -1
        assert (sign * of(unsure).values <= sign * of(sure).values).all()
        assert sign * of(unsure).values[0] < sign * of(sure).values[0]
    error = 1e-3 * (2**2 + 1**2) + 2 * 1e-4  # of the trace, and of the Frobenius norm
    assert np.isclose(bounds.trace_upper(unsure).values[-1], (3 + error) / 2, rtol=1e-6)
    assert np.isclose(bounds.trace_upper(unsure).values[0], 5**0.5 + error, rtol=1e-6)
    assert np.isclose(
        bounds.wolkowicz_styan_upper(unsure).values[-1], 1 + error / 2 + error / 2**0.5, rtol=1e-6
    )


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_squares_neither_overflow_nor_vanish(scale):
    kernel = rotated([3, 2, 1])
    for of in ALL:
        assert np.allclose(
            of(exact_kernel(scale * kernel)).values / scale, of(exact_kernel(kernel)).values, rtol=1e-9
        )


def test_panels_of_rows_do_not_change_the_bounds(monkeypatch):
    formed = exact_kernel(rotated([4, 3, 2, 1, 0.5]))
    whole = [of(formed).values for of in ALL]
    monkeypatch.setattr("ntkspec.backend.arrays.STRIP_BYTES", 2 * 8 * 5)
    assert np.allclose(whole, [of(formed).values for of in ALL], rtol=1e-12)


def test_one_sample():
    for of in ALL:
        assert np.isclose(of(exact_kernel([[0.7]])).values[0], 0.7)
    assert not bounds.frobenius_lower(exact_kernel([[0.7]])).vacuous


def test_a_kernel_of_zeros():
    formed = exact_kernel(np.zeros((3, 3)))
    for of in ALL:
        assert np.allclose(of(formed).values, 0, atol=1e-100)
        assert of(formed).vacuous


def test_vacuous_when_nothing_new_is_said_of_lambda_min():
    narrow, wide = exact_kernel(np.diag([1.1, 1, 0.9])), exact_kernel(np.diag([10.0, 0.1, 0.1]))
    assert not bounds.wolkowicz_styan_lower(narrow).vacuous
    assert bounds.wolkowicz_styan_lower(exact_kernel(np.diag([10.0, 5, 0]))).vacuous
    assert not bounds.wolkowicz_styan_upper(wide).vacuous
    assert bounds.wolkowicz_styan_upper(exact_kernel(np.eye(3))).vacuous
    assert bounds.trace_upper(wide).vacuous
    assert bounds.frobenius_lower(wide).vacuous
