"""No bound is broken by rounding: every one against the exact eigenvalues of the Jacobian as stored."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.jacobian import DenseFactor, Jacobian
from ntkspec.kernel.enclosure import form
from ntkspec.spectral import bounds

FORMED = (
    bounds.gershgorin_lower,
    bounds.gershgorin_upper,
    bounds.gershgorin_scaled_lower,
    bounds.gershgorin_scaled_upper,
    bounds.wolkowicz_styan_lower,
    bounds.wolkowicz_styan_upper,
    bounds.trace_upper,
    bounds.frobenius_lower,
)
KINDS = ("random", "graded", "clustered", "diagonal", "deficient", "permuted", "repeated", "local")


def plain(jac) -> Jacobian:
    """A Jacobian (n, p) of one output in one block."""
    right = DenseFactor(np.asarray(jac, dtype=float)[:, None, :])
    return Jacobian((cases.block("theta", None, right, len(jac), 1),))


def matrix(kind: str, n: int, seed: int) -> np.ndarray:
    """J (n, p) of a kind of kernel."""
    rng = np.random.default_rng(seed)
    grades = 10.0 ** rng.uniform(-8, 8, n)
    if kind == "random":
        return rng.standard_normal((n, n + 2))
    if kind == "graded":
        return grades[:, None] * rng.standard_normal((n, n))
    if kind == "clustered":
        return np.eye(n) + 1e-9 * rng.standard_normal((n, n))
    if kind == "diagonal":
        return np.diag(grades)
    if kind == "deficient":
        return rng.standard_normal((n, max(n - 2, 1)))
    if kind == "permuted":
        return np.diag(np.sort(grades))[rng.permutation(n)][:, rng.permutation(n)]
    if kind == "repeated":
        return rng.standard_normal((n, n))[rng.integers(0, n, n)]
    return np.eye(n, n + 1) * rng.uniform(1, 2, n)[:, None] + 0.3 * np.eye(n, n + 1, 1)  # each meets the next


def assert_holds(bound, exact):
    """Against eigenvalues correct to the last digit; those that are zero come out as some 1e-60."""
    slack = 1e-15 * np.abs(exact) + 1e-40 * exact[0]
    if bound.quantity == "lambda_min":
        exact, slack = exact[-1:], slack[-1:]
    assert len(bound.values) == len(exact)
    sign = 1 if bound.side == "lower" else -1
    assert (sign * bound.values <= sign * exact + slack).all(), (bound, bound.values, exact)


@settings(max_examples=80)
@given(kind=st.sampled_from(KINDS), n=st.integers(1, 5), seed=st.integers(0, 9999))
def test_every_bound_holds_for_the_exact_eigenvalues(kind, n, seed):
    jac = plain(matrix(kind, n, seed))
    exact, spectrum = oracles.exact_eigenvalues(jac.to_dense()[:, 0]), ntkspec.spectrum(jac)
    formed, part = form(jac), ntkspec.spectrum(jac.load(0, max(n - 1, 1)))
    found = [of(formed) for of in FORMED]
    found += [bounds.cauchy_lower(part, n), bounds.cauchy_upper(part, n), bounds.schur_product(jac)]
    for bound in found:
        assert bound.name in dir(bounds)
        assert_holds(bound, exact)
        assert bound.holds(spectrum), bound
        assert not bound.certified


@given(n=st.integers(1, 5), seed=st.integers(0, 9999))
def test_lower_bounds_say_no_more_than_upper_bounds_and_scaling_never_loses(n, seed):
    formed = form(plain(matrix("graded", n, seed)))
    assert bounds.gershgorin_scaled_lower(formed).values[0] >= bounds.gershgorin_lower(formed).values[0]
    assert bounds.gershgorin_scaled_upper(formed).values[0] <= bounds.gershgorin_upper(formed).values[0]
    lower, upper = bounds.wolkowicz_styan_lower(formed), bounds.wolkowicz_styan_upper(formed)
    assert (lower.values <= upper.values).all()
    assert (lower.values >= 0).all()


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bounds_hold_for_blocks_of_every_kind_and_output_mode(outputs, dtype):
    jac = cases.mixed(7, dtype=dtype)
    spectrum, formed = ntkspec.spectrum(jac, outputs), form(jac, outputs)
    found = [*(of(formed) for of in FORMED), bounds.schur_product(jac, outputs)]
    assert all(bound.holds(spectrum) for bound in found)


def test_values_and_vacuous_do_not_depend_on_the_order_of_the_samples():
    jac = matrix("graded", 5, 3)
    there, back = form(plain(jac)), form(plain(jac[::-1]))
    for of in FORMED:
        assert np.allclose(of(there).values, of(back).values, rtol=1e-6), of(there).name
        assert of(there).vacuous == of(back).vacuous
