"""Gershgorin's discs: the formula, where it is attained, and what scaling gains."""

from __future__ import annotations

import numpy as np
import pytest
from cases import exact_kernel
from hypothesis import given
from hypothesis import strategies as st

from ntkspec.kernel.enclosure import KernelEnclosure
from ntkspec.spectral import bounds
from ntkspec.spectral.bounds import entries


def naive_discs(kernel, d):
    """Left and right ends of the discs of D^-1 K D, entry by entry."""
    n = len(kernel)
    radii = [sum(abs(kernel[i][j]) * d[j] / d[i] for j in range(n) if j != i) for i in range(n)]
    return [kernel[i][i] - radii[i] for i in range(n)], [kernel[i][i] + radii[i] for i in range(n)]


def random_kernel(n, seed):
    factor = np.random.default_rng(seed).standard_normal((n, n))
    return factor @ factor.T


@given(n=st.integers(1, 8), seed=st.integers(0, 9999))
def test_plain_discs_are_the_definition(n, seed):
    kernel = random_kernel(n, seed)
    left, right = naive_discs(kernel, np.ones(n))
    lower, upper = (
        bounds.gershgorin_lower(exact_kernel(kernel)),
        bounds.gershgorin_upper(exact_kernel(kernel)),
    )
    assert np.allclose(lower.values, np.full(n, min(left)), rtol=1e-12, atol=1e-12 * max(right))
    assert np.allclose(upper.values, np.full(n, max(right)), rtol=1e-12)


@given(n=st.integers(2, 8), seed=st.integers(0, 9999))
def test_no_scaling_does_better_than_the_perron_vectors_and_ours_comes_close(n, seed):
    """Collatz and Wielandt: the best ends are eigenvalues of |K| and of 2 diag(K) - |K|."""
    kernel = random_kernel(n, seed)
    comparison = 2 * np.diag(kernel.diagonal()) - np.abs(kernel)
    values, vectors = np.linalg.eigh(comparison)
    best_upper = np.linalg.eigvalsh(np.abs(kernel))[-1]
    assert np.isclose(min(naive_discs(kernel, np.abs(vectors[:, 0]))[0]), values[0])
    lower = bounds.gershgorin_scaled_lower(exact_kernel(kernel)).values[0]
    upper = bounds.gershgorin_scaled_upper(exact_kernel(kernel)).values[0]
    assert values[0] - 1e-2 * best_upper <= lower <= values[0] + 1e-12 * best_upper
    assert best_upper * (1 - 1e-12) <= upper <= best_upper * 1.01


@pytest.mark.parametrize("of", [bounds.gershgorin_lower, bounds.gershgorin_scaled_lower])
def test_a_diagonal_kernel_attains_the_lower_end(of):
    values = of(exact_kernel(np.diag([3.0, 1e-9, 2e5]))).values
    assert np.allclose(values, 1e-9, rtol=1e-14)


@pytest.mark.parametrize("of", [bounds.gershgorin_upper, bounds.gershgorin_scaled_upper])
def test_a_diagonal_kernel_attains_the_upper_end(of):
    assert np.allclose(of(exact_kernel(np.diag([3.0, 0, 2e5]))).values, 2e5, rtol=1e-14)


def test_scaling_attains_lambda_min_of_an_m_matrix_that_plain_discs_miss():
    kernel = np.array([[1.0, -1, 0], [-1, 5, -2], [0, -2, 6]])
    assert bounds.gershgorin_lower(exact_kernel(kernel)).vacuous
    found = bounds.gershgorin_scaled_lower(exact_kernel(kernel))
    assert not found.vacuous
    assert np.isclose(found.values[0], np.linalg.eigvalsh(kernel)[0], rtol=1e-6)


def test_scaling_attains_lambda_max_of_a_kernel_without_negative_entries():
    kernel = np.array([[1.0, 1, 0], [1, 5, 2], [0, 2, 6]])
    found = bounds.gershgorin_scaled_upper(exact_kernel(kernel)).values[0]
    assert np.isclose(found, np.linalg.eigvalsh(kernel)[-1], rtol=1e-6)


def test_scaling_copes_with_a_kernel_graded_over_many_decades():
    grades = 10.0 ** np.array([8, -8, 3, -2, 0])
    kernel = grades[:, None] * (np.eye(5) + 0.01) * grades
    formed = KernelEnclosure(kernel, grades * 1.01, 1e-15, 0.0)  # with an error, as if it had been formed
    assert bounds.gershgorin_lower(formed).vacuous
    found = bounds.gershgorin_scaled_lower(formed).values[0]
    assert 0.9e-16 < found <= 1.01e-16


def test_the_search_for_a_lower_end_may_start_from_the_diagonal():
    """From d = 1, a lower end that begins 23 decades too low would not come up in time."""
    grades = 10.0 ** np.random.default_rng(1).uniform(-8, 8, 20)
    kernel = grades[:, None] * (np.eye(20) + 0.02) * grades
    found = bounds.gershgorin_scaled_lower(exact_kernel(kernel)).values[0]
    optimum = np.linalg.eigvalsh(1.04 * np.eye(20) - 0.02)[0]
    assert found >= 0.9 * optimum * grades.min() ** 2


def test_discs_include_the_error_of_forming_the_kernel():
    kernel, weights = np.array([[2.0, 1], [1, 2]]), np.array([1.5, 1.5])
    formed = KernelEnclosure(kernel, weights, 1e-3, 1e-6)
    margin = 1e-3 * 3 * 1.5 + 2e-6
    assert np.allclose(bounds.gershgorin_lower(formed).values, 1 - margin)
    assert np.allclose(bounds.gershgorin_upper(formed).values, 3 + margin)


def test_large_kernels_get_fewer_passes_and_bounds_that_are_no_tighter(monkeypatch):
    formed = exact_kernel(random_kernel(7, 0))
    many = bounds.gershgorin_scaled_upper(formed).values[0]
    monkeypatch.setattr(entries, "ENTRIES", 0)
    few = bounds.gershgorin_scaled_upper(formed).values[0]
    assert np.linalg.eigvalsh(formed.kernel)[-1] <= many <= few <= bounds.gershgorin_upper(formed).values[0]


def test_vacuous_when_nothing_new_is_said_of_lambda_min():
    coherent, incoherent = exact_kernel(np.ones((3, 3))), exact_kernel(np.eye(3) + 0.1)
    assert bounds.gershgorin_lower(coherent).vacuous
    assert bounds.gershgorin_scaled_lower(coherent).vacuous
    assert not bounds.gershgorin_lower(incoherent).vacuous
    assert bounds.gershgorin_upper(
        incoherent
    ).vacuous  # it speaks of the largest, which is no less than the mean
