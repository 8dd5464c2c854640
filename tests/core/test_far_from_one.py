"""Numbers near the ends of the range, and zeros: nothing is called zero that is not, nor refused that is."""

from __future__ import annotations

from dataclasses import replace

import cases
import numpy as np
import pytest

import ntkspec
from ntkspec.backend import CpuBackend
from ntkspec.errors import UsageError
from ntkspec.jacobian import DenseFactor, Jacobian, PairsFactor, SparseFactor
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.spectral.choose import solve_all
from ntkspec.spectral.verify import verify

N, C = 5, 2
TARGETS = np.arange(N * C).reshape(N, C)
KINDS = ("dense", "dense of two", "sparse", "sparse of two", "pairs")


def made(kind, left=1.0, right=(1.0, 1.0)):
    """A Jacobian of one block: left numbers times `left`, right ones of output o times right[o]."""
    rng = np.random.default_rng(0)
    scale = np.array(right)[None, :, None]
    if kind == "pairs":
        pairs = cases.pairs(rng, N, C, 3, 3, 4)
        factor = PairsFactor(pairs.left * left, pairs.right * scale[..., None])
        return Jacobian((cases.block("g", None, factor, N, C),))
    first = cases.dense(rng, N, 1, 3).map(lambda values: values * left) if "two" in kind else None
    second = cases.dense(rng, N, C, 4)
    if "sparse" in kind:
        second = SparseFactor(rng.integers(-1, 9, (N, 4)), second.values, 9)
    both = first, second.map(lambda values: values * (scale if first else left * scale))
    return Jacobian((cases.block("g", *both, N, C),))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_may_be_zero_at_one_output_alone(kind):
    jac = made(kind, right=(0.0, 1.0))
    found = ntkspec.spectrum(jac, 0)
    assert found.zero
    assert (found.floor, found.lambda_max, found.rank.at_most) == (0.0, None, 0)
    assert ntkspec.bounds.certified(jac, 0)[1].values == 0
    assert not ntkspec.spectrum(jac, 1).zero


@pytest.mark.parametrize("outputs", ["trace", "full", 0])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_too_small_to_multiply_are_not_called_zero(kind, outputs):
    alone = kind in ("dense", "sparse")  # one factor, whose numbers are stored
    jac = made(kind, 1.0 if alone else 1e-170, (1e-170, 1.0 if outputs == 0 else 1e-170))
    with pytest.raises(UsageError, match=r"kernel total: .*got gradients too small to be squared"):
        ntkspec.spectrum(jac, outputs)
    assert ntkspec.spectrum(made(kind, 1e-40, (1e-40, 1.0)), outputs).resolved > 0


@pytest.mark.parametrize("outputs", ["trace", "full", 0])
@pytest.mark.parametrize("kind", KINDS)
def test_no_kernel_of_zeros_is_formed_of_numbers_that_are_none(kind, outputs):
    alone = kind in ("dense", "sparse")
    jac = made(kind, 1.0 if alone else 1e-170, (1e-170, 1.0 if outputs == 0 else 1e-170))
    for call in (
        ntkspec.gram,
        ntkspec.gram_by_block,
        ntkspec.operator,
        lambda jac, outputs: ntkspec.gram(jac, outputs, columns=jac.rows([1, 0])),
        lambda jac, outputs: ntkspec.kernel_distance(jac, jac, outputs),
        lambda jac, outputs: ntkspec.alignment(jac, TARGETS, None, outputs),
        ntkspec.bounds.form,
        ntkspec.bounds.certified,
    ):
        with pytest.raises(UsageError, match=r"got (gradients too small to be squared|5e-324 where)"):
            call(jac, outputs)


def test_single_precision_is_told_of_double():
    jac = made("dense", 1e-30)
    with pytest.raises(
        UsageError, match=r"kernel total: expected entries of 8e-25 or more in float32, got [0-9]e-5\d"
    ):
        ntkspec.gram(jac, precision="float32")
    with pytest.raises(UsageError, match=r"; use precision='float64'"):
        ntkspec.gram_by_block(jac, precision="float32")
    expected = 1e-60 * ntkspec.gram(made("dense"))
    assert np.allclose(ntkspec.gram(jac), expected, rtol=1e-12, atol=0)
    assert np.allclose(ntkspec.operator(jac) @ np.eye(N), expected, rtol=1e-12, atol=1e-72)
    far = ntkspec.gram(made("dense", 1e-12), precision="float32")  # entries of 1e-24
    assert np.allclose(far / 1e-24, ntkspec.gram(made("dense")), rtol=1e-5, atol=1e-6)


def test_a_kernel_between_two_sets_may_be_small_or_zero():
    """It is refused where its entries cannot be formed, not where one side alone could not be squared."""
    near, far, less = (made("dense", size) for size in (1.0, 1e-170, 1e-120))
    assert np.allclose(ntkspec.gram(far, columns=near), 1e-170 * ntkspec.gram(near), rtol=1e-12, atol=0)
    with pytest.raises(UsageError, match="expected entries of 5e-277 or more in float64"):
        ntkspec.gram(less, columns=far)
    halves = np.diag([1.0, 1.0, 0.0, 0.0])[:, None] * 1e-120
    jac = Jacobian((cases.block("g", None, DenseFactor(halves), 4, 1),))
    zero = ntkspec.gram(made("dense", 0.0), columns=less)
    assert not zero.any()
    assert not ntkspec.gram(jac.rows([0]), columns=jac.rows([1])).any()  # orthogonal, and of ordinary size
    assert not ntkspec.gram(made("dense", 0.0)).any()
    assert not (ntkspec.operator(made("dense", 0.0)) @ np.ones(N)).any()


