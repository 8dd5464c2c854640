"""Spectra against truth: prescribed spectra, mpmath, and what floors and errors promise."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, SparseFactor
from ntkspec.kernel.panels import column_panels
from ntkspec.kernel.problem import Kernel

N = 24
SPECTRA = {
    "12 decades": 10.0 ** -np.linspace(0, 12, N),
    "30 decades": 10.0 ** -np.linspace(0, 30, N),
    "flat": np.ones(N),
    "power": 1 / np.arange(1.0, N + 1) ** 2,
    "spike": np.r_[1e4, np.full(N - 1, 1e-8)],
    "half null": np.r_[np.geomspace(1, 1e-3, N // 2), np.zeros(N - N // 2)],
    "clusters": np.repeat([1, 1e-6, 1e-12, 1e-18], N // 4),
}


def truth(jac: Jacobian) -> np.ndarray:
    return oracles.exact_eigenvalues(np.asarray(jac.to_dense()[:, 0], dtype=np.float64))


@pytest.mark.parametrize("p", [N // 2, N, 4 * N])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SPECTRA)
def test_resolved_eigenvalues_are_within_their_stated_error(name, dtype, p):
    """Truth: the spectrum of J as stored, in 60 digits; for float32 also the spectrum before storing it."""
    jac = cases.prescribed(SPECTRA[name], p, dtype=dtype)
    exact = truth(jac)
    meant = np.sort(np.r_[SPECTRA[name][: min(N, p)], np.zeros(N - min(N, p))])[::-1]
    for method in ("gram", "svd", "dual"):
        found = ntkspec.spectrum(jac, method=method)
        top = slice(0, found.resolved)
        assert (np.abs(found.eigenvalues - exact)[top] <= found.error[top]).all(), method
        assert (np.abs(found.eigenvalues - meant)[top] <= 2 * found.error[top]).all(), method
        assert (exact[found.resolved :] <= found.floor + found.error[-1]).all(), method
        assert (found.eigenvalues >= 0).all()


@pytest.mark.parametrize("n", [16, 64, 256])
@pytest.mark.parametrize("method", ["gram", "svd"])
def test_floors_are_not_far_above_the_largest_error(method, n):
    """The error that the floor guards against, seen over several spectra of rank n - 1 or less."""
    worst = 0.0
    for seed in range(4):
        for decades in (1, 6, 12):
            values = np.r_[10.0 ** -np.linspace(0, decades, n - n // 8), np.zeros(n // 8)]
            jac = cases.prescribed(values, 2 * n, seed)
            found = ntkspec.spectrum(jac, method=method)
            finer = ntkspec.spectrum(jac, method="svd")  # truth for gram: 16 decades finer
            reference = finer.eigenvalues if method == "gram" else np.square(np.sqrt(values))
            if method == "gram":
                off = np.abs(found.eigenvalues - reference).max()
            else:  # singular values are what the route computes: their error squared is the floor's scale
                off = np.abs(np.sqrt(found.eigenvalues) - np.sqrt(reference)).max() ** 2
            worst = max(worst, off / found.floor)
    assert 2e-3 <= worst <= 1  # of squares, too: LAPACK's errors differ by its version


def test_a_singular_kernel_has_no_lambda_min_and_nothing_negative():
    jac = cases.prescribed(SPECTRA["half null"], N)
    for method in ("gram", "svd", "dual", "auto"):
        found = ntkspec.spectrum(jac, method=method)
        assert found.lambda_min is None
        assert found.condition is None
        assert found.resolved == N // 2
        assert (found.eigenvalues >= 0).all()


def test_auto_takes_svd_where_gram_cannot_resolve_and_says_so():
    easy = ntkspec.spectrum(cases.prescribed(SPECTRA["power"], N))
    assert (easy.method, easy.reason) == ("gram", "resolves all that was asked for")
    hard = ntkspec.spectrum(cases.prescribed(10.0 ** -np.linspace(0, 22, N), N))
    assert hard.method == "svd"
    assert hard.resolved == N
    assert "gram resolved" in hard.reason
    single = ntkspec.spectrum(cases.prescribed(SPECTRA["30 decades"], N, dtype=np.float32))
    assert single.method == "gram" or single.resolved > 0


def test_auto_keeps_gram_where_the_top_is_all_that_was_asked_for():
    found = ntkspec.spectrum(cases.prescribed(SPECTRA["30 decades"], N), k=3)
    assert found.method == "gram"
    assert len(found.eigenvalues) == 3
    assert not found.complete
    assert found.lambda_min is None
    assert found.effective_rank is None


def test_auto_falls_back_on_lanczos_where_the_kernel_does_not_fit():
    jac = cases.prescribed(np.geomspace(1, 1e-3, 300), 4)
    memory = (300 * 300 * 8 * 0.9) / 2**30
    found = ntkspec.spectrum(jac, k=3, memory=memory)
    assert found.method == "lanczos"
    assert "memory budget" in found.reason
    exact = ntkspec.spectrum(jac, method="svd").eigenvalues[:3]
    assert (np.abs(found.eigenvalues - exact) <= found.error).all()


def test_summary_numbers_by_hand():
    found = ntkspec.spectrum(cases.prescribed(np.array([4.0, 2.0, 2.0]), 3))
    assert found.lambda_max == pytest.approx(4)
    assert found.lambda_min == pytest.approx(2)
    assert found.condition == pytest.approx(2)
    assert found.stable_rank == pytest.approx(2)
    assert found.effective_rank == pytest.approx(np.exp(1.5 * np.log(2)))


def test_a_zero_jacobian():
    jac = cases.prescribed(np.zeros(4), 3)
    for method in ("gram", "svd", "dual", "auto"):
        found = ntkspec.spectrum(jac, method=method)
        assert found.resolved == 0
        assert (found.lambda_max, found.stable_rank, found.effective_rank) == (None,) * 3
        assert found.singular
        assert (found.rank.at_most, found.lambda_min, found.condition) == (0, 0.0, None)


def test_numbers_too_large_for_the_kernel_are_refused():
    jac = cases.prescribed(np.array([1.0, 1.0]), 3)
    jac["theta"].right.values[...] *= 1e200
    with pytest.raises(UsageError, match="rescale"):
        ntkspec.spectrum(jac)
    with pytest.raises(UsageError, match="overflow"), np.errstate(over="ignore"):
        ntkspec.gram(jac)


def test_columns_of_j_come_in_panels_without_the_untouched_ones():
    jac = cases.mixed()
    for outputs in cases.MODES:
        for width in (3, 50, 5000):
            panels = list(column_panels(Kernel(jac, outputs=outputs), width))
            rebuilt = sum(panel @ panel.T for panel in panels)
            assert np.allclose(rebuilt, oracles.kernel(jac, outputs))
            assert max(panel.shape[1] for panel in panels) <= max(width, 4)
        assert sum(panel.shape[1] for panel in panels) <= Kernel(jac, outputs=outputs).touched_width
    assert Kernel(jac, outputs=0).touched_width < jac.width


@pytest.mark.parametrize(
    "options",
    [
        {"method": "qr"},
        {"precision": "float16"},
        {"k": 0},
        {"k": 99},
        {"precision": "float32", "method": "svd"},
        {"vectors": True, "method": "dual"},
        {"method": "lanczos", "k": 23},
        {"memory": -1},
    ],
)
def test_options_that_cannot_work(options):
    with pytest.raises(UsageError, match="expected"):
        ntkspec.spectrum(cases.mixed(23), **options)


@settings(max_examples=40)
@given(
    exponents=st.lists(st.floats(-40, 10), min_size=1, max_size=12),
    p=st.integers(1, 30),
    seed=st.integers(0, 999),
)
def test_any_prescribed_spectrum(exponents, p, seed):
    jac = cases.prescribed(np.sort(10.0 ** np.array(exponents))[::-1], p, seed)
    exact = truth(jac)
    for method in ("gram", "svd", "dual", "auto"):
        found = ntkspec.spectrum(jac, method=method)
        top = slice(0, found.resolved)
        assert (np.abs(found.eigenvalues - exact)[top] <= found.error[top]).all(), method


def test_a_cluster_where_the_singular_value_solver_stops_early():
    """LAPACK's bdsqr is off by 47 eps here."""
    jac = cases.prescribed(10.0 ** np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0, -2, -3, -3]), 10, 24)
    found = ntkspec.spectrum(jac, method="svd")
    assert found.resolved == 10
    assert (np.abs(found.eigenvalues - truth(jac)) <= found.error)[:10].all()


