"""Certified bounds hold against exact arithmetic, and the judge of that is no easy one."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cases
import mpmath
import numpy as np
import oracles
import pytest
from hostile import certify

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import DenseFactor, Jacobian
from ntkspec.kernel.enclosure import KernelEnclosure, form
from ntkspec.spectral import certificate


def test_no_hostile_kernel_breaks_a_certified_bound():
    found = certify.summary(certify.try_many(range(800)))
    assert found["cases"] == 800
    assert found["violations"] == []
    admitted = {name: kind for name, kind in found["kinds"].items() if "refused" not in name}
    assert len(admitted) == len(certify.KINDS)
    assert all(kind["proved positive"] > 10 for kind in admitted.values())


def test_without_margins_the_hostile_kernels_break_the_bound(monkeypatch):
    """The cases above are hard enough to tell: 702 and 713 are."""
    monkeypatch.setattr(KernelEnclosure, "margin", property(lambda formed: np.zeros(formed.size)))
    monkeypatch.setattr(certificate, "_cholesky_margin", np.zeros_like)
    assert certify.summary(certify.try_many(range(700, 720)))["violations"]


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_larger_kernels_where_the_factorisation_is_blocked(seed):
    """n = 60, nearly as hard as can be proved: K - s I has a Cholesky factor in 50 digits."""
    jac = cases.prescribed(10.0 ** -np.linspace(0, 8 + seed / 2, 60), 70, seed)
    lower, upper = (bound.values[0] for bound in ntkspec.bounds.certified(jac))
    assert lower > 0
    with mpmath.workdps(50):
        exact = mpmath.matrix(jac.to_dense()[:, 0].tolist())
        kernel = exact * exact.T
        mpmath.cholesky(kernel - mpmath.mpf(lower) * mpmath.eye(60))
        with pytest.raises(ValueError, match="positive-definite"):
            mpmath.cholesky(kernel - mpmath.mpf(upper) * mpmath.eye(60))


@pytest.mark.parametrize("seed", range(3, 700, 70))
def test_the_judge_sees_bounds_that_are_a_little_wrong(seed):
    kernel = oracles.exact_kernel(certify.random(np.random.default_rng(seed), 3))
    truth = float(certify.exact_eigenvalues(kernel)[0][-1])
    if truth > 1e-6:
        assert certify.definite(kernel, truth * (1 + 1e-6)) == -1
        assert certify.definite(kernel, truth * (1 - 1e-6)) == 1


def test_the_judge_knows_singular_matrices():
    half = [[Fraction(1), Fraction(1)], [Fraction(1), Fraction(1)]]
    assert [certify.definite(half, shift) for shift in (-1e-300, 0.0, 1e-300)] == [1, 0, -1]


@pytest.mark.parametrize("outputs", cases.MODES)
def test_every_mode_of_a_mixed_jacobian(outputs):
    jac = cases.mixed(9)
    lower, upper = ntkspec.bounds.certified(jac, outputs)
    smallest = np.linalg.eigvalsh(oracles.kernel(jac, outputs))[0]
    assert lower.certified
    assert upper.certified
    assert lower.values[0] <= smallest * (1 + 1e-9)
    assert smallest <= upper.values[0] * (1 + 1e-9)
    assert upper.values[0] < 1.2 * lower.values[0]
    assert (lower.quantity, lower.side, upper.side) == ("lambda_min", "lower", "upper")


@pytest.mark.parametrize("size", [1.0, 1e-12])
def test_a_singular_kernel_is_not_certified_positive(size):
    jac = cases.prescribed(size * np.r_[np.ones(5), np.zeros(3)], 5)
    lower, upper = ntkspec.bounds.certified(jac)
    assert lower.values[0] == 0.0
    assert lower.vacuous
    assert upper.values[0] < 1e-13 * size
    assert not upper.vacuous


def test_rows_over_many_decades_are_certified_where_scaling_allows():
    """Margins follow the rows: a kernel of condition 1e24 is proved definite, one row alone being small."""
    rng = np.random.default_rng(5)
    rows = np.linalg.qr(rng.standard_normal((6, 6)))[0] * np.array([1, 1, 1, 1, 1, 1e-12])[:, None]
    lower, upper = ntkspec.bounds.certified(certify.dense(rows))
    assert 0.9e-24 < lower.values[0] <= upper.values[0] < 1.1e-24


@pytest.mark.parametrize("times", [1, 12])
def test_forming_stays_within_its_margin(times):
    """Entry by entry, against rationals; of many blocks, each of which adds its own roundings."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        blocks = [*certify.KINDS[seed % len(certify.KINDS)](rng, 4)] * times
        jac = Jacobian(tuple(replace(block, name=f"{k}", order=k) for k, block in enumerate(blocks)))
        try:
            formed = form(jac)
        except UsageError:  # out of range
            continue
        for i, row in enumerate(oracles.exact_kernel(jac)):
            for j, exact in enumerate(row):
                allowed = formed.gamma * formed.weights[i] * formed.weights[j] + formed.underflow
                assert abs(Fraction(float(formed.kernel[i, j])) - exact) <= Fraction(allowed)


