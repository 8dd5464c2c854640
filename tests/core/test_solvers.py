"""Solvers of the CPU backend: two stages, one stage, singular values, and sizes that cannot be counted."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import scipy.linalg

from ntkspec.backend import cpu, select, two_stage
from ntkspec.backend.mixing import mix
from ntkspec.errors import BackendError
from ntkspec.spectral.accuracy import solver_error

CPU = select("cpu")

# The wheels' OpenBLAS exports them; NumPy built against another BLAS (MKL, Accelerate, a system's) may not.
two_stages_here = pytest.mark.skipif(
    not two_stage.available(), reason="NumPy's BLAS does not export the two-stage drivers"
)


def kernel(n, dtype=np.float64, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, n + 3)) * np.logspace(0, -6, n)[:, None]
    return (rows @ rows.T).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 3, 33, 130, 400])
@pytest.mark.parametrize(
    "two_stages_from",
    [pytest.param(10**9, id="one stage"), pytest.param(1, id="two stages", marks=two_stages_here)],
)
def test_both_ways_agree_with_numpy(two_stages_from, n, dtype, monkeypatch):
    expected = np.linalg.eigvalsh(kernel(n, dtype).astype(np.float64))
    within = 20 * np.finfo(dtype).eps * expected[-1]
    monkeypatch.setattr(two_stage, "SMALLEST", two_stages_from)
    assert np.abs(CPU.eigvalsh(kernel(n, dtype)) - expected).max() <= within


def test_without_the_library_one_stage_does_it(monkeypatch):
    monkeypatch.setattr(two_stage, "SMALLEST", 1)
    monkeypatch.setattr(two_stage, "_library", lambda: None)
    assert not two_stage.available()
    assert np.allclose(CPU.eigvalsh(kernel(50)), np.linalg.eigvalsh(kernel(50)), atol=1e-12)


def test_a_kernel_of_nan_is_an_error_or_nan_but_no_number(monkeypatch):
    monkeypatch.setattr(two_stage, "SMALLEST", 1)
    spoilt = kernel(60)
    spoilt[3, 4] = spoilt[4, 3] = np.nan
    try:
        found = CPU.eigvalsh(spoilt)
    except BackendError:
        return
    assert np.isnan(found).any()


def test_more_rows_than_lapack_can_count_are_refused(monkeypatch):
    monkeypatch.setattr(cpu, "LAPACK_LIMIT", 40)
    monkeypatch.setattr(two_stage, "_library", lambda: None)
    for solve in (CPU.eigvalsh, CPU.eigh):
        with pytest.raises(BackendError, match="at most 40 rows"):
            solve(kernel(41))
    monkeypatch.undo()
    assert cpu.LAPACK_LIMIT**2 < 2**31 <= (cpu.LAPACK_LIMIT + 1) ** 2


@two_stages_here
def test_the_two_stage_driver_works_in_place():
    matrix = kernel(64)
    before = matrix.copy()
    two_stage.eigvalsh(matrix)
    assert not np.array_equal(matrix, before)


def triangle(n, order="F"):
    return np.array(np.triu(np.random.default_rng(n).standard_normal((n, n))), order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n", [1, 2, 7, 60, 200])
def test_singular_values_are_scipys_to_the_bit(n, order):
    assert np.array_equal(
        CPU.singular_values(triangle(n, order)), scipy.linalg.svd(triangle(n), compute_uv=False)
    )


def test_singular_values_of_nan_are_an_error():
    spoilt = triangle(20)
    spoilt[3, 4] = np.nan
    with pytest.raises(BackendError, match="singular values: expected a converged solution"):
        CPU.singular_values(spoilt)


def test_other_threads_run_while_singular_values_are_computed():
    """Python takes the interpreter away from nobody meanwhile: he has to give it."""
    CPU.singular_values(triangle(2))  # imports what it needs
    begin, ran, usual = threading.Event(), threading.Event(), sys.getswitchinterval()
    triangles = [triangle(100) for _ in range(100)]  # beforehand, since NumPy lets others run, too
    thread = threading.Thread(target=lambda: begin.wait() and ran.set())
    thread.start()
    try:
        sys.setswitchinterval(1000)  # seconds
        begin.set()
        assert not ran.is_set()
        while triangles and not ran.is_set():
            CPU.singular_values(triangles.pop())
        assert ran.is_set()
    finally:
        sys.setswitchinterval(usual)
        thread.join()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "pattern",
    [lambda n: 0.25 * np.eye(n) + 0.75 / n, lambda n: np.full((n, n), 1.0 / n)],
    ids=["flat", "constant"],
)
@two_stages_here
def test_equal_numbers_that_are_added_over_and_over(pattern, dtype):
    """All their roundings go one way: OpenBLAS' two stages alone were off by some 720 eps at the first."""
    matrix = pattern(1024).astype(dtype)
    exact = np.r_[
        np.full(1023, matrix[0, 0] - matrix[0, 1], np.float64), matrix[0, 0] + 1023.0 * matrix[0, 1]
    ]
    found = two_stage.eigvalsh(matrix)
    assert np.abs(found - exact).max() <= solver_error(1024, np.dtype(dtype))


def test_a_reflection_keeps_eigenvalues_and_breaks_patterns():
    matrix = 0.25 * np.eye(300) + 0.75 / 300
    before = matrix.copy()
    mix(matrix, np)
    assert np.abs(np.linalg.eigvalsh(matrix) - np.linalg.eigvalsh(before)).max() <= 1e-14
    assert len(np.unique(before)) == 2
    assert len(np.unique(matrix)) > 300 * 299 / 2
    assert np.array_equal(matrix, matrix.T)
