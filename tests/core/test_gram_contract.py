"""One contract for every way to a kernel: block kinds, modes, dtypes, tiles, panels, backends."""

from __future__ import annotations

from dataclasses import replace

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standins import SharedArithmetic, stand_in_gpu

import ntkspec
from ntkspec.backend import CpuBackend, select
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.jacobian import Jacobian, SparseFactor
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.dense import gram_sums
from ntkspec.kernel.panels import column_panels
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.tiles import Tiling


class Threads(CpuBackend):
    """The CPU backend with more tiles at work than tests give BLAS threads."""

    @property
    def workers(self):
        return 3


@pytest.fixture(
    params=["cpu", "threads", "shared", "stand-in gpu", pytest.param("gpu", marks=pytest.mark.gpu)],
)
def backend(request, monkeypatch):
    if request.param == "shared":
        return SharedArithmetic()
    if request.param == "threads":
        return Threads()
    if request.param == "stand-in gpu":
        return stand_in_gpu(monkeypatch)
    return select(request.param)


def close(got, expected, dtype=np.float64):
    """Within the rounding of a few hundred additions in the coarser precision."""
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected))).max()
    return np.abs(got - expected).max() <= 50 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("name", cases.blocks(1, 2))
def test_every_kind_of_block(name, outputs, backend):
    jac = Jacobian((cases.blocks(9, 2)[name],))
    expected = oracles.kernel(jac, outputs)
    assert close(ntkspec.gram(jac, outputs, backend=backend), expected)
    assert close(ntkspec.operator(jac, outputs, backend=backend) @ np.eye(len(expected)), expected)
    kernel = Kernel(jac, outputs=outputs, backend=backend)
    assert np.allclose(kernel.diagonal, np.diag(expected), rtol=1e-12)
    assert close(sum(panel @ panel.T for panel in map(backend.get, column_panels(kernel, 5))), expected)


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("tile", [1, 2, 7, 23, 1000])
def test_tiles_do_not_matter(tile, outputs, backend):
    jac = cases.mixed()
    kernel = ntkspec.gram(jac, outputs, tile=tile, backend=backend)
    assert close(kernel, oracles.kernel(jac, outputs))
    assert np.array_equal(kernel, kernel.T)


@pytest.mark.parametrize("outputs", cases.MODES)
def test_panels_read_in_turn_do_not_matter(outputs, backend):
    """A budget that holds the kernel and few samples' factors."""
    jac = cases.mixed(40)
    size = 40 * (2 if outputs == "full" else 1)
    at_work = backend.workers * 5 * 4**2 * 8
    memory = (size**2 * 8 + at_work + 11 * jac.nbytes / 40 * 2) / 2**30
    kernel = ntkspec.gram(jac, outputs, memory=memory, backend=backend, tile=4)
    assert close(kernel, oracles.kernel(jac, outputs))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("outputs", cases.MODES)
def test_panels_give_the_same_bits(outputs, precision, backend):
    """Also of blocks that the samples of one panel would want in another form than all of them do."""
    jac = cases.uneven(40)
    kernel = Kernel(jac, outputs=outputs, precision=precision, backend=backend)
    by_block = {name: jac.only(name) for name in jac.names}
    plan = Assembly.from_kernel(kernel, by_block, tile=8 * kernel.repeat)
    in_panels = replace(plan, tiling=Tiling(panel=16, step=8))
    whole, found = plan.assemble(), in_panels.assemble()
    for name in jac.names:
        assert whole[name].tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_precisions(dtype, precision, backend):
    jac = cases.mixed(dtype=dtype)
    kernel = ntkspec.gram(jac, precision=precision, backend=backend)
    assert kernel.dtype == precision
    assert close(kernel, oracles.kernel(jac, "trace"), precision)


def test_blocks_add_up_and_one_pass_gives_any_sums(backend):
    jac = cases.mixed()
    parts = ntkspec.gram_by_block(jac, backend=backend)
    assert list(parts) == list(jac.names)
    total = ntkspec.gram(jac, backend=backend)
    assert close(sum(parts.values()), total)
    sums = {"total": jac, "no_grid": jac.without("grid"), "grid": jac.only("grid")}
    for name, kernel in gram_sums(sums, tile=5, backend=backend).items():
        assert close(kernel, oracles.kernel(sums[name], "trace")), name


def test_products_with_complex_vectors(backend):
    jac, rng = cases.mixed(12), np.random.default_rng(0)
    vectors = rng.standard_normal((12, 3)) + 1j * rng.standard_normal((12, 3))
    product, expected = ntkspec.operator(jac, backend=backend), oracles.kernel(jac, "trace")
    assert np.allclose(product @ vectors, expected @ vectors)
    assert np.allclose(product @ vectors[:, 0], expected @ vectors[:, 0])
    assert np.allclose(product.H @ vectors, expected @ vectors)


