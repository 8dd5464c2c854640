"""The memory that solvers ask for is what they take: measured, of sizes at which little else counts."""

from __future__ import annotations

import gc
import tracemalloc

import cases
import numpy as np
import pytest

from ntkspec.backend import CpuBackend, select
from ntkspec.errors import MemoryBudgetError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel import tiles
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.linear_operator import operator_bytes, operator_of
from ntkspec.kernel.panels import triangle_bytes, triangular_factor
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.spectral.accuracy import magnitude_of
from ntkspec.spectral.solvers import SOLVERS

CPU = select("cpu")


def peak(work):
    """Bytes beyond the start, of what NumPy allocates."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """What is loaded and compiled at the first use is no solver's."""
    for method, solver in SOLVERS.items():
        solver.solve(Kernel(dense(600, 4), backend=CPU), 3 if method == "lanczos" else None)


def dense(n, width, rank=None):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, width))
    if rank is not None:
        rows = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, width))
    return Jacobian((cases.block("theta", None, cases.DenseFactor(rows[:, None]), n, 1),))


@pytest.mark.parametrize(
    ("method", "n", "width", "k"),
    [
        ("gram", 1500, 20, None),
        ("svd", 900, 900, None),
        ("dual", 300, 900, None),
        ("cholesky", 2000, 60, None),
    ],
)
def test_solvers_stay_within_their_needs_and_near_them(method, n, width, k):
    jac = dense(n, width, rank=50 if method == "cholesky" else None)
    kernel = Kernel(jac, backend=CPU, budget=2**31)
    kernel.fact(magnitude_of)  # of which every solver knows
    if method == "cholesky":
        kernel = kernel.replaced(budget=int(2.0 * 8 * 400 * n) + 3 * jac.nbytes)
    needed = SOLVERS[method].need(kernel, k).needed
    taken = peak(lambda: SOLVERS[method].solve(kernel, k))
    assert taken <= 1.05 * needed
    assert taken >= needed / 3


@pytest.mark.parametrize("method", ["gram", "svd"])
def test_what_is_looked_for_beside_does_not_come_on_top(method):
    """Norms, ranks and the solver: one after the other, of a kernel of which nothing is known."""
    kernel = Kernel(dense(1100, 400), backend=CPU, budget=2**27)
    assert not kernel.caches
    taken = peak(lambda: SOLVERS[method].solve(kernel))
    assert taken <= 1.05 * SOLVERS[method].need(kernel).needed


def test_what_is_kept_of_many_sums_is_a_tenth_of_the_budget():
    whole = Jacobian(
        tuple(
            cases.block(f"b{i}", None, cases.dense(np.random.default_rng(i), 500, 1, 80), 500, 1)
            for i in range(24)
        )
    )
    budget = 6 * whole.nbytes
    kernel = Kernel(whole, backend=CPU, budget=budget)
    parts = sums_of(kernel, {name: whole.only(name) for name in whole.names})
    assert not any(part.caches for part in parts.values())

    def look():
        for part in parts.values():
            part.fact(magnitude_of)

    assert peak(look) <= budget / 4
    rich = Kernel(whole, backend=CPU, budget=100 * whole.nbytes)
    parts = sums_of(rich, {name: whole.only(name) for name in whole.names})
    assert all(part.caches for part in parts.values())
    assert peak(look) <= rich.budget / 10


@pytest.mark.parametrize(("outputs", "n", "c"), [("trace", 400, 1), ("full", 150, 3)])
def test_a_tile_takes_what_is_said(outputs, n, c):
    """Of two kernels: their sums, and the Gram matrices of factors, which are made once for each worker."""
    jac = cases.mixed(n, c)
    groups = tiles.groups_of({"total": jac, "grid": jac.only("grid")})
    used, fresh = (Kernel(jac, outputs=outputs, backend=CpuBackend(), budget=2**31) for _ in range(2))
    for kernel in (used, fresh):  # the first loads and compiles
        (((row, column),),) = tiles.panel_pairs(kernel, tiles.Tiling(panel=n, step=n))
        taken = peak(lambda work=(row, column, groups, kernel): tiles.compute(*work))
    said = tiles.scratch_bytes(fresh, groups, fresh.size) / fresh.backend.workers
    assert 0.5 * said <= taken <= said


def test_a_triangle_takes_what_is_said():
    kernel = Kernel(dense(900, 1000), backend=CPU, budget=2**31)
    assert next(iter(kernel.terms)).pair.repeat == 1  # made and kept, so that factors do not count
    taken = peak(lambda: triangular_factor(kernel))
    assert 0.7 * triangle_bytes(kernel) <= taken <= 1.02 * triangle_bytes(kernel)


def test_an_operator_takes_what_is_said():
    jac = cases.mixed(3000)
    kernel = Kernel(jac, backend=CPU, budget=8 * jac.nbytes)  # so that nothing is kept
    vector = np.ones(3000)
    taken = peak(lambda: operator_of(kernel) @ vector)
    assert taken <= 1.3 * operator_bytes(kernel)


def test_the_least_that_a_kernel_is_formed_in_is_itself_and_two_samples():
    jac = cases.mixed(200)
    low, high = 0, 2**26
    while high - low > 1:
        middle = (low + high) // 2
        try:
            Assembly.from_kernel(Kernel(jac, backend=CPU, budget=middle), tile=1)
            high = middle
        except MemoryBudgetError:
            low = middle
    two = 2 * 2 * jac.nbytes / 200  # as stored, and as converted
    assert 0.9 * two <= high - 8 * 200**2 <= 1.5 * two


def test_eigenvectors_ask_for_four_kernels():
    jac = dense(300, 5)
    kernel = Kernel(jac, backend=CPU, budget=int(3.5 * 8 * 300**2))
    assert SOLVERS["gram"].solve(kernel).complete
    with pytest.raises(MemoryBudgetError, match="needed beside it"):
        SOLVERS["gram"].solve(kernel, vectors=True)
    rich = kernel.replaced(budget=int(4.1 * 8 * 300**2))
    assert SOLVERS["gram"].solve(rich, vectors=True).vectors is not None


@pytest.mark.parametrize("method", ["gram", "svd"])
def test_eigenvectors_take_what_is_said(method):
    kernel = Kernel(dense(500, 60), backend=CPU, budget=2**31)
    kernel.fact(magnitude_of)
    needed = SOLVERS[method].need(kernel, vectors=True).needed
    taken = peak(lambda: SOLVERS[method].solve(kernel, vectors=True))
    assert 0.4 * needed <= taken <= 1.05 * needed  # SciPy 1.18 hides the workspace of svd from tracemalloc


def test_vectors_of_lanczos_take_what_is_said():
    """Beside the operator, whose factors are few."""
    jac = dense(6000, 8)
    kernel = Kernel(jac, backend=CPU, budget=2**31)
    kernel.fact(magnitude_of)
    taken = peak(lambda: SOLVERS["lanczos"].solve(kernel, 60))
    needed = SOLVERS["lanczos"].need(kernel, 60).needed
    assert needed / 3 <= taken <= needed
    with pytest.raises(MemoryBudgetError, match="vectors of 60 eigenvalues"):
        SOLVERS["lanczos"].solve(kernel.replaced(budget=needed - 1), 60)
