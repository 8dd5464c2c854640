"""What does not depend on the unit of the outputs: J and 2^k J have the same ranks, decades and verdicts.

Powers of two scale every stored number exactly. 2^320 is about 1e96, close to the largest numbers that are
taken; numbers stored in single precision are scaled by 2^27, about 1e8.
"""

from __future__ import annotations

from dataclasses import replace

import cases
import numpy as np
import pytest

import ntkspec
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.report.compare import decades_between
from ntkspec.spectral import choose
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.verify import verify

POWERS = (-320, 320)


def scaled(jac, power):
    blocks = tuple(replace(block, right=block.right.map(lambda v: np.ldexp(v, power))) for block in jac)
    return replace(jac, blocks=blocks)


def graded(n=40, decades=20.0, seed=0):
    """Some of its eigenvalues are resolved, some are not."""
    return cases.prescribed(10.0 ** -np.linspace(0, decades, n), n + 9, seed)


def invariants(found):
    return {
        "resolved": found.resolved,
        "singular": found.singular,
        "zero": found.zero,
        "rank": (found.rank.at_most, found.rank.reason),
        "known": found.lambda_min is None,
        "condition": found.condition,
        "effective rank": found.effective_rank,
        "stable rank": found.stable_rank,
        "method": found.method,
        "reason": found.reason,
    }


def same(one, other):
    return one == other or (isinstance(one, float) and np.isclose(one, other, rtol=1e-9))


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("method", ["auto", *SOLVERS])
def test_spectra(method, outputs, power):
    jac = cases.mixed(8).rows(np.arange(30) % 8) if method == "cholesky" else cases.mixed(14)
    options = {"method": method, "backend": "cpu", "k": 5 if method == "lanczos" else None}
    before, after = (ntkspec.spectrum(one, outputs, **options) for one in (jac, scaled(jac, power)))
    unit = 4.0**power
    assert np.allclose(after.eigenvalues / unit, before.eigenvalues, rtol=1e-9, atol=1e-9 * before.floor)
    assert np.allclose(after.error / unit, before.error, rtol=1e-6)
    assert np.isclose(after.floor / unit, before.floor, rtol=1e-9)
    assert np.isclose(after.trace_error / unit, before.trace_error, rtol=1e-9)
    for name, value in invariants(before).items():
        assert same(invariants(after)[name], value), name


@pytest.mark.parametrize(
    ("dtype", "power"), [(np.float32, -27), (np.float32, 27), (np.float64, -320), (np.float64, 320)]
)
def test_spectra_of_which_some_is_lost(dtype, power):
    jac = cases.prescribed(10.0 ** -np.linspace(0, 40, 40), 49, dtype=dtype)
    for method in ("gram", "svd", "auto"):
        before, after = (
            ntkspec.spectrum(one, method=method, backend="cpu") for one in (jac, scaled(jac, power))
        )
        assert 0 < before.resolved < 40
        for name, value in invariants(before).items():
            assert same(invariants(after)[name], value), (method, name)


@pytest.mark.parametrize("power", POWERS)
def test_decades_between_runs(power):
    """Both resolved, one of both, and none."""
    full, lost = graded(decades=8), graded(decades=40)
    for one, other in ((full, full), (full, lost), (lost, full), (lost, lost)):
        before, after = (
            decades_between(*(ntkspec.spectrum(jac, method="gram", backend="cpu") for jac in pair))
            for pair in ((one, other), (scaled(one, power), scaled(other, power)))
        )
        assert before[1] == after[1]
        assert (before[0] is None) == (after[0] is None)
        assert before[0] is None or np.isclose(before[0], after[0], atol=1e-6)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("outputs", cases.MODES)
def test_bounds_and_checks(outputs, power):
    def evidence(jac):
        kernel = Kernel(jac, outputs=outputs)
        kernels = sums_of(kernel, {"total": jac, "no_grid": jac.without("grid"), "grid": jac.only("grid")})
        return verify(kernels, choose.solve_all(kernels), thorough=True)

    jac = cases.mixed(12)
    before, after = evidence(jac), evidence(scaled(jac, power))
    unit = 4.0**power
    assert [check.holds for check in before.checks] == [check.holds for check in after.checks]
    for one, other in zip(before.bounds, after.bounds, strict=True):
        assert (one.bound.name, one.holds, one.bound.vacuous) == (
            other.bound.name,
            other.holds,
            other.bound.vacuous,
        )
        finite = np.isfinite(one.bound.values)
        scale = np.abs(one.bound.values[finite]).max(initial=0)
        assert np.allclose(
            other.bound.values[finite] / unit, one.bound.values[finite], rtol=1e-6, atol=1e-9 * scale
        )
        for number, value in zip(
            (other.decades_min, other.decades_median), (one.decades_min, one.decades_median), strict=True
        ):
            assert (number is None) == (value is None)
            assert value is None or np.isclose(number, value, atol=1e-5)


@pytest.mark.parametrize("power", POWERS)
def test_regions(power):
    from ntkspec.spectral.regions import regions

    rng = np.random.default_rng(0)
    left = np.concatenate([rng.standard_normal((24, 1, 2)), np.ones((24, 1, 1))], axis=2)
    right = np.repeat(rng.standard_normal((3, 1, 5)), 8, axis=0)
    block = cases.block("layer", cases.DenseFactor(left), cases.DenseFactor(right), 24, 1)
    jac = Jacobian((block,), np.arange(24) // 8, True)
    before, after = regions(jac), regions(scaled(jac, power))
    assert before.independent == after.independent == 9
    assert (before.at_most, before.reason) == (after.at_most, after.reason)
    assert np.isclose(after.rest / 4.0**power, before.rest, rtol=1e-6)
