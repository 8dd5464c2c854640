"""Route lanczos misses no member of a cluster: diagonal Jacobians, whose eigenvalues are their squares."""

from __future__ import annotations

import cases
import numpy as np
import pytest
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, aslinearoperator, eigsh

import ntkspec
from ntkspec.errors import BackendError
from ntkspec.jacobian import DenseFactor, Jacobian
from ntkspec.spectral import krylov


def diagonal(values):
    return Jacobian((cases.block("a", None, DenseFactor(np.diag(values)[:, None]), len(values), 1),))


def check(values, k, **way):
    found = ntkspec.spectrum(diagonal(values), method="lanczos", k=k, **way)
    exact = np.sort(np.float64(values) ** 2)[::-1][:k]
    assert (np.abs(found.eigenvalues - exact) <= found.error).all()
    return found


@pytest.mark.parametrize("seed", range(25))
def test_small_kernels_with_two_clusters(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 60))
    values = np.where(rng.random(n) < 0.5, 1.0, 1 + 4e-9) * np.where(rng.random(n) < 0.3, 0.5, 1.0)
    found = check(values, int(rng.integers(2, n // 2 + 1)))
    assert found.error.max() < 1e-12


@pytest.mark.parametrize(
    ("n", "k", "apart"),
    [*((300, 20, apart) for apart in (0.0, 1e-14, 3e-12, 3e-9, 1e-5)), (500, 40, 3e-12), (700, 90, 3e-9)],
)
def test_clusters_of_many_copies_in_large_kernels(n, k, apart):
    """More copies than are asked for, and than one Krylov space holds."""
    rng = np.random.default_rng(n)
    parts = [np.full(12, 1.0), np.full(2, 1 - apart), np.full(60, 0.5), np.full(7, 0.5 - apart)]
    found = check(np.concatenate([*parts, rng.random(n - 81) * 0.1]), k)
    assert found.error.max() < 1e-11


def test_a_kernel_of_low_rank_ends_in_what_is_not_resolved():
    values = np.r_[np.geomspace(1, 1e-3, 8), np.zeros(392)]
    found = check(values, 20)
    assert found.resolved == 8
    assert found.rank.at_most == 8
    assert (found.eigenvalues[8:] == 0).all()


def test_a_fast_decaying_kernel_is_answered():
    found = check(10.0 ** -np.linspace(0, 60, 400), 60)
    assert 0 < found.resolved < 60


def test_one_eigenvalue_many_times_over():
    found = check(np.ones(400), 30, vectors=True)
    assert np.allclose(found.vectors.T @ found.vectors, np.eye(30), atol=1e-12)


def test_an_iteration_without_a_vector_to_go_on_by_starts_from_another(monkeypatch):
    """SciPy 1.15 ends so on some multiples of the identity, from some vectors."""
    starts = []

    def without_shifts(product, v0, **options):
        starts.append(tuple(v0))
        if len(starts) < krylov.ATTEMPTS:
            raise ArpackError(3)
        return eigsh(product, v0=v0, **options)

    monkeypatch.setattr(krylov, "eigsh", without_shifts)
    check(np.ones(400), 30)
    assert len(set(starts)) == len(starts) >= krylov.ATTEMPTS


@pytest.mark.parametrize(
    ("error", "attempts"), [(ArpackError(3), krylov.ATTEMPTS), (ArpackNoConvergence("none", [], []), 1)]
)
def test_an_iteration_that_fails_is_given_up(error, attempts, monkeypatch):
    calls = []

    def failing(product, **options):
        calls.append(product)
        raise error

    monkeypatch.setattr(krylov, "eigsh", failing)
    with pytest.raises(BackendError, match="Lanczos iteration"):
        check(np.ones(400), 30)
    assert len(calls) == attempts


def test_what_is_left_after_all_rounds_is_stated(monkeypatch):
    """With one round only, copies are missing: the error then says by how much."""
    monkeypatch.setattr(krylov, "ROUNDS", 1)
    values = np.concatenate([np.full(30, 1.0), np.full(30, 0.5), np.random.default_rng(0).random(340) * 0.1])
    for k in (5, 20, 40):
        check(values, k)


def test_the_vectors_belong_to_the_values():
    jac = cases.prescribed(np.geomspace(1, 1e-4, 300), 310)
    found = ntkspec.spectrum(jac, method="lanczos", k=9, vectors=True)
    kernel = ntkspec.gram(jac, backend="cpu")
    assert np.abs(kernel @ found.vectors - found.vectors * found.eigenvalues).max() < 1e-13


def test_ritz_pairs_keep_their_images():
    rng = np.random.default_rng(0)
    square = rng.standard_normal((300, 300))
    kernel = square @ square.T
    kernel /= np.trace(kernel)
    for whole in (False, True):
        found = krylov.largest(aslinearoperator(kernel), 7, 1e-15, whole=whole)
        assert np.allclose(found.values, np.linalg.eigvalsh(kernel)[::-1][:7], rtol=1e-12)
        assert found.residual < 1e-14
        assert found.missed == 0


def test_vectors_that_are_a_little_off_are_sharpened():
    """The solver's vectors are off by 1e-6: what K leads out to is taken in, until that is rounding."""
    rng = np.random.default_rng(0)
    values = np.r_[np.ones(14), np.full(60, 0.25), rng.random(326) * 0.01]
    kernel = np.diag(values / values.sum())
    off = np.eye(400)[:, :40] + 1e-6 * rng.standard_normal((400, 40))
    found = krylov._ritz(aslinearoperator(kernel), off)
    assert found.residual > 1e-8
    sharp = krylov._sharpened(aslinearoperator(kernel), found, 1e-15)
    assert sharp.residual < 1e-14
    assert np.abs(sharp.vectors.T @ sharp.vectors - np.eye(40)).max() < 400 * np.finfo(float).eps


def test_clusters_are_found_whatever_the_products_round():
    """For some roundings and not for others, ARPACK's own vectors of a cluster were off by 1e-9."""
    rng = np.random.default_rng(300)
    parts = [np.full(12, 1.0), np.full(2, 1 - 3e-12), np.full(60, 0.5), np.full(7, 0.5 - 3e-12)]
    values = np.concatenate([*parts, rng.random(219) * 0.1]) ** 2
    values /= values.sum()

    def rounded(v):
        images = values[:, None] * v.reshape(300, -1)
        return images * (1 + 2.0**-52 * rng.choice([-1, 0, 1], images.shape))

    product = LinearOperator((300, 300), lambda v: rounded(v).ravel(), matmat=rounded, dtype=np.float64)
    for _ in range(25):
        found = krylov.largest(product, 20, 3e-15)
        assert np.allclose(found.values, np.sort(values)[::-1][:20], rtol=1e-13, atol=0)
        assert found.residual + found.missed < 1e-13