@pytest.mark.parametrize("method", ["gram", "svd", "dual"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cancelling_collisions_are_covered_by_the_stated_error(method, dtype):
    gap = np.array([1e-3, 2e-3, 3e-3])
    values = np.stack([1 + gap, -np.ones(3)], axis=1)[:, None, :]
    factor = SparseFactor(np.repeat(np.arange(3), 2).reshape(3, 2), values.astype(dtype), 3)
    found = ntkspec.spectrum(Jacobian((cases.block("g", factor, None, 3, 1),)), method=method)
    meant = np.sort(gap**2)[::-1]
    assert (np.abs(found.eigenvalues - meant) <= found.error).all()


@pytest.mark.parametrize(
    ("scale", "precision"), [(1e-110, "float64"), (1e120, "float64"), (1e-13, "float32")]
)
def test_numbers_outside_the_range_of_the_error_model_are_refused(scale, precision):
    jac = cases.mixed(6)
    for block in jac:
        block.right.values[...] *= scale
    remedy = "precision='float64'" if precision == "float32" else "rescale"  # true for those who are told it
    with pytest.raises(UsageError, match=remedy):
        ntkspec.spectrum(jac, precision=precision)


def test_a_block_that_no_sample_touches_is_zero():
    empty = SparseFactor(np.full((4, 2), -1), np.ones((4, 1, 2)), 7)
    jac = Jacobian((cases.block("g", empty, None, 4, 1),))
    for method in ("gram", "svd", "dual", "lanczos"):
        found = ntkspec.spectrum(jac, method=method, k=2)
        assert found.resolved == 0
        assert not found.eigenvalues.any()


def test_columns_that_nobody_touches_cost_nothing():
    """2^40 columns: their number must not matter to memory or time."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 50, (30, 4))
    values = rng.standard_normal((30, 1, 4))
    right = cases.dense(rng, 30, 2, 3)
    narrow = Jacobian((cases.block("g", SparseFactor(indices, values, 50), right, 30, 2),))
    wide = Jacobian((cases.block("g", SparseFactor(indices * 2**33, values, 2**40), right, 30, 2),))
    for method in ("gram", "svd", "dual", "lanczos"):
        k = 5 if method == "lanczos" else None
        a, b = (ntkspec.spectrum(jac, method=method, k=k) for jac in (narrow, wide))
        assert np.allclose(a.eigenvalues, b.eigenvalues, rtol=1e-9, atol=a.floor)
