"""Stated errors against exact arithmetic where they are hard to keep: one sign, cancellation, underflow."""

from __future__ import annotations

from fractions import Fraction

import cases
import mpmath
import numpy as np
import oracles
import pytest
from hostile import certify, spectra
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.jacobian import DenseFactor, Jacobian, PairsFactor, SparseFactor
from ntkspec.kernel import term
from ntkspec.kernel.linear_operator import operator
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import magnitude_of

ROUTES = [
    {"method": "gram"},
    {"method": "gram", "precision": "float32"},
    {"method": "svd"},
    {"method": "dual"},
    {"method": "cholesky"},
    {"method": "lanczos", "k": 1},
]


def truth(jac, outputs="trace"):
    return certify.exact_eigenvalues(oracles.exact_kernel(jac, outputs))[0]


@pytest.mark.parametrize("way", ROUTES, ids=lambda way: "-".join(map(str, way.values())))
@pytest.mark.parametrize("widths", [(1, 100_000), (256, 256), (384, 384), (90, 1)])
def test_sums_of_one_sign_keep_their_stated_errors(way, widths):
    """Constant factors: one eigenvalue, n a b c^4, and all roundings of a sum in one direction."""
    if way["method"] == "dual" and widths[0] * widths[1] > 2000:
        return  # J^T J over so many parameters
    n = 3
    for seed in range(12):
        value = float(np.random.default_rng(seed).uniform(0.5, 2))
        left, right = (DenseFactor(np.full((n, 1, width), value)) for width in widths)
        found = ntkspec.spectrum(Jacobian((cases.block("a", left, right, n, 1),)), **way)
        exact = n * widths[0] * widths[1] * Fraction(value) ** 4
        assert abs(Fraction(float(found.eigenvalues[0])) - exact) <= Fraction(float(found.error[0]))
        assert found.rank.at_most == 1
        assert found.resolved == 1


def test_errors_of_large_lanczos_runs_hold_for_one_sign():
    """1,500 equal samples: sums over samples are cut, too."""
    n, value = 1500, 1.2345678901234567
    for left, right in (
        (None, DenseFactor(np.full((n, 1, 40), value))),
        (cases.DenseFactor(np.full((n, 1, 7), value)),) * 2,
    ):
        jac = Jacobian((cases.block("a", left, right, n, 1),))
        found = ntkspec.spectrum(jac, method="lanczos", k=2)
        exact = n * 40 * Fraction(value) ** 2 if left is None else n * 49 * Fraction(value) ** 4
        assert abs(Fraction(float(found.eigenvalues[0])) - exact) <= Fraction(float(found.error[0]))
        assert found.error[0] < 1e-12 * found.eigenvalues[0]


@pytest.mark.parametrize("small", [1e-9, 1e-17, 1e-3])
@pytest.mark.parametrize("outputs", [1, "full", "trace", 0])
def test_cancelling_entries_are_judged_in_the_mode_that_is_asked_for(small, outputs):
    """Output 0 does not cancel; of output 1 little is left of 1 - 1, and its own size counts."""
    rest = small * np.array([np.pi, np.e, np.sqrt(2)])
    values = np.array([[[1.0, 1, 1], [1.0, r, -1]] for r in rest])
    jac = Jacobian((cases.block("grid", None, SparseFactor(np.zeros((3, 3), int), values, 1), 3, 2, "grid"),))
    exact = truth(jac, outputs)
    for way in (
        {},
        {"method": "gram"},
        {"method": "svd"},
        {"method": "dual"},
        {"method": "gram", "precision": "float32"},
    ):
        try:
            found = ntkspec.spectrum(jac, outputs, **way)
        except UsageError:  # 1e-9 squared is nothing that single precision would hold
            assert way.get("precision")
            continue
        assert spectra.violations(jac, outputs, found, exact) == []
    assert (ntkspec.spectrum(jac, outputs).resolved > 0) == (
        outputs != 1 or small > 1e-16
    )  # of 1 + 1e-17 - 1 nothing is left