def test_progress_rises_to_the_whole(backend):
    shares = []
    jac = cases.mixed(40)
    gram_sums({"total": jac, "grid": jac.only("grid")}, tile=8, backend=backend, progress=shares.append)
    assert len(shares) == 15  # tiles of 8 rows on and below the diagonal
    assert shares == sorted(shares)
    assert abs(shares[-1] - 1) < 1e-12


def test_inputs_that_may_not_be_written_to():
    jac = cases.mixed()
    for block in jac:
        for factor in block.factors:
            factor.values.flags.writeable = False
    before = jac.to_dense()
    ntkspec.gram(jac)
    ntkspec.spectrum(jac, method="svd")
    assert np.array_equal(jac.to_dense(), before)


def test_a_kernel_that_does_not_fit_the_device_is_assembled_and_solved_on_the_host(monkeypatch):
    """Panels of factors go to the device, tiles come back."""
    jac = cases.mixed(60)
    engine = stand_in_gpu(monkeypatch, free=int(1.25 * 45_000))
    monkeypatch.setattr(engine.xp, "ndarray", type("DeviceArray", (), {}))  # so that none is on the device
    sums = {"total": jac, "grid": jac.only("grid")}
    plan = Assembly.from_kernel(Kernel(jac, backend=engine, budget=2**30), sums, tile=8)
    assert plan.on_host
    assert plan.tiling.panel < 60
    for name, kernel in gram_sums(sums, backend=engine, tile=8).items():
        assert close(kernel, oracles.kernel(sums[name], "trace")), name
    assert close(engine.eigvalsh(ntkspec.gram(jac)), np.linalg.eigvalsh(oracles.kernel(jac, "trace")))


def test_threads_give_the_same_bits():
    jac = cases.mixed(90)
    for outputs in cases.MODES:
        alone = ntkspec.gram(jac, outputs, tile=16, backend="cpu")
        assert np.array_equal(ntkspec.gram(jac, outputs, tile=16, backend=Threads()), alone)


def test_an_error_in_a_thread_arrives(monkeypatch):
    def spoilt(*_):
        raise RuntimeError("a tile that failed")

    monkeypatch.setattr(CpuBackend, "store", spoilt)
    with pytest.raises(RuntimeError, match="a tile that failed"):
        ntkspec.gram(cases.mixed(90), tile=16, backend=Threads())


def test_too_little_memory_is_said_before_anything_is_allocated():
    with pytest.raises(MemoryBudgetError, match="lanczos"):
        ntkspec.gram(cases.mixed(100), memory=1e-6)


@given(
    n=st.integers(1, 12),
    c=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    tile=st.integers(1, 30),
    chosen=st.sets(st.sampled_from(sorted(cases.blocks(1, 1))), min_size=1),
)
def test_any_sum_of_blocks(n, c, seed, tile, chosen):
    made = cases.blocks(n, c, seed)
    jac = Jacobian(tuple(made[name] for name in sorted(chosen)))
    for outputs in ("trace", "full", c - 1):
        expected = oracles.kernel(jac, outputs)
        kernel = ntkspec.gram(jac, outputs, tile=tile)
        assert close(kernel, expected)
        v = np.random.default_rng(seed).standard_normal(len(expected))
        assert np.allclose(
            ntkspec.operator(jac, outputs) @ v, expected @ v, atol=1e-10 * np.abs(expected).sum()
        )


def test_a_wide_grid_in_panels_takes_no_memory_for_its_columns():
    """Of 2^40 columns 800 are touched; what is not is nowhere."""
    rng = np.random.default_rng(0)
    wide = SparseFactor(rng.integers(0, 2**40, (200, 4)), rng.standard_normal((200, 1, 4)), 2**40)
    jac = Jacobian((cases.block("grid", wide, cases.dense(rng, 200, 1, 40), 200, 1, "grid"),))
    plan = Assembly.from_kernel(Kernel(jac, backend=select("cpu"), budget=460_000))
    assert plan.tiling.panel < 200
    kernel = ntkspec.gram(jac, memory=460_000 / 2**30, backend="cpu")
    dense = jac["grid"].compact().to_dense()[:, 0]
    assert np.allclose(kernel, dense @ dense.T)


def test_arguments_that_are_none():
    jac = cases.mixed(6)
    frozen = np.empty((6, 6))
    frozen.flags.writeable = False
    for out, said in ((frozen, "may not be written to"), ([[0]], r"got \[\[0\]\]")):
        with pytest.raises(UsageError, match=said):
            ntkspec.gram(jac, out=out)
    for options in ({"tile": 1.5}, {"tile": "a"}, {"tile": 0}):
        with pytest.raises(UsageError, match="tile: expected a whole number"):
            ntkspec.gram(jac, **options)
    assert np.array_equal(ntkspec.gram(jac, np.int64(1)), ntkspec.gram(jac, 1))
    assert (ntkspec.operator(jac) @ np.zeros((6, 0))).shape == (6, 0)
