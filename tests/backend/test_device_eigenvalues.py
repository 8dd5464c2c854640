"""Eigenvalues as a device finds them: its CUDA C run on the CPU, against definitions and LAPACK."""

from __future__ import annotations

import ctypes
import types

import numpy as np
import pytest
import scipy.linalg
import standins
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numba.extending import get_cython_function_address

from ntkspec.backend import gpu, select
from ntkspec.backend.band import to_band
from ntkspec.backend.device_eigenvalues import DeviceEigenvalues, DevicePanels
from ntkspec.backend.in_place import DeviceInPlace
from ntkspec.errors import BackendError

EPS = np.finfo(np.float64).eps
WIDTHS = (32, 64)
ALLOWED = 50  # eps of the norm


@pytest.fixture
def engine(monkeypatch):
    return standins.stand_in_gpu(monkeypatch)


def spectra(size):
    """Name -> eigenvalues (size,) as trained networks have them, and as solvers hate them."""
    rng = np.random.default_rng(size)
    place = np.arange(size)
    return {
        "16 decades": 10.0 ** -np.linspace(0, 16, size),
        "clusters": 1.0 + place % 3 + 1e-15 * place,
        "rank deficient": np.where(place < size // 3, 1.0 + place, 0.0),
        "flat": np.ones(size),
        "one above": np.where(place == 0, 1e8, 1.0),
        "both signs": rng.standard_normal(size),
        "tiny": 1e-180 * rng.random(size),
        "huge": 1e180 * rng.random(size),
    }


def matrix_of(values, seed=0):
    """A symmetric matrix with these eigenvalues, but for rounding."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))
    made = (q * values) @ q.T
    return (made + made.T) / 2


def solver(engine, width):
    return DeviceEigenvalues(engine.xp, engine.kernels, engine.in_place, width)


def panels(engine, width, dtype="float64"):
    return DevicePanels(engine.xp, engine.kernels, engine.in_place, np.dtype(dtype), width)


class HouseholderPanels:
    """A panel by the definition, a reflection after the other."""

    def __init__(self, width):
        self.width = width

    def factor(self, panel, v, again):
        rows = len(panel)
        v[...] = again[...] = 0
        t = np.zeros((self.width, self.width), panel.dtype)
        for j in range(min(self.width, rows)):
            x = panel[j:, j].copy()
            length = np.linalg.norm(x)
            if not np.linalg.norm(x[1:]) > 0:
                v[j, j] = 1
                continue
            x[0] += np.copysign(length, x[0])
            v[j:, j] = x / x[0]
            tau = 2 * x[0] ** 2 / (x @ x)
            panel[:, j:] -= tau * np.outer(v[:, j], v[:, j] @ panel[:, j:])
            t[:j, j] = -tau * t[:j, :j] @ (v[:, :j].T @ v[:, j])
            t[j, j] = tau
        again[...] = v
        return t


def dense(band):
    """The symmetric matrix (N, N) of a band (N, 2 b)."""
    size = len(band)
    made = np.zeros((size, size))
    for place in range(min(band.shape[1], size)):
        made += np.diag(band[: size - place, place], -place)
    return made + np.tril(made, -1).T


def random_band(size, width, seed=0):
    band = np.zeros((size, 2 * width))
    band[:, : width + 1] = np.random.default_rng(seed).standard_normal((size, width + 1))
    return dense(band[:, : width + 1] * (np.arange(size)[:, None] + np.arange(width + 1) < size)), band


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("rows", "backwards"),
    [(1, False), (2, True), (31, False), (33, True), (64, False), (65, True), (130, False), (200, True)],
)
def test_a_panel_becomes_a_triangle(rows, width, dtype, backwards, engine, monkeypatch):
    monkeypatch.setattr(standins.RawKernel, "backwards", backwards)
    given_panel = np.random.default_rng(rows).standard_normal((rows, width)).astype(dtype)
    wide = np.full((rows, width + 6), 7, dtype)
    wide[:, 3:-3] = given_panel
    stored = np.full((2, rows, width + 5), 7, dtype)
    t = panels(engine, width, dtype).factor(wide[:, 3:-3], stored[0][:, 2:-3], stored[1][:, 3:-2])
    v = stored[0][:, 2:-3].astype(np.float64)
    q = np.eye(rows) - v @ t @ v.T
    eps, norm = np.finfo(dtype).eps, np.linalg.norm(given_panel, 2)
    assert np.abs(q.T @ q - np.eye(rows)).max() <= ALLOWED * eps
    assert np.abs(q.T @ given_panel - np.triu(wide[:, 3:-3])).max() <= ALLOWED * eps * norm
    assert np.array_equal(stored[0][:, 2:-3], stored[1][:, 3:-2])
    assert (v == np.tril(v)).all()
    assert (np.delete(wide, np.s_[3:-3], 1) == 7).all()
    assert (np.delete(stored[0], np.s_[2:-3], 1) == 7).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_blocks_whose_border_lies_among_the_reflections(width, engine, monkeypatch):
    monkeypatch.setattr("ntkspec.backend.device_eigenvalues.PANEL_ROWS", 20)
    before = np.random.default_rng(0).standard_normal((70, width))
    panel, v, again = before.copy(), np.empty_like(before), np.empty_like(before)
    t = panels(engine, width).factor(panel, v, again)
    q = np.eye(70) - v @ t @ v.T
    assert np.abs(q.T @ before - np.triu(panel)).max() <= ALLOWED * EPS * np.linalg.norm(before, 2)


def test_a_panel_of_columns_that_depend_on_each_other(engine):
    """A smooth kernel's panels are such: a factorisation by V^T V would break down."""
    column = np.linspace(0, 1, 200)[:, None]
    panel = np.hstack([column, 3 * column, np.zeros((200, 2)), column ** np.arange(28)])
    v, again = np.empty_like(panel), np.empty_like(panel)
    before = panel.copy()
    t = panels(engine, 32).factor(panel, v, again)
    q = np.eye(200) - v @ t @ v.T
    assert np.abs(q.T @ q - np.eye(200)).max() <= ALLOWED * EPS
    assert np.abs(q.T @ before - np.triu(panel)).max() <= ALLOWED * EPS * np.linalg.norm(before, 2)


@pytest.mark.parametrize("at_once", [1, 64, 512])
@pytest.mark.parametrize("width", [1, 5, 32])
@pytest.mark.parametrize("size", [1, 2, 6, 33, 34, 100, 161])
def test_a_band_has_the_same_eigenvalues(size, width, at_once, monkeypatch):
    """The text of the first step over NumPy, whatever is collected before it is subtracted."""
    monkeypatch.setattr("ntkspec.backend.band.COLLECTED", at_once * width)
    monkeypatch.setattr("ntkspec.backend.band.collected", lambda rows, width: at_once * width)
    monkeypatch.setattr("ntkspec.backend.band.NARROWEST", 7)
    matrix = matrix_of(np.random.default_rng(size).standard_normal(size))
    band = to_band(matrix.copy(), np, HouseholderPanels(width), standins.HostInPlace())
    assert band.shape == (size, 2 * width)
    assert not band[:, width + 1 :].any()
    exact = np.linalg.eigvalsh(matrix)
    assert np.abs(np.linalg.eigvalsh(dense(band)) - exact).max() <= ALLOWED * EPS * np.abs(exact).max()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [40, 66, 97, 130])