@pytest.mark.parametrize("pairs", [False, True])
def test_the_trace_of_entries_that_cancel_to_nothing_is_stated_with_an_error(pairs):
    """1 + 2^-54 - 1 rounds to 0."""
    uses = np.array([1.0, 2.0**-54, -1.0])
    as_pairs = PairsFactor(np.ones((1, 1, 3, 1)), uses.reshape(1, 1, 3, 1))
    right = as_pairs if pairs else SparseFactor(np.zeros((1, 3), int), uses.reshape(1, 1, 3), 1)
    found = ntkspec.spectrum(Jacobian((cases.block("w", None, right, 1, 1),)), method="gram")
    assert abs(found.trace - 2.0**-108) <= found.trace_error < 1e-30


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "powers", [(-24, 15), (-21, 15), (30, -30), (-36, 33), (-140, 137), (140, -141), (-30, 45)]
)
def test_factors_that_are_far_from_one_lose_nothing(powers, precision):
    """Their squares leave the range, their products do not: full rank, and every digit that is stated."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((3, 1, 4)) * 10.0**power for power in powers)
    jac = Jacobian((cases.block("a", DenseFactor(left), DenseFactor(right), 3, 1),))
    exact, total = truth(jac), 2 * sum(powers)
    within = (-20 < total < 28) if precision == "float32" else (-195 < total < 195)
    if not within:
        with pytest.raises(UsageError, match="entries between"):
            ntkspec.spectrum(jac, precision=precision)
        return
    found = ntkspec.spectrum(jac, precision=precision, method="gram")
    assert found.resolved == 3
    assert spectra.violations(jac, "trace", found, exact) == []
    assert found.error[0] < (1e-13 if precision == "float64" else 1e-4) * found.eigenvalues[0]


def test_rows_of_different_size_are_balanced_one_by_one():
    """The left factor is large where the right one is small, and the other way round."""
    rng = np.random.default_rng(0)
    powers = np.array([-25.0, 0, 25, 12])[:, None, None]
    left, right = rng.standard_normal((4, 1, 3)) * 10**powers, rng.standard_normal((4, 2, 3)) * 10**-powers
    jac = Jacobian((cases.block("a", DenseFactor(left), DenseFactor(right), 4, 2),))
    for outputs in cases.MODES:
        found = ntkspec.spectrum(jac, outputs, precision="float32", method="gram")
        assert found.resolved == jac.kernel_size(outputs)
        assert spectra.violations(jac, outputs, found, truth(jac, outputs)) == []


@pytest.mark.parametrize("sparse", [False, True])
def test_balancing_changes_no_digit_of_the_jacobian(sparse):
    rng = np.random.default_rng(1)
    left = rng.standard_normal((5, 1, 4)) * 10.0 ** rng.uniform(-100, 100, (5, 1, 1))
    right = DenseFactor(rng.standard_normal((5, 1, 3)) * 10.0 ** rng.uniform(-100, 100, (5, 1, 1)))
    right.values[2] = 0
    factor = SparseFactor(np.array([[0, 1, -1, 2]] * 5), left, 3) if sparse else DenseFactor(left)
    block = cases.block("a", factor, right, 5, 1)
    pair = block.pair("trace")
    balanced = pair.left.toarray() if sparse else pair.left
    plain = factor.to_dense()[:, 0]
    for i in range(5):
        for a in range(balanced.shape[1]):
            for b in range(3):
                before = Fraction(plain[i, a]) * Fraction(right.values[i, 0, b])
                assert Fraction(balanced[i, a]) * Fraction(pair.right[i, b]) == before
    sizes = np.abs(balanced).max(axis=1), np.abs(pair.right).max(axis=1)
    ratio = sizes[0][sizes[1] > 0] / sizes[1][sizes[1] > 0]
    assert ((ratio > 0.1) & (ratio < 10)).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), outputs=st.sampled_from(cases.MODES), n=st.integers(1, 40))
def test_the_norm_of_absolute_values_is_bounded_and_not_by_much(seed, outputs, n):
    jac = cases.mixed(n, seed=seed)
    found = Kernel(jac, outputs=outputs).fact(magnitude_of)
    norm = float(np.linalg.norm(oracles.rows(np.abs(jac.to_dense()), outputs), 2) ** 2)
    assert norm * (1 - 1e-12) <= found.norm <= 3 * norm + 1e-300
    assert found.entries >= found.norm * (1 - 1e-12)  # colliding entries before they add up
    assert Kernel(jac, outputs=outputs, budget=1).fact(magnitude_of).norm >= norm
    kernel = oracles.kernel(jac, outputs)
    assert abs(found.trace - np.trace(kernel)) <= found.trace_error + 1e-13 * np.trace(kernel)


def test_rows_of_zeros_do_not_spoil_the_norm():
    jac = cases.mixed(6)
    for block in jac:
        block.right.values[[0, 3]] = 0
    rows = np.abs(jac.to_dense()).reshape(6, -1)
    assert np.isfinite(Kernel(jac).fact(magnitude_of).norm)
    assert Kernel(jac).fact(magnitude_of).norm >= np.linalg.norm(rows, 2) ** 2 * (1 - 1e-12)
    zeros = Jacobian((cases.block("a", None, DenseFactor(np.zeros((4, 1, 3))), 4, 1),))
    found = ntkspec.spectrum(zeros)
    assert found.zero
    assert found.floor == 0
    assert Kernel(zeros).fact(magnitude_of).norm == 0


def test_products_with_k_are_right_in_panels():
    """More samples than are added up at once, against the definition; dense, sparse and absent factors."""
    rng = np.random.default_rng(0)
    jac = cases.mixed(23)
    many = np.concatenate([np.arange(23)] * 100)  # 2,300 samples
    large = jac.rows(many)
    v = rng.standard_normal(2300)
    for outputs in ("trace", 0):
        kernel = oracles.kernel(jac, outputs)
        expected = (kernel @ v.reshape(100, 23).sum(axis=0))[np.arange(2300) % 23]
        assert np.allclose(
            operator(large, outputs) @ v, expected, rtol=0, atol=1e-11 * np.abs(expected).max()
        )


def test_exact_truth_is_exact():
    """The helper of this file on a kernel whose eigenvalues are known: 3 equal rows of 2 ones."""
    jac = Jacobian((cases.block("a", None, DenseFactor(np.ones((3, 1, 2))), 3, 1),))
    with mpmath.workdps(40):
        assert [
            abs(value - known) < mpmath.mpf(10) ** -35
            for value, known in zip(truth(jac), (6, 0, 0), strict=True)
        ]


class Watched:
    """An array on disk: it notes how many samples were read at once."""

    def __init__(self, array):
        self.array, self.most = array, 0
        self.shape, self.dtype, self.nbytes = array.shape, array.dtype, array.nbytes
        self.take = array.take

    def __getitem__(self, rows):
        self.most = max(self.most, len(self.array[rows]))
        return self.array[rows]


def test_factors_that_do_not_fit_are_measured_a_few_samples_at_a_time(monkeypatch):
    monkeypatch.setattr(term, "PIECE_BYTES", 4096)
    stored = Watched(np.random.default_rng(0).standard_normal((300, 1, 40)))
    block = cases.block("a", None, DenseFactor(stored), 300, 1)
    found = Kernel(Jacobian((block,)), budget=1).fact(magnitude_of)
    assert stored.most <= 13
    assert found.norm >= Kernel(Jacobian((block,))).fact(magnitude_of).norm


def test_lanczos_asks_the_budget_before_it_takes_all_of_k():
    jac = Jacobian(
        (cases.block("a", None, DenseFactor(np.random.default_rng(0).random((1200, 1, 3))), 1200, 1),)
    )
    small = ntkspec.spectrum(jac, method="lanczos", k=3, memory=2.5e6 / 2**30)
    assert small.resolved == 3
    with pytest.raises(MemoryBudgetError, match="vectors of 400 eigenvalues"):
        ntkspec.spectrum(jac, method="lanczos", k=400, memory=2.5e6 / 2**30)