def test_an_indefinite_kernel_is_noticed():
    formed = form(cases.mixed(10))
    before = formed.kernel.copy()
    assert certificate.positivity(formed).semidefinite
    assert np.array_equal(formed.kernel, before)
    spoilt = formed.kernel.copy()
    spoilt[2, 5] = spoilt[5, 2] = 2 * np.sqrt(spoilt[2, 2] * spoilt[5, 5])
    found = certificate.positivity(KernelEnclosure(spoilt, formed.weights, formed.gamma, formed.underflow))
    assert (found.semidefinite, found.proved) == (False, 0.0)


def test_a_kernel_of_nan_is_not_called_positive():
    formed = form(cases.mixed(10))
    formed.kernel[5, 2] = formed.kernel[2, 5] = np.nan
    found = certificate.positivity(formed)
    assert (found.semidefinite, found.proved) == (False, 0.0)
    assert np.isfinite(found.vector).all()


@pytest.mark.parametrize("small", [1.75e-162, 1e-155])
def test_underflow_in_one_factor_under_a_large_other_one(small):
    left = np.diag([1e-70, small])[:, None]
    right = np.array([1e-10, 9e74]).reshape(2, 1, 1)
    jac = Jacobian((cases.block("t", DenseFactor(left), DenseFactor(right), 2, 1),))
    lower, upper = ntkspec.bounds.certified(jac)
    kernel = oracles.exact_kernel(jac)
    assert certify.definite(kernel, lower.values[0]) >= 0
    assert certify.definite(kernel, upper.values[0]) <= 0


def test_an_upper_bound_does_not_underflow_to_zero():
    jac = certify.dense(np.diag([1e-70, 1.5e-162]))
    assert ntkspec.bounds.certified_upper(jac, np.array([0.0, 1.0])).values[0] > 0


@pytest.mark.parametrize("outputs", ["trace", "full", 1])
def test_an_upper_bound_on_a_kernel_without_a_gradient_is_zero(outputs):
    zero = np.zeros((4, 2, 3))
    dead = cases.block("dead", DenseFactor(np.zeros((4, 1, 2))), DenseFactor(np.ones((4, 2, 3))), 4, 2)
    sides = np.zeros((4, 1, 2)), np.ones((4, 2, 3))  # where one is not zero, the other is
    sides[0][:2], sides[1][:2] = 1.0, 0.0
    apart = replace(cases.block("apart", *map(DenseFactor, sides), 4, 2), order=2)
    jac = Jacobian((cases.block("w", None, DenseFactor(zero), 4, 2), replace(dead, order=1), apart))
    vector = np.ones(jac.kernel_size(outputs))
    assert ntkspec.bounds.certified_upper(jac, vector, outputs).values == 0
    zero[0, 1, 0] = 1e-200  # whose square is no number
    assert ntkspec.bounds.certified_upper(jac, vector, outputs).values > 0


@pytest.mark.parametrize("vector", [np.zeros(3), np.array([1.0, np.nan, 0.0]), np.ones(2)])
def test_no_upper_bound_from_no_direction(vector):
    with pytest.raises(ntkspec.NtkspecError, match="not all zero"):
        ntkspec.bounds.certified_upper(certify.dense(np.eye(3)), vector)


def test_a_parameter_of_no_numbers_changes_no_bound():
    full = cases.block("w", None, DenseFactor(np.eye(3)[:, None] + 0.1), 3, 1)
    empty = cases.block("empty", None, DenseFactor(np.ones((3, 1, 0))), 3, 1)
    alone, beside = (ntkspec.bounds.certified(Jacobian(made)) for made in ((full,), (full, empty)))
    assert [bound.values[0] for bound in beside] == pytest.approx([bound.values[0] for bound in alone])
    for method in ("gram", "svd", "dual"):
        assert ntkspec.spectrum(Jacobian((empty,)), method=method).zero
