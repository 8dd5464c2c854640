"""One contract for every solver, on every backend: what it promises before it runs, and what it then does."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cases
import numpy as np
import oracles
import pytest
from standins import stand_in_gpu

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.low_rank import factorise
from ntkspec.kernel.panels import folds, panel_width, triangular_factor
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.machine.memory import SHARE
from ntkspec.spectral import choose
from ntkspec.spectral import verify as verification
from ntkspec.spectral.accuracy import magnitude_of, svd_errors
from ntkspec.spectral.rank import rank_of
from ntkspec.spectral.regions import regions_of
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.verify import verify


def few_rows(n=60):
    """A kernel of every kind of block whose rank is a fifth of its size, for solver cholesky."""
    return cases.mixed(n // 5).rows(np.arange(n) % (n // 5))


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("method", SOLVERS)
def test_every_solver_on_every_backend(method, outputs, backend):
    jac, solver = few_rows(), SOLVERS[method]
    kernel = Kernel(jac, outputs=outputs, backend=backend)
    k = None if solver.complete else 5
    found = solver.solve(kernel, k)
    exact = np.linalg.eigvalsh(oracles.kernel(jac, outputs))[::-1]
    slack = 1e-13 * exact[0]  # of NumPy's own
    assert (np.abs(found.eigenvalues - exact[: len(found.eigenvalues)]) <= found.error + slack).all()
    assert found.method == solver.name == method
    assert found.complete == solver.complete
    assert found.blocks == jac.names
    assert found.trace == pytest.approx(exact.sum(), rel=1e-12)
    assert found.stable_rank == pytest.approx(exact.sum() / exact[0], rel=1e-12)
    assert found.resolved >= min(12, len(found.eigenvalues))
    assert found.floor >= solver.errors(kernel).floor(found.eigenvalues[0]) * (1 - 1e-12)
    need = solver.need(kernel, k)
    assert need.fits
    if backend.name == "cpu":  # a device has a room of its own
        assert not solver.need(kernel.replaced(budget=need.needed // 60), k).fits


@pytest.mark.parametrize("method", SOLVERS)
def test_eigenvectors_where_they_are_promised(method, backend):
    jac = cases.mixed(12)
    expected = oracles.kernel(jac, "trace")
    if not SOLVERS[method].vectors:
        with pytest.raises(UsageError, match="vectors: expected method gram, svd or lanczos"):
            ntkspec.spectrum(jac, method=method, vectors=True, backend=backend)
        return
    found = ntkspec.spectrum(jac, method=method, k=4, vectors=True, backend=backend)
    assert found.vectors.shape == (12, 4)
    residual = expected @ found.vectors - found.vectors * found.eigenvalues
    assert np.abs(residual).max() <= 1e-12 * found.eigenvalues[0]
    assert np.allclose(found.vectors.T @ found.vectors, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("method", [name for name, solver in SOLVERS.items() if solver.vectors])
def test_eigenvectors_of_a_kernel_of_zeros(method, backend):
    """All directions are alike: any will do, and nothing is learnt."""
    block = cases.mixed(5)["layer.1"]
    zero = Jacobian((replace(block, right=block.right.map(np.zeros_like)),))
    vectors = ntkspec.spectrum(zero, method=method, k=3, vectors=True, backend=backend).vectors
    assert np.allclose(vectors.T @ vectors, np.eye(3))
    target = np.arange(10.0).reshape(5, 2)
    aligned = ntkspec.alignment(zero, target, 0 * target, method=method, k=3, backend=backend)
    assert aligned.residual_over_time([9.0])[1] == 1


def test_lanczos_on_one_row_says_what_it_needs():
    with pytest.raises(UsageError, match="method lanczos: expected a kernel of two or more rows, got one"):
        ntkspec.spectrum(cases.mixed(1), method="lanczos")


@pytest.mark.parametrize("method", SOLVERS)
def test_single_precision_where_it_is_promised(method):
    jac = cases.mixed(12)
    if "float32" in SOLVERS[method].precisions:
        found, double = (
            ntkspec.spectrum(jac, method=method, precision=precision, backend="cpu")
            for precision in ("float32", "float64")
        )
        exact = np.linalg.eigvalsh(oracles.kernel(jac, "trace"))[::-1]
        assert (np.abs(found.eigenvalues - exact) <= found.error).all()
        assert found.floor > 1e7 * double.floor
        assert found.precision == "float32"
    else:
        with pytest.raises(UsageError, match="precision float32: expected method gram or auto"):
            ntkspec.spectrum(jac, method=method, precision="float32", backend="cpu")


@pytest.mark.parametrize("outputs", cases.MODES)
def test_what_bounds_and_checks_say_does_not_depend_on_the_backend(outputs, backend):
    jac = cases.mixed(12)
    kernel = Kernel(jac, outputs=outputs, backend=backend)
    kernels = sums_of(kernel, {"total": jac, "no_grid": jac.without("grid"), "grid": jac.only("grid")})
    found = choose.solve_all(kernels)
    evidence = verify(kernels, found, thorough=True)
    assert all(bound.holds for bound in evidence.bounds)
    assert [check.name for check in evidence.checks if not check.holds] == []
    assert evidence.left_out == ""
    # Theorem 1, Weyl's two, eight of entries, Schur, Cauchy's two, two certified, and two of the grid.
    assert len(evidence.bounds) == 18
    assert {check.name for check in evidence.checks} >= {"trace", "semidefinite", "additivity", "symmetry"}


def test_folds_on_a_device_are_few_and_as_tall_as_there_is_room(monkeypatch):
    """Panels of several blocks go into one, and errors count as many as there are at most."""
    jac = Jacobian(
        tuple(replace(cases.mixed(200)["layer.0"], name=f"{i}") for i in range(9))
    )  # 48 columns each
    folds_at, expected = {}, oracles.kernel(jac.rows(range(12)), "trace")
    for free in (2**40, int((8 * 200 * (3 * 200 + 3 * 150) + 10**5) / SHARE)):
        engine = stand_in_gpu(monkeypatch, free=free)
        kernel, folded, plain = Kernel(jac, backend=engine), [], engine.fold
        monkeypatch.setattr(
            engine,
            "fold",
            lambda triangle, panels, plain=plain, folded=folded: (
                folded.append(sum(panel.shape[1] for panel in panels)) or plain(triangle, panels)
            ),
        )
        triangle = triangular_factor(kernel)
        assert np.allclose((triangle.T @ triangle)[:12, :12], expected)
        assert sum(folded) == kernel.touched_width == 9 * 48
        assert len(folded) <= folds(kernel)
        assert max(folded) <= 1.5 * kernel.fact(panel_width)
        folds_at[free] = len(folded)
    assert list(folds_at.values()) == [2, 5]


def test_tall_folds_stay_within_their_stated_error(monkeypatch):
    """Equal numbers, whose sums all round one way: more is lost than LAPACK's own folds lose."""
    n, p = 333, 8 * 333 + 3
    number = np.float32(0.3).astype(np.float64)
    jac = Jacobian((cases.block("theta", None, cases.DenseFactor(np.full((n, 1, p), number)), n, 1),))
    kernel = Kernel(jac, backend=stand_in_gpu(monkeypatch))
    found = SOLVERS["svd"].solve(kernel)
    exact = np.zeros(n)
    exact[0] = n * p * number**2
    assert (np.abs(found.eigenvalues - exact) <= found.error).all()
    by_tpqrt = svd_errors(kernel.fact(magnitude_of), folds(kernel))
    assert found.floor > by_tpqrt.floor(exact[0])