def test_a_kernel_between_two_sets_may_be_zero_where_one_side_could_not_be_squared():
    halves = np.diag([1.0, 1e200, 0.0, 0.0])[:, None]
    jac = Jacobian((cases.block("g", None, DenseFactor(halves), 4, 1),))
    for rows, columns in (([0], [1]), ([1], [0]), ([2, 3], [1])):
        assert not ntkspec.gram(jac.rows(rows), columns=jac.rows(columns)).any()


@pytest.mark.parametrize("kind", ["sparse", "sparse of two", "pairs"])
def test_a_kernel_whose_colliding_entries_cancel_is_zero_and_not_refused(kind):
    """As of a network that uses a layer twice and takes the difference."""
    if kind == "pairs":
        once = cases.pairs(np.random.default_rng(0), N, C, 1, 3, 4)
        right = np.sign(once.right)  # products without roundings, which a fused sum would leave over
        factor = PairsFactor(np.tile(once.left, (1, 1, 2, 1)), np.concatenate([right, -right], axis=2))
    else:
        factor = SparseFactor(np.zeros((N, 2), int), np.tile([1.0, -1.0], (N, C, 1)), 3)
    left = cases.dense(np.random.default_rng(1), N, 1, 3) if "two" in kind else None
    jac = Jacobian((cases.block("g", left, factor, N, C),))
    assert not ntkspec.gram(jac).any()
    assert not ntkspec.gram_by_block(jac)["g"].any()
    assert not ntkspec.gram(jac, columns=jac.rows([1, 0])).any()
    assert not (ntkspec.operator(jac) @ np.ones(N)).any()
    with pytest.raises(UsageError, match="expected two kernels that are not zero"):
        ntkspec.kernel_distance(jac, jac)


@pytest.mark.parametrize(("left", "pairs"), [(1e300, 1e-170), (1e-300, 1e170)])
def test_pairs_whose_products_leave_the_range_may_be_part_of_products_that_do_not(left, pairs):
    rng = np.random.default_rng(0)
    outer, inner = cases.dense(rng, N, 1, 3), cases.pairs(rng, N, 1, 2, 3, 2)
    far = PairsFactor(inner.left * pairs, inner.right * pairs)
    found, near = (
        ntkspec.spectrum(Jacobian((cases.block("g", *factors, N, 1),)), method="gram")
        for factors in ((outer.map(lambda values: values * left), far), (outer, inner))
    )
    assert np.allclose(found.eigenvalues / (left * pairs * pairs) ** 2, near.eigenvalues, rtol=1e-12)
    assert (found.resolved, found.zero) == (N, False)


def test_an_output_alone_is_balanced_by_its_own_numbers():
    near, far = made("dense of two"), made("dense of two", 1e120, (1e-160, 1e120))
    found, expected = (ntkspec.spectrum(jac, 0, method="gram") for jac in (far, near))
    assert found.resolved == expected.resolved == N
    assert np.allclose(found.eigenvalues * 1e80, expected.eigenvalues, rtol=1e-9)


@pytest.mark.parametrize("stored", ["sparse", "dense"])
@pytest.mark.parametrize("small", [0.0, 5e-324, 1e-310, 1e-307])
def test_a_row_of_a_subnormal_number_breaks_no_bound(small, stored):
    values = np.array([1.0, small, 1.0])
    sparse = SparseFactor(np.arange(3)[:, None], values[:, None, None], 3)
    factor = sparse if stored == "sparse" else DenseFactor(sparse.to_dense())
    norms = CpuBackend().row_norms(factor.matrix(0))
    assert np.allclose(norms, values, rtol=1e-15, atol=5e-324)
    jac = Jacobian((cases.block("g", None, factor, 3, 1),))
    kernels = sums_of(Kernel(jac), {"total": jac})
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        evidence = verify(kernels, solve_all(kernels), thorough=True)
    assert all(checked.holds for checked in evidence.bounds)
    assert all(np.isfinite(checked.bound.values).any() for checked in evidence.bounds)
    assert all(check.holds for check in evidence.checks)


def test_the_largest_number_of_pairs_is_zero_only_if_they_are():
    factor = cases.pairs(np.random.default_rng(0), N, C, 3, 3, 4)
    small = PairsFactor(factor.left * 1e-200, factor.right * 1e-200)
    small.right[1] = 0
    assert (small.largest > 0).tolist() == [True, False, True, True, True]
    assert np.array_equal(small.largest > 0, small.nonzero_entries.any(axis=(1, 2)))


def test_one_block_may_be_out_of_range():
    """The total holds it, and is not zero where it is: no claim is made of what was lost."""
    near, far = made("dense"), made("pairs", 1e-170, (1e-170, 1e-170))
    jac = Jacobian((replace(near["g"], name="w"), replace(far["g"], role="grid", order=1)))
    assert ntkspec.spectrum(jac).rank.at_most == N
    with pytest.raises(UsageError, match="kernel grid: "):
        ntkspec.spectral.choose.spectra({"total": jac, "grid": jac.only("grid")})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_factors_that_are_not_finite_are_told_of_and_no_rescaling_alone_advised(kind, bad):
    """Files with such numbers are refused; a factor made in memory may have them."""
    jac = made(kind, right=(bad, 1.0))
    for ask in (
        lambda: ntkspec.gram(jac),
        lambda: ntkspec.operator(jac),
        lambda: ntkspec.spectrum(jac),
        lambda: ntkspec.spectrum(jac, method="lanczos", k=2),
        lambda: ntkspec.kernel_distance(jac, made(kind)),
        lambda: ntkspec.alignment(jac, TARGETS),
        lambda: ntkspec.bounds.certified(jac),
    ):
        with (
            np.errstate(invalid="ignore", over="ignore"),
            pytest.raises(UsageError, match=r"factors with NaN; .*see that the network did not diverge"),
        ):
            ask()
