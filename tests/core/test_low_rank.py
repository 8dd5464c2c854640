"""Route cholesky: what is above the floor, from few rows of the kernel, within the stated errors."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntkspec
from ntkspec.backend import select
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel import low_rank
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral import choose
from ntkspec.spectral.accuracy import magnitude_of
from ntkspec.spectral.solvers import SOLVERS

CPU = select("cpu")


def of_low_rank(n=160, rank=30, decades=10.0, seed=0, dtype=np.float64):
    values = np.zeros(n)
    values[:rank] = 10.0 ** -np.linspace(0, decades, rank)
    return cases.prescribed(values, n + 9, seed, dtype)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decades", [3.0, 12.0, 25.0])
def test_resolved_values_are_right_within_their_errors(decades, seed):
    jac = of_low_rank(40, 18, decades, seed)
    found = ntkspec.spectrum(jac, method="cholesky")
    exact = oracles.exact_eigenvalues(jac.to_dense()[:, 0])
    assert found.method == "cholesky"
    assert (np.abs(found.eigenvalues - exact) <= found.error).all()
    assert found.complete
    gram = ntkspec.spectrum(jac, method="gram")
    between = (exact > gram.floor / 2) & (exact < 2 * found.floor)  # either route may call these resolved
    assert abs(found.resolved - gram.resolved) <= np.count_nonzero(between)
    assert found.floor < 8 * gram.floor  # what the elimination and the trace of the rest may lose at worst


@pytest.mark.parametrize("equal", [4, 8])
def test_a_trace_large_beside_lambda_max_raises_the_floor_or_is_left_to_others(equal):
    """What rounding may hide of the rest grows with the trace; so must the errors that are stated."""
    values, answers = np.zeros(40), 0
    values[: equal + 10] = np.r_[np.ones(equal), 10.0 ** -np.linspace(1, 16, 10)]
    for seed in range(3):
        jac = cases.prescribed(values, 49, seed)
        found = SOLVERS["cholesky"].solve(Kernel(jac, backend=CPU, budget=2**30))
        if found is not None:
            answers += 1
            exact = oracles.exact_eigenvalues(jac.to_dense()[:, 0])
            assert (np.abs(found.eigenvalues - exact) <= found.error).all()
            assert found.resolved > equal
    assert answers


@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 20), outputs=st.sampled_from(cases.MODES))
def test_the_rest_is_positive_and_its_trace_what_is_said(seed, rank, outputs):
    """K - M^T M by the definition; blocks of every kind, ranks below half the size."""
    rng = np.random.default_rng(seed)
    few = cases.mixed(12, seed=seed)
    pick = rng.integers(0, min(12, rank), 70)
    jac = few.rows(pick)
    kernel = oracles.kernel(few, outputs)
    repeat = len(kernel) // 12
    at = (pick[:, None] * repeat + np.arange(repeat)).ravel()
    kernel = kernel[np.ix_(at, at)]
    sums = Kernel(jac, outputs=outputs).fact(magnitude_of).entry_sums
    asked = Kernel(jac, outputs=outputs, backend=CPU)
    found = low_rank.factorise(asked, lambda largest: 1e-12 * largest, len(kernel) // 2, sums)
    assert found is not None
    rest = kernel - found.rows.T @ found.rows
    scale = np.linalg.eigvalsh(kernel)[-1]
    assert np.linalg.eigvalsh(rest)[0] > -1e-13 * scale
    assert abs(np.trace(rest) - found.rest) < 1e-13 * scale * len(kernel)
    assert np.trace(rest) <= found.rest + 1e-14 * scale


def test_a_kernel_of_full_rank_is_refused_and_auto_takes_gram(monkeypatch):
    jac = cases.prescribed(np.ones(300), 310)
    with pytest.raises(UsageError, match="more to resolve"):
        ntkspec.spectrum(jac, method="cholesky")
    monkeypatch.setattr(choose, "CHOLESKY_FROM", 64)
    assert ntkspec.spectrum(jac).method == "gram"


def test_auto_takes_it_for_large_kernels_of_low_rank(monkeypatch):
    monkeypatch.setattr(choose, "CHOLESKY_FROM", 64)
    monkeypatch.setattr(choose, "SVD_FLOPS", 0.0)
    found = ntkspec.spectrum(of_low_rank())
    assert (found.method, found.resolved) == ("cholesky", 30)
    assert ntkspec.spectrum(of_low_rank(), vectors=True).method == "gram"
    assert ntkspec.spectrum(of_low_rank(), precision="float32").method == "gram"


def test_a_kernel_that_does_not_fit_may_have_all_its_eigenvalues(monkeypatch):
    """20 rows of it, where the whole is four times the budget."""
    monkeypatch.setattr(choose, "CHOLESKY_FROM", 64)
    monkeypatch.setattr(choose, "SVD_FLOPS", 0.0)
    monkeypatch.setattr(low_rank, "BLOCK", 32)
    rng = np.random.default_rng(0)
    factor = cases.DenseFactor(rng.standard_normal((2000, 1, 3)))
    jac = Jacobian((cases.block("layer", factor, factor, 2000, 1),))
    memory = 8e6 / 2**30
    with pytest.raises(MemoryBudgetError):
        ntkspec.spectrum(jac, method="gram", memory=memory)
    found = ntkspec.spectrum(jac, memory=memory)
    assert (found.method, found.resolved, found.complete) == ("cholesky", 6, True)


@pytest.mark.parametrize("copies", [2, 9])
def test_repeated_orthogonal_rows_are_right_or_left_to_others(copies):
    """The rest is soon nothing but rounding, of a trace that is large beside lambda_max."""
    rng = np.random.default_rng(0)
    rows = np.linalg.qr(rng.standard_normal((60, 60)))[0] * (1 + rng.uniform(0, 1e-3, 60))[:, None]
    repeated = cases.DenseFactor(np.repeat(rows, copies, 0)[:, None])
    jac = Jacobian((cases.block("t", None, repeated, 60 * copies, 1),))
    sums = Kernel(jac).fact(magnitude_of).entry_sums
    asked = Kernel(jac, backend=CPU)
    found = low_rank.factorise(asked, lambda largest: 1e-14 * largest, 30 * copies + 1, sums)
    if found is not None:
        exact = np.linalg.eigvalsh(rows @ rows.T)[::-1] * copies
        values = np.linalg.eigvalsh(found.rows @ found.rows.T)[::-1]
        assert len(values) == 60
        assert np.abs(values - exact).max() < 1e-12 * copies


def test_many_outputs_of_few_samples():
    """Mode full: the rows of a sample are drawn together, more than a block."""
    rng = np.random.default_rng(0)
    n, c = 12, 200
    factor = cases.DenseFactor(rng.standard_normal((n, c, 4)))
    jac = Jacobian((cases.block("t", None, factor, n, c),))
    found = ntkspec.spectrum(jac, "full", method="cholesky")
    assert found.resolved == 4
    assert np.allclose(found.eigenvalues[:4], ntkspec.spectrum(jac, "full", method="gram").eigenvalues[:4])


def test_a_kernel_of_zeros():
    jac = cases.prescribed(np.zeros(40), 50)
    with pytest.raises(UsageError):
        ntkspec.spectrum(jac, method="cholesky")
    assert ntkspec.spectrum(jac).lambda_max is None


def test_single_precision_files_end_at_their_own_floor():
    jac = of_low_rank(60, 28, 25.0, dtype=np.float32)
    found = ntkspec.spectrum(jac, method="cholesky")
    exact = oracles.exact_eigenvalues(of_low_rank(60, 28, 25.0).to_dense()[:, 0])
    assert (np.abs(found.eigenvalues - exact)[: found.resolved] <= found.error[: found.resolved]).all()