def test_kernels_too_large_for_certified_bounds_are_formed_on_the_device(monkeypatch):
    jac = cases.mixed(12)
    engine = stand_in_gpu(monkeypatch)
    kernels, formed = {"total": Kernel(jac, backend=engine)}, []
    found = {"total": ntkspec.spectrum(jac, backend=engine)}
    plain = verification.enclosure_of
    monkeypatch.setattr(
        verification, "enclosure_of", lambda *a, **k: formed.append(plain(*a, **k)) or formed[-1]
    )
    for fits, where in ((True, "cpu"), (False, "gpu")):
        monkeypatch.setattr(verification, "countable", lambda rows, fits=fits: fits)
        evidence = verify(kernels, found)
        assert formed[-1].engine.name == where
        assert all(bound.holds for bound in evidence.bounds)
        assert any(bound.bound.certified for bound in evidence.bounds) == fits
    names = ["gershgorin_upper", "wolkowicz_styan_lower", "schur_product", "cauchy_lower"]
    assert {*names} <= {bound.bound.name for bound in evidence.bounds}


def test_facts_are_found_once_and_shared_by_sums(monkeypatch):
    jac = cases.mixed(12)
    asked = []

    def find(kernel):
        asked.append(kernel.rows.names)
        return len(asked)

    kernel = Kernel(jac)
    assert [kernel.fact(find), kernel.fact(find), kernel.only(jac.only("grid")).fact(find)] == [1, 1, 2]
    kernels = sums_of(kernel, {"total": jac, "grid": jac.only("grid")})
    shared = {term.block.name: term for term in kernels["total"].terms}
    assert all(shared[term.block.name] is term for term in kernels["grid"].terms)
    first = shared["level.0"]
    assert first.pair is first.pair
    assert first.diagonal is first.diagonal