def test_panels_of_the_device_make_the_same_band(size, width, engine):
    """As the definition's, but for signs."""
    matrix = matrix_of(np.random.default_rng(size).standard_normal(size))
    found = to_band(matrix.copy(), np, panels(engine, width), engine.in_place)
    expected = to_band(matrix.copy(), np, HouseholderPanels(width), standins.HostInPlace())
    # Entries of a band depend on each other's roundings more than its eigenvalues do.
    assert np.abs(np.abs(found) - np.abs(expected)).max() <= 1000 * EPS * np.linalg.norm(matrix, 2)
    exact = np.linalg.eigvalsh(matrix)
    assert np.abs(np.linalg.eigvalsh(dense(found)) - exact).max() <= ALLOWED * EPS * np.abs(exact).max()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("size", "backwards"),
    [(2, False), (3, True), (34, False), (65, True), (66, False), (131, True), (131, False), (200, False)],
)
def test_a_chase_leaves_a_tridiagonal_matrix(size, width, backwards, engine, monkeypatch):
    """In whatever order blocks and threads take turns; eigenvalues stay."""
    monkeypatch.setattr(standins.RawKernel, "backwards", backwards)
    matrix, band = random_band(size, width)
    exact, norm = np.linalg.eigvalsh(matrix), np.linalg.norm(matrix, 2)
    solver(engine, width)._chase(band)
    found = scipy.linalg.eigvalsh_tridiagonal(band[:, 0], band[:-1, 1])
    assert np.abs(found - exact).max() <= ALLOWED * EPS * norm
    below = np.where(np.arange(size)[:, None] + np.arange(2 * width) < size, band, 0)[:, 2:]
    assert np.abs(below).max(initial=0.0) <= ALLOWED * EPS * norm


