"""The kernel distance against its definition, whatever the tiles and the budget."""

from __future__ import annotations

from dataclasses import replace

import cases
import mpmath
import numpy as np
import oracles
import pytest

import ntkspec
from ntkspec import DenseFactor, Jacobian, kernel_distance
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.kernel.distance import distances
from ntkspec.kernel.problem import Kernel

GIB = 2**30


def naive(one, two):
    return 1 - np.sum(one * two) / np.linalg.norm(one) / np.linalg.norm(two)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("outputs", ["trace", "full", 0])
@pytest.mark.parametrize("options", [{}, {"tile": 7}, {"memory": 1e-4}], ids=["whole", "tiles", "panels"])
def test_as_defined(c, outputs, options):
    one, two = (cases.mixed(41, c, seed) for seed in (0, 1))
    expected = naive(*(oracles.kernel(jac, outputs) for jac in (one, two)))
    assert 0.1 < expected < 0.9
    assert kernel_distance(one, two, outputs, **options) == pytest.approx(expected, abs=1e-14)


def test_neither_kernel_need_fit_the_memory():
    """One kernel of 700 samples takes 3.9 MB; both with their factors are measured in 2.5."""
    one, two = (cases.mixed(700, 1, seed) for seed in (0, 1))
    budget = 2.5e6 / GIB
    with pytest.raises(MemoryBudgetError):
        ntkspec.gram(one, memory=budget)
    expected = naive(ntkspec.gram(one), ntkspec.gram(two))
    assert kernel_distance(one, two, memory=budget) == pytest.approx(expected, abs=1e-13)


def test_scale_is_no_distance_and_the_same_kernel_has_none():
    jac = cases.mixed(30, 2)
    assert kernel_distance(jac, jac) == 0
    assert kernel_distance(jac, jac.scaled(dict.fromkeys(jac.names, 16.0))) == 0
    for scale in (9.0, 1e-9, 1e9):
        assert kernel_distance(jac, jac.scaled(dict.fromkeys(jac.names, scale))) < 1e-28


def test_nothing_in_common_is_one():
    def along(axis):
        rows = np.zeros((3, 1, 3))
        rows[axis, 0, axis] = 2.0
        return Jacobian((cases.block("theta", None, DenseFactor(rows), 3, 1),))

    assert kernel_distance(along(0), along(1)) == 1


def with_numbers(values):
    rows = DenseFactor(values[:, None, :])
    return Jacobian((cases.block("theta", None, rows, len(values), 1),))


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9, 1e-12])
def test_small_distances_keep_their_digits(step):
    """Where 1 - cos has lost them all; within the stated error, against 50 digits."""
    rng = np.random.default_rng(5)
    one = rng.standard_normal((12, 20))
    two = one + step * rng.standard_normal((12, 20))
    with mpmath.workdps(50):
        a, b = (m * m.T for m in (mpmath.matrix(one.tolist()), mpmath.matrix(two.tolist())))
        inner, aa, bb = (sum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((a, b), (a, a), (b, b)))
        exact = float(1 - inner / mpmath.sqrt(aa * bb))
    found = kernel_distance(with_numbers(one), with_numbers(two))
    share = np.trace(np.abs(one) @ np.abs(one).T) / np.linalg.norm(one @ one.T)
    e = 4 * 24 * 2.0**-53 * share  # twice the sum of two relative errors, of 20 products and what scales them
    assert abs(found - exact) <= e * np.sqrt(2 * exact) + e**2 / 2 + 1e-12 * exact
    if step >= 1e-9:
        assert found == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("size", [1e-120, 1e120])
def test_no_square_overflows(size):
    one, two = (np.random.default_rng(seed).standard_normal((9, 4)) for seed in (0, 1))
    expected = naive(one @ one.T, two @ two.T)
    assert kernel_distance(with_numbers(one * size), with_numbers(two)) == pytest.approx(expected, abs=1e-14)


def test_single_precision_is_summed_in_double():
    one, two = (cases.mixed(300, 1, seed) for seed in (0, 1))
    expected = naive(ntkspec.gram(one), ntkspec.gram(two))
    assert kernel_distance(one, two, precision="float32") == pytest.approx(expected, abs=1e-6)


def test_several_sums_at_once():
    one, two = (cases.mixed(20, 2, seed) for seed in (0, 1))
    kernel = Kernel.from_jacobian(one)
    picked = ({"total": jac, "no_grid": jac.without("grid"), "grid": jac.only("grid")} for jac in (one, two))
    found = distances(kernel, *picked)
    assert found == {
        "total": pytest.approx(kernel_distance(one, two), abs=1e-15),
        "no_grid": pytest.approx(kernel_distance(one.without("grid"), two.without("grid")), abs=1e-15),
        "grid": pytest.approx(kernel_distance(one.only("grid"), two.only("grid")), abs=1e-15),
    }


def test_what_cannot_be_measured_is_one_line():
    jac = cases.mixed(12, 2)
    zero = with_numbers(np.zeros((12, 3)))
    for other, said in (
        (cases.mixed(11, 2), "expected two Jacobians of 12 samples, 2 outputs, got 11 samples"),
        (cases.mixed(12, 1), "got 12 samples, 1 output in the second"),
    ):
        with pytest.raises(UsageError, match=said):
            kernel_distance(jac, other)
    with pytest.raises(UsageError, match="expected two kernels that are not zero"):
        kernel_distance(zero, with_numbers(np.ones((12, 3))))
    with pytest.raises(UsageError, match="an overflow"):
        kernel_distance(with_numbers(np.full((12, 3), 1e200)), with_numbers(np.ones((12, 3))))
    for number, said in ((1e-165, "got gradients too small to be squared"), (1e-150, "got 3e-300 where")):
        with pytest.raises(UsageError, match=said):
            kernel_distance(with_numbers(np.ones((12, 3))), with_numbers(np.full((12, 3), number)))


def test_sources_stay_as_they_were():
    """Blocks of both sides share their names; neither side is taken for the other."""
    one = cases.mixed(15, 1, 0)
    two = replace(one, blocks=(one.blocks[0], *cases.mixed(15, 1, 1).blocks[1:]))
    expected = naive(oracles.kernel(one, "trace"), oracles.kernel(two, "trace"))
    assert expected > 0.1
    assert kernel_distance(one, two) == pytest.approx(expected, abs=1e-14)
