"""Every bound holds on random kernels, is as tight as its theorem, and knows when it says nothing."""

from __future__ import annotations

import cases
import numpy as np
import pytest
from cases import exact_spectrum
from hypothesis import given
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import UsageError


def naive_weyl(a, b, *, lower: bool):
    n = len(a)
    best = [-np.inf if lower else np.inf] * n
    for j in range(1, n + 1):
        for k in range(1, n + 1):
            i = j + k - n if lower else j + k - 1
            if 1 <= i <= n:
                value = a[j - 1] + b[k - 1]
                best[i - 1] = max(best[i - 1], value) if lower else min(best[i - 1], value)
    return best


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=12))
def test_weyl_takes_the_best_of_all_pairs(pairs):
    a, b = exact_spectrum([x for x, _ in pairs]), exact_spectrum([y for _, y in pairs])
    assert np.allclose(
        ntkspec.bounds.weyl_lower(a, b).values, naive_weyl(a.eigenvalues, b.eigenvalues, lower=True)
    )
    assert np.allclose(
        ntkspec.bounds.weyl_upper(a, b).values, naive_weyl(a.eigenvalues, b.eigenvalues, lower=False)
    )


@given(n=st.integers(1, 15), rank_a=st.integers(1, 15), rank_b=st.integers(1, 15), seed=st.integers(0, 9999))
def test_bounds_hold_for_random_psd_matrices(n, rank_a, rank_b, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, rank_a)), rng.standard_normal((n, rank_b)) * 10.0 ** rng.uniform(-6, 3)
    total = np.linalg.eigvalsh(x @ x.T + y @ y.T)[::-1]
    slack = 1e-12 * total[0]
    a, b = (exact_spectrum(np.maximum(np.linalg.eigvalsh(m @ m.T), 0)) for m in (x, y))
    for bound in (ntkspec.bounds.theorem1(a), ntkspec.bounds.weyl_lower(a, b)):
        assert (bound.values <= total + slack).all(), bound.name
    assert (ntkspec.bounds.weyl_upper(a, b).values >= total - slack).all()
    assert (ntkspec.bounds.weyl_lower(a, b).values >= ntkspec.bounds.theorem1(a).values - slack).all()


def test_weyl_is_attained_by_commuting_matrices():
    """A and B diagonal in the same order: lambda_i(A + B) for i = 1 and i = n are sums."""
    a, b = exact_spectrum([5, 3, 1]), exact_spectrum([4, 2, 0.5])
    assert ntkspec.bounds.weyl_upper(a, b).values[0] == 9
    assert ntkspec.bounds.weyl_lower(a, b).values[-1] == 1.5


def test_bounds_hold_on_a_network_with_a_grid_and_use_stated_errors():
    jac = cases.mixed(20)
    total, kept, grid = (ntkspec.spectrum(j) for j in (jac, jac.without("grid"), jac.only("grid")))
    for bound in (
        ntkspec.bounds.theorem1(kept),
        ntkspec.bounds.weyl_lower(kept, grid),
        ntkspec.bounds.weyl_upper(kept, grid),
    ):
        assert bound.holds(total), bound.name
        assert not bound.certified
    assert (ntkspec.bounds.theorem1(kept).values <= kept.eigenvalues).all()


def test_a_violated_bound_is_reported():
    kept = exact_spectrum([3, 2, 1])
    assert not ntkspec.bounds.theorem1(kept).holds(exact_spectrum([3, 2, 0.5]))
    assert ntkspec.bounds.theorem1(kept).holds(exact_spectrum([3, 2, 1]))
    assert not ntkspec.bounds.weyl_upper(kept, exact_spectrum([0, 0, 0])).holds(exact_spectrum([3.1, 2, 1]))


def test_tightness_is_in_decades_to_either_side_and_nan_where_none_can_be_said():
    of = exact_spectrum([100, 1, 0])
    for bound, decades in (("theorem1", [2, 0]), ("weyl_upper", [-2, 0])):
        others = [exact_spectrum([1, 1, 0])] + [exact_spectrum([0, 0, 0])] * (bound != "theorem1")
        found = getattr(ntkspec.bounds, bound)(*others).tightness(of)
        assert np.allclose(found, [*decades, np.nan], equal_nan=True)
    assert np.isnan(ntkspec.bounds.theorem1(exact_spectrum([1, 0, 0])).tightness(of)[1])


def test_vacuous_means_nothing_new_about_lambda_min():
    singular, regular = exact_spectrum([3, 2, 0]), exact_spectrum([1, 1, 1])
    assert ntkspec.bounds.theorem1(singular).vacuous
    assert not ntkspec.bounds.theorem1(regular).vacuous
    assert ntkspec.bounds.weyl_lower(singular, singular).vacuous
    assert not ntkspec.bounds.weyl_lower(singular, regular).vacuous
    assert ntkspec.bounds.weyl_upper(regular, regular).vacuous  # says lambda_min <= the mean
    assert not ntkspec.bounds.weyl_upper(singular, exact_spectrum([0, 0, 0])).vacuous


def test_bounds_refuse_what_they_cannot_use():
    jac = cases.mixed(20)
    top, other = ntkspec.spectrum(jac, k=3), ntkspec.spectrum(cases.mixed(21))
    with pytest.raises(UsageError, match="complete"):
        ntkspec.bounds.theorem1(top)
    with pytest.raises(UsageError, match="same size"):
        ntkspec.bounds.weyl_lower(ntkspec.spectrum(jac), other)
    bound = ntkspec.bounds.theorem1(other)
    for use in (bound.holds, bound.broken, bound.tightness):
        with pytest.raises(UsageError, match="bound theorem1: expected a spectrum of a kernel of size 21"):
            use(top)