@pytest.mark.parametrize("lanes", [1, 4, 32])
@pytest.mark.parametrize("name", spectra(5))
def test_bisection(name, lanes, engine, monkeypatch):
    """Of tridiagonal matrices with these spectra, and of one that falls apart into pieces."""
    monkeypatch.setattr("ntkspec.backend.device_eigenvalues.THREADS", lanes * 90)
    values = spectra(90)[name]
    matrix = scipy.linalg.hessenberg(matrix_of(values))
    diagonal, beside = matrix.diagonal().copy(), matrix.diagonal(-1).copy()
    beside[::7] = 0
    exact = scipy.linalg.eigvalsh_tridiagonal(diagonal, beside)
    found = solver(engine, 32)._bisect(diagonal.copy(), beside.copy())
    assert (np.diff(found) >= 0).all()
    assert np.abs(found - exact).max() <= 10 * EPS * np.abs(exact).max()


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-300, 1e-20, 1e-9, 1.0]))
@settings(max_examples=30)
def test_counts_of_any_tridiagonal_matrix(size, seed, small):
    """Entries that repeat, vanish and nearly vanish: what a product of many tiny numbers could lose."""
    rng = np.random.default_rng(seed)
    diagonal = rng.choice([0.0, 1.0, small, -1.0], size)
    beside = rng.choice([0.0, 1.0, small, small**2], size - 1)
    norm = max(np.abs(diagonal).max(), np.abs(beside).max(initial=0))
    assume(norm > 0)
    exact = scipy.linalg.eigvalsh_tridiagonal(diagonal, beside)
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = solver(standins.stand_in_gpu(monkeypatch), 32)._bisect(diagonal.copy(), beside.copy())
    assert np.abs(found - exact).max() <= 20 * EPS * norm


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", spectra(5))
def test_prescribed_spectra(name, width, engine):
    """Against LAPACK's, itself off by some eps; the same bits in a second run."""
    matrix = matrix_of(spectra(90)[name])
    exact = np.linalg.eigvalsh(matrix)
    found, again = (solver(engine, width).values(matrix.copy()) for _ in range(2))
    assert np.abs(found - exact).max() <= ALLOWED * EPS * np.abs(exact).max()
    assert np.array_equal(found, again)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [1, 2, 3, 33, 34, 66, 67, 200])
def test_sizes(size, width, engine):
    matrix = matrix_of(np.random.default_rng(size).standard_normal(size) + 1)
    exact = np.linalg.eigvalsh(matrix)
    found = solver(engine, width).values(matrix.copy())
    assert np.abs(found - exact).max() <= ALLOWED * EPS * np.abs(exact).max()


def test_single_precision(engine):
    values = 10.0 ** -np.linspace(0, 16, 100)
    found = solver(engine, 32).values(matrix_of(values).astype(np.float32))
    assert found.dtype == np.float64
    assert np.abs(found - values[::-1]).max() <= ALLOWED * np.finfo(np.float32).eps


def test_zeros_and_numbers_that_are_none(engine):
    assert not solver(engine, 32).values(np.zeros((50, 50))).any()
    broken = np.eye(50)
    broken[7, 3] = np.nan
    with pytest.raises(np.linalg.LinAlgError, match="not finite"):
        solver(engine, 32).values(broken)


def test_the_backend_takes_it_for_large_matrices(engine, monkeypatch):
    monkeypatch.setattr(gpu, "BAND_FROM", 60)
    matrix = matrix_of(spectra(70)["16 decades"])
    assert np.abs(engine.eigvalsh(matrix.copy()) - np.linalg.eigvalsh(matrix)).max() <= ALLOWED * EPS
    rows = np.random.default_rng(0).standard_normal((40, 40))
    exact = np.linalg.svd(rows, compute_uv=False)
    assert np.abs(engine.singular_values(rows) - exact).max() <= ALLOWED * EPS * exact[0]
    with pytest.raises(BackendError, match="not finite"):
        engine.eigvalsh(np.full((60, 60), np.inf))


