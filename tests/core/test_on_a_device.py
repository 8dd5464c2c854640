"""Arrays of a device and of the host do not mix: a stand-in of CuPy that refuses it, as CuPy does.

Dense factors alone: SciPy's sparse matrices stand in for CuPy's and take arrays of either kind.
"""

from __future__ import annotations

import types

import cases
import numpy as np
import oracles
import pytest
import scipy.linalg
import scipy.sparse
from standins import CUDA_13, HostInPlace, RawKernel, device_of, runtime_of, stand_in_gpu

import ntkspec
from ntkspec.backend import gpu
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.enclosure import enclosure_of
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.spectral import bounds, choose
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.verify import verify


class DeviceArray(np.ndarray):
    """An array that refuses operators and functions on arrays of the host, single numbers apart."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        every = (*inputs, *(out or ()))
        options |= {"out": tuple(map(host, out))} if out else {}
        result = getattr(ufunc, method)(*(taken(one, ufunc) for one in every[: len(inputs)]), **options)
        return out[0] if out else device(np.asarray(result))

    def __array_function__(self, function, kinds, inputs, options):
        given = [taken(one, function) for one in inputs]
        return device(function(*given, **{name: taken(one, function) for name, one in options.items()}))

    def __setitem__(self, where, values):
        super().__setitem__(where, taken(values, np.copyto))


def host(value):
    return value.view(np.ndarray) if isinstance(value, DeviceArray) else value


def device(value):
    if isinstance(value, tuple):
        return tuple(map(device, value))
    return value.view(DeviceArray) if isinstance(value, np.ndarray) else value


def taken(value, function):
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(taken(one, function) for one in value)
    if isinstance(value, np.ndarray) and not isinstance(value, DeviceArray) and value.ndim:
        raise TypeError(f"an array of the host in {function.__name__}")
    return host(value)


def onto_device(function):
    """A function of NumPy or SciPy that takes and gives arrays of the device."""
    return lambda *given, **options: device(function(*map(host, given), **options))


@pytest.fixture
def engine(monkeypatch):
    runtime = runtime_of(CUDA_13, 2**40)
    made = ("empty", "zeros", "ones", "arange", "asarray", "ascontiguousarray")
    solvers = types.SimpleNamespace(
        **{name: onto_device(getattr(np.linalg, name)) for name in ("eigvalsh", "qr", "svd")},
        eigh=lambda kernel: device(tuple(np.linalg.eigh(host(kernel)))),
    )
    own = {
        "ndarray": DeviceArray,
        "asnumpy": lambda array: np.asarray(host(array)),
        "linalg": solvers,
        "RawKernel": RawKernel,
        "cuda": device_of(runtime),
        "get_default_memory_pool": lambda: types.SimpleNamespace(free_bytes=lambda: 0),
    }
    numpy = types.SimpleNamespace(**vars(np) | {name: onto_device(getattr(np, name)) for name in made} | own)
    triangular = types.SimpleNamespace(solve_triangular=onto_device(scipy.linalg.solve_triangular))
    cupyx = types.SimpleNamespace(
        errstate=lambda linalg: np.errstate(), scipy=types.SimpleNamespace(linalg=triangular)
    )
    monkeypatch.setattr(gpu, "_cupy", lambda: (cupyx, numpy, scipy.sparse))
    monkeypatch.setattr(gpu, "DeviceInPlace", lambda cublas, handle: HostInPlace())
    return gpu.GpuBackend()


def dense(n=60):
    rng = np.random.default_rng(0)
    blocks = (
        cases.block("layer", cases.dense(rng, 12, 1, 3), cases.dense(rng, 12, 2, 4), 12, 2),
        cases.block("plain", None, cases.dense(rng, 12, 2, 5), 12, 2),
    )
    return Jacobian(blocks).rows(np.arange(n) % 12)


def test_the_stand_in_refuses_a_mixture(engine):
    array = engine.xp.zeros((3,), np.float64)
    for mixed in (lambda: array + np.ones(3), lambda: engine.xp.concatenate([array, np.ones(3)])):
        with pytest.raises(TypeError, match="of the host"):
            mixed()
    with pytest.raises(TypeError, match="of the host"):
        array[...] = np.ones(3)
    assert (array + 1).sum() == 3


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("method", SOLVERS)
def test_solvers(method, outputs, engine):
    kernel = Kernel(dense(), outputs=outputs, backend=engine)
    found = SOLVERS[method].solve(kernel, 3 if method == "lanczos" else None)
    exact = np.linalg.eigvalsh(oracles.kernel(dense(), outputs))[::-1]
    assert np.abs(found.eigenvalues[:3] - exact[:3]).max() <= 1e-12 * exact[0]


@pytest.mark.parametrize("outputs", cases.MODES)
def test_bounds_checks_and_kernels_between_samples(outputs, engine):
    jac = dense(24)
    kernels = sums_of(Kernel(jac, outputs=outputs, backend=engine), {"total": jac})
    evidence = verify(kernels, choose.solve_all(kernels), thorough=True)
    assert all(bound.holds for bound in evidence.bounds)
    assert all(check.holds for check in evidence.checks)
    between = ntkspec.gram(jac, outputs, columns=jac.rows([1, 2]), backend=engine)
    repeat = 2 if outputs == "full" else 1
    assert np.allclose(between, oracles.kernel(jac, outputs)[:, repeat : 3 * repeat])
    vectors = np.random.default_rng(0).standard_normal((24 * repeat, 2))
    product = ntkspec.operator(jac, outputs, backend=engine) @ vectors
    assert np.allclose(product, oracles.kernel(jac, outputs) @ vectors)


@pytest.mark.parametrize("outputs", cases.MODES)
def test_bounds_from_entries_of_a_kernel_formed_on_the_device(outputs, engine):
    formed = enclosure_of(Kernel(dense(24), outputs=outputs, backend=engine))
    assert isinstance(formed.kernel, DeviceArray)
    exact = np.linalg.eigvalsh(oracles.kernel(dense(24), outputs))[::-1]
    slack = 1e-13 * exact[0]  # of NumPy's own
    for low, high in (
        (bounds.gershgorin_lower, bounds.gershgorin_upper),
        (bounds.gershgorin_scaled_lower, bounds.gershgorin_scaled_upper),
        (bounds.wolkowicz_styan_lower, bounds.wolkowicz_styan_upper),
        (bounds.frobenius_lower, bounds.trace_upper),
    ):
        assert (low(formed).values <= exact + slack).all()
        assert (high(formed).values >= exact - slack).all()


def test_certified_bounds_are_computed_on_the_cpu(monkeypatch):
    """Whatever a device makes of its products."""
    engine, jac = stand_in_gpu(monkeypatch), cases.mixed(12)
    kernels = {"total": Kernel(jac, backend=engine)}
    found = {"total": ntkspec.spectrum(jac, backend="cpu")}
    honest = {b.bound.name: b.bound.values for b in verify(kernels, found).bounds if b.bound.certified}
    halved = type(engine).transposed_product
    monkeypatch.setattr(type(engine), "transposed_product", lambda *given: halved(*given) / 2)
    spoilt = {b.bound.name: b.bound.values for b in verify(kernels, found).bounds if b.bound.certified}
    assert honest.keys() == spoilt.keys() == {"certified_lower", "certified_upper"}
    assert all(np.array_equal(honest[name], spoilt[name]) for name in honest)


def test_factors_that_a_device_has_no_room_for(monkeypatch):
    """Their products are computed on the host, and nothing of theirs is kept on the device."""
    jac = cases.mixed(400)
    engine = stand_in_gpu(monkeypatch, free=jac.nbytes)
    kernel = Kernel(jac, backend=engine, budget=2**30)
    assert not kernel.caches
    assert not kernel.facts_fit
    assert not SOLVERS["svd"].need(kernel).fits
    found = SOLVERS["lanczos"].solve(kernel, 3)
    exact = np.linalg.eigvalsh(ntkspec.gram(jac, backend="cpu"))[::-1][:3]
    assert (np.abs(found.eigenvalues - exact) <= found.error).all()


def test_kernel_distance(engine):
    """Tiles, scales and sums stay on the device; one number comes back."""
    rng = np.random.default_rng(0)
    one, two = (
        Jacobian((cases.block("theta", cases.dense(rng, 30, 1, 5), cases.dense(rng, 30, 2, 3), 30, 2),))
        for _ in range(2)
    )
    expected = ntkspec.kernel_distance(one, two, backend="cpu")
    found = ntkspec.kernel_distance(one, two, backend=engine, tile=11)
    assert found == pytest.approx(expected, abs=1e-15)
    assert type(found) is float
