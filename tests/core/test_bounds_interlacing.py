"""Cauchy's interlacing, from the kernel of some samples to that of all."""

from __future__ import annotations

import json

import cases
import numpy as np
import pytest
from cases import exact_spectrum
from hypothesis import given
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.report.to_json import plain
from ntkspec.spectral import bounds


def test_values_are_the_definition():
    part, size = exact_spectrum([5, 3, 1]), 5
    lower, upper = bounds.cauchy_lower(part, size), bounds.cauchy_upper(part, size)
    for i in range(1, size + 1):  # one-based, as in the theorem
        assert lower.values[i - 1] == (part.eigenvalues[i - 1] if i <= 3 else 0)
        assert upper.values[i - 1] == (part.eigenvalues[i - 1 - 2] if i > 2 else np.inf)


@given(n=st.integers(1, 10), rank=st.integers(1, 12), seed=st.integers(0, 9999), data=st.data())
def test_holds_for_any_rows(n, rank, seed, data):
    rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    jac = np.random.default_rng(seed).standard_normal((n, rank)) * 10.0 ** np.linspace(-3, 3, n)[:, None]
    kernel = jac @ jac.T
    values = np.linalg.eigvalsh(kernel)[::-1]
    part = exact_spectrum(np.maximum(np.linalg.eigvalsh(kernel[np.ix_(rows, rows)]), 0))
    slack = 1e-12 * values[0]
    assert (bounds.cauchy_lower(part, n).values <= values + slack).all()
    assert (bounds.cauchy_upper(part, n).values >= values - slack).all()


def test_attained_by_a_diagonal_kernel():
    """The part keeps the largest, or the smallest, of the diagonal."""
    whole = exact_spectrum([5, 4, 3, 2, 1])
    assert np.array_equal(bounds.cauchy_lower(exact_spectrum([5, 4, 3]), 5).values, [5, 4, 3, 0, 0])
    assert np.array_equal(bounds.cauchy_upper(exact_spectrum([3, 2, 1]), 5).values, [np.inf, np.inf, 3, 2, 1])
    assert bounds.cauchy_lower(exact_spectrum([5, 4, 3]), 5).holds(whole)
    assert bounds.cauchy_upper(exact_spectrum([3, 2, 1]), 5).holds(whole)
    assert not bounds.cauchy_upper(exact_spectrum([3, 2, 0.5]), 5).holds(whole)


def test_samples_of_a_network_with_a_grid():
    jac = cases.mixed(20)
    whole, part = ntkspec.spectrum(jac), ntkspec.spectrum(jac.load(0, 12))
    lower, upper = bounds.cauchy_lower(part, 20), bounds.cauchy_upper(part, 20)
    assert lower.holds(whole)
    assert upper.holds(whole)
    assert np.array_equal(lower.values[:12], part.lower)  # within its stated errors
    assert np.array_equal(upper.values[8:], part.upper)


def test_vacuous_when_nothing_new_is_said_of_lambda_min():
    assert bounds.cauchy_lower(exact_spectrum([3, 2]), 3).vacuous
    assert not bounds.cauchy_lower(exact_spectrum([3, 2]), 2).vacuous
    assert bounds.cauchy_lower(exact_spectrum([3, 0]), 2).vacuous
    assert not bounds.cauchy_upper(exact_spectrum([3, 2]), 3).vacuous
    assert bounds.cauchy_upper(
        exact_spectrum([3, 3]), 3
    ).vacuous  # lambda_min is below the mean of any part's diagonal


def test_what_is_not_bounded_is_null_in_json():
    values = bounds.cauchy_upper(exact_spectrum([3, 2]), 3).values
    assert json.dumps(plain(values.tolist())) == "[null, 3.0, 2.0]"


@pytest.mark.parametrize("of", [bounds.cauchy_lower, bounds.cauchy_upper])
def test_refusals(of):
    with pytest.raises(UsageError, match="size of the whole kernel: expected a whole number from 3"):
        of(exact_spectrum([3, 2, 1]), 2)
    with pytest.raises(UsageError, match="whole number"):
        of(exact_spectrum([3, 2, 1]), 3.5)
    with pytest.raises(UsageError, match="complete"):
        of(ntkspec.spectrum(cases.mixed(9), k=3), 12)