@pytest.mark.parametrize("name", gpu.OTHER_ARITHMETIC)
def test_another_arithmetic_is_refused(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    with pytest.raises(BackendError, match=f"expected IEEE arithmetic.*got {name}=1.*unset {name}"):
        gpu.GpuBackend()
    monkeypatch.setenv(name, "0")
    standins.stand_in_gpu(monkeypatch)


# -- products in place, through cuBLAS' own interface


class OnDevice(np.ndarray):
    """An array that tells its address as CuPy's does."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


class Blas:
    """cuBLAS as CuPy calls it: SciPy's BLAS, which has the same columns, letters apart."""

    @staticmethod
    def _gemm(kind, turn_x, turn_y, m, n, k, alpha, x, apart_x, y, apart_y, beta, out, apart_out):
        address = get_cython_function_address("scipy.linalg.cython_blas", f"{kind}gemm")
        call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
        letters = [ctypes.c_char_p(b"T" if turn else b"N") for turn in (turn_x, turn_y)]
        m, n, k, apart_x, apart_y, apart_out = (
            ctypes.byref(ctypes.c_int(number)) for number in (m, n, k, apart_x, apart_y, apart_out)
        )
        call(*letters, m, n, k, alpha, x, apart_x, y, apart_y, beta, out, apart_out)

    def dgemm(self, handle, *arguments):
        assert handle == 41
        self._gemm("d", *arguments)

    def sgemm(self, handle, *arguments):
        self._gemm("s", *arguments)

    def dgeam(self, handle, turn, other, m, n, alpha, x, apart_x, beta, y, apart_y, out, apart_out):
        assert (handle, turn, other, y, apart_y) == (41, 1, 0, out, apart_out)

        def at(address, columns, apart):
            whole = (ctypes.c_double * (columns * apart)).from_address(address)
            return np.frombuffer(whole).reshape(columns, apart)

        assert (ctypes.c_double.from_address(alpha).value, ctypes.c_double.from_address(beta).value) == (1, 0)
        # Column-major: x is (n, m) with columns `apart_x` apart, out (m, n).
        at(out, n, apart_out)[:, :m] = at(x, m, apart_x)[:, :n].T


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(5, 4, 3), (1, 4, 3), (5, 1, 3), (5, 4, 1), (1, 1, 1)])
def test_products_of_parts_where_they_lie(shape, turned, dtype):
    rows, columns, inner = shape
    rng = np.random.default_rng(0)
    products = DeviceInPlace(Blas(), lambda: 41)

    def part(height, width):
        return rng.standard_normal((height + 4, width + 5)).astype(dtype).view(OnDevice)[2:-2, 3:-2]

    x = part(inner, rows).T if turned[0] else part(rows, inner)
    y = part(columns, inner).T if turned[1] else part(inner, columns)
    out = part(rows, columns)
    whole, before = out.base, np.array(out.base)
    before[2:-2, 3:-2] = -0.5 * np.asarray(x) @ np.asarray(y) + 2.0 * before[2:-2, 3:-2]
    products.multiply(out, x, y, -0.5, 2.0)
    assert np.allclose(whole, before, rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(5, 3), (1, 4), (4, 1)])
def test_a_part_turned_into_another(shape):
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((20, 12)).view(OnDevice)
    x, out = whole[2 : 2 + shape[1], 1 : 1 + shape[0]], whole[10 : 10 + shape[0], 4 : 4 + shape[1]]
    expected = np.array(whole)
    expected[10 : 10 + shape[0], 4 : 4 + shape[1]] = np.array(x).T
    DeviceInPlace(Blas(), lambda: 41).transpose(out, x)
    assert np.array_equal(whole, expected)


# -- on a device


@pytest.mark.gpu
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [3, 66, 300, 1500])
def test_sizes_on_a_device(size, width):
    engine = select("gpu")
    for values in spectra(size).values():
        matrix = matrix_of(values)
        exact = np.linalg.eigvalsh(matrix)
        found, again = (
            engine.get(solver(engine, width).values(engine.put(matrix, np.float64))) for _ in range(2)
        )
        assert np.abs(found - exact).max() <= ALLOWED * EPS * np.abs(exact).max()
        assert np.array_equal(found, again)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_backend_on_a_device(dtype):
    """Beyond `BAND_FROM`, so by our own solver; trace and squares are known without another."""
    engine, size = select("gpu"), gpu.BAND_FROM + 100
    matrix = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    matrix = np.tril(matrix) + np.tril(matrix, -1).T
    found = engine.eigvalsh(engine.put(matrix, dtype))
    eps, norm = np.finfo(dtype).eps, np.abs(found).max()
    assert abs(found.sum() - np.trace(matrix, dtype=np.float64)) <= size * eps * norm
    assert np.isclose(np.linalg.norm(found), np.linalg.norm(matrix.astype(np.float64)), rtol=100 * eps)
    exact = np.linalg.svd(matrix[:300, :300].astype(np.float64), compute_uv=False)
    triangle = engine.put(matrix[:300, :300], "float64")
    assert np.abs(engine.singular_values(triangle) - exact).max() <= ALLOWED * EPS * exact[0]