def test_what_does_not_fit_is_not_kept():
    jac = cases.mixed(12)
    kernel = Kernel(jac, budget=40 * jac.nbytes)
    term = next(iter(kernel.terms))
    assert term.pair is not term.pair
    assert Kernel(jac, budget=3 * jac.nbytes).fact(rank_of).reason.startswith("not looked for")
    assert Kernel(jac, budget=3 * jac.nbytes).fact(regions_of) is None
    assert Kernel(jac, budget=3 * jac.nbytes).fact(magnitude_of).norm >= kernel.fact(magnitude_of).norm


def test_other_fields_make_other_facts():
    jac = cases.mixed(12)
    kernel = Kernel(jac, outputs="full")
    assert kernel.replaced(outputs="trace").diagonal.shape == (12,)
    assert kernel.diagonal.shape == (24,)
    assert (
        kernel.replaced(precision="float32").fact(magnitude_of).underflow
        > kernel.fact(magnitude_of).underflow
    )
    part = kernel.load(2, 7)
    assert np.allclose(part.diagonal, kernel.diagonal[4:14])


def test_low_rank_and_triangle_on_a_device(backend):
    jac = few_rows()
    kernel, expected = Kernel(jac, backend=backend), oracles.kernel(jac, "trace")
    size = kernel.fact(magnitude_of)
    found = factorise(kernel, lambda largest: 1e-12 * largest, 30, size.entry_sums)
    rows = backend.get(found.rows)
    assert np.allclose(rows.T @ rows, expected, atol=1e-11 * np.abs(expected).max())
    triangle = backend.get(triangular_factor(kernel))
    assert np.allclose(triangle.T @ triangle, expected, atol=1e-13 * np.abs(expected).max())
    assert not np.tril(triangle, -1).any()


def test_a_kernel_between_two_sets_of_samples_has_no_spectrum():
    jac = cases.mixed(5)
    with pytest.raises(UsageError, match="one set of samples"):
        choose.solve(Kernel(jac, jac))


def test_a_jacobian_of_many_outputs_and_one_sample(backend):
    jac = Jacobian((cases.block("b", None, cases.dense(np.random.default_rng(0), 1, 6, 9), 1, 6),))
    for method in ("gram", "svd", "dual"):
        found = SOLVERS[method].solve(Kernel(jac, outputs="full", backend=backend))
        assert np.allclose(found.eigenvalues, np.linalg.eigvalsh(oracles.kernel(jac, "full"))[::-1])


def test_the_problem_travels_without_its_facts():
    kernel = Kernel(cases.mixed(6), outputs="full", precision="float32", budget=10**9)
    kernel.fact(magnitude_of)
    back = pickle.loads(pickle.dumps(kernel))
    assert (back.outputs, back.precision, back.budget, back.backend.name) == ("full", "float32", 10**9, "cpu")
    assert np.array_equal(back.diagonal, kernel.diagonal)
    assert not back._terms or back._terms is not kernel._terms
