"""The GPU backend's CUDA C: compiled by NVRTC, and run on the CPU against the definition."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import standins
from hypothesis import given
from hypothesis import strategies as st

from ntkspec.backend import CpuBackend, gpu, select
from ntkspec.errors import BackendError, MemoryBudgetError

FOLDER = Path(str(resources.files("ntkspec.backend"))) / "cuda"
SOURCES = sorted(path.name for path in FOLDER.glob("*.cu"))
REALS, WIDTHS = ({"REAL": "float"}, {"REAL": "double"}), ({"B": "32"}, {"B": "64"})
MACROS = {  # file -> with which macros it is compiled
    "add_product.cu": REALS,
    "sparse_tile.cu": REALS,
    "panel.cu": tuple(real | width | {"THREADS": "512"} for real in REALS for width in WIDTHS),
    "triangle.cu": tuple(real | width for real in REALS for width in WIDTHS),
    "chase.cu": tuple(width | {"COLUMNS": "4"} for width in WIDTHS),
    "bisect.cu": ({"LANES": "1"}, {"LANES": "8"}, {"LANES": "32"}),
}
SPARSE_TILE = (FOLDER / "sparse_tile.cu").read_text()
HELD = 512  # entries of a row that the kernel holds at a time
DTYPES = ("float32", "float64")
REPEATS = (1, 3)


def rows(rng, counts, columns, dtype):
    """CSR (len(counts), columns) with so many entries in every row, sorted, each column once."""
    picked = [np.sort(rng.choice(columns, count, replace=False)) for count in counts]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    indices = np.concatenate([np.zeros(0), *picked]).astype(np.int32)
    return sp.csr_array(
        (rng.standard_normal(starts[-1]).astype(dtype), indices, starts), (len(counts), columns)
    )


def cases(rng, dtype):
    """Name -> the left matrices of a tile."""

    def pair(i, j, columns):
        return rows(rng, i, columns, dtype), rows(rng, j, columns, dtype)

    low, high = pair([5, 9, 0, 7], [4, 4, 4], 40)
    apart = (
        sp.csr_array((high.data, high.indices + 40, high.indptr), (3, 80)),
        sp.csr_array(low, shape=(4, 80)),
    )
    return {
        "grid": pair([4] * 20, [4] * 17, 60),
        "empty rows": pair([0, 3, 0, 8, 0], [2, 0, 9, 0], 30),
        "nothing at all": pair([0] * 3, [0] * 5, 30),
        "no overlap": apart,
        "all overlap": pair([12] * 5, [12] * 7, 12),
        "longer than what is held": pair(
            [HELD, HELD + 1, 3 * HELD + 5, 2], [1, 700, 2 * HELD, 4000, 0], 4000
        ),
        "more rows than threads": pair([6] * 3, [6] * (2 * gpu.THREADS + 9), 50),
        "one by one": pair([3], [4], 5),
    }


CASES = sorted(cases(np.random.default_rng(0), "float64"))


def put(engine, tile, left, right, repeat):
    """The arguments of `add_tile` on the device; the tile is the middle of a wider array of sevens."""
    margin = 3
    wide = engine.xp.zeros((tile[0] * repeat + 2 * margin, tile[1] * repeat + 2 * margin), right[0].dtype)
    wide += 7
    view = wide[margin:-margin, margin:-margin]
    moved = [
        tuple(engine.rows(engine.put(matrix, matrix.dtype), slice(0, matrix.shape[0])) for matrix in side)
        for side in (left, right)
    ]
    return wide, (view, *moved, repeat)


def by_definition(left, right, repeat):
    """In float64: the product of the two Gram matrices, and the sizes that rounding goes with."""
    left = [np.kron(matrix.toarray().astype(np.float64), np.ones((repeat, 1))) for matrix in left]
    right = [matrix.astype(np.float64) for matrix in right]
    product = (left[0] @ left[1].T) * (right[0] @ right[1].T)
    sizes = (abs(left[0]) @ abs(left[1]).T) * (abs(right[0]) @ abs(right[1]).T)
    return product, sizes


def check(engine, left, repeat, width, seed=0):
    """A tile against the definition, its surroundings untouched, the same in a second run."""
    dtype = left[0].dtype
    rng = np.random.default_rng(seed)
    size = left[0].shape[0], left[1].shape[0]
    right = [rng.standard_normal((samples * repeat, width)).astype(dtype) for samples in size]
    results = []
    for _ in range(2):
        wide, arguments = put(engine, size, left, right, repeat)
        engine.add_tile(*arguments)
        results.append(engine.get(wide))
    assert np.array_equal(*results)
    product, sizes = by_definition(left, right, repeat)
    expected = np.pad(product, 3) + 7
    additions = max(int(np.diff(matrix.indptr).max()) for matrix in left) + width + 2
    allowed = np.finfo(dtype).eps * (additions * np.pad(sizes, 3) + 7 * (np.pad(sizes, 3) > 0))
    assert (np.abs(results[0] - expected) <= allowed).all()
    return results[0]


class Watched:
    """Counts the launches of the stand-in's kernels."""

    def __init__(self, monkeypatch):
        self.launches = []
        launch = standins.RawKernel.__call__

        def counting(kernel, grid, block, args):
            self.launches.append((kernel, grid, block, args))
            launch(kernel, grid, block, args)

        monkeypatch.setattr(standins.RawKernel, "__call__", counting)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", SOURCES)
def test_compiles_for_the_device_without_one(name, arch):
    core = pytest.importorskip("cuda.core", reason="NVRTC, of the dev extra on Linux, compiles CUDA C")
    for macros in MACROS[name]:
        options = core.ProgramOptions(arch=arch, define_macro=list(macros.items()))
        compiled = core.Program((FOLDER / name).read_text(), "c++", options).compile("cubin")
        assert compiled.code.startswith(b"\x7fELF")
        assert name.removesuffix(".cu").encode() in compiled.code  # the kernel's name, not mangled


def test_the_sources_are_found():
    assert sorted(MACROS) == SOURCES
    assert f"#define HELD {HELD} " in SPARSE_TILE


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("name", CASES)
def test_the_definition(name, repeat, dtype, backwards, monkeypatch):
    """In whatever order threads take turns: an order that matters is a race."""
    engine, watched = standins.stand_in_gpu(monkeypatch), Watched(monkeypatch)
    monkeypatch.setattr(standins.RawKernel, "backwards", backwards)
    left = cases(np.random.default_rng(1), dtype)[name]
    check(engine, left, repeat, width=5)
    assert len(watched.launches) == 2


@given(
    counts=st.tuples(*[st.lists(st.integers(0, 9), min_size=1, max_size=12)] * 2),
    columns=st.integers(9, 60),
    repeat=st.integers(1, 4),
    width=st.integers(1, 6),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_rows(counts, columns, repeat, width, dtype, seed):
    with pytest.MonkeyPatch.context() as monkeypatch:
        engine = standins.stand_in_gpu(monkeypatch)
        rng = np.random.default_rng(seed)
        left = rows(rng, counts[0], columns, dtype), rows(rng, counts[1], columns, dtype)
        check(engine, left, repeat, width, seed)


def test_ones_on_the_right_leave_the_left_gram(monkeypatch):
    engine = standins.stand_in_gpu(monkeypatch)
    left = cases(np.random.default_rng(2), "float64")["grid"]
    ones = [np.ones((matrix.shape[0], 1)) for matrix in left]
    tile = engine.xp.zeros((20, 17), "float64")
    engine.add_tile(tile, tuple(engine.put(matrix, "float64") for matrix in left), tuple(ones), 1)
    assert np.allclose(tile, (left[0] @ left[1].T).toarray(), rtol=0, atol=1e-14)


def test_a_tile_and_its_mirror_are_the_same_bits(monkeypatch):
    engine = standins.stand_in_gpu(monkeypatch)
    left = rows(np.random.default_rng(3), [7] * 30, 40, "float32")
    right = np.random.default_rng(4).standard_normal((90, 4)).astype("float32")
    tile = engine.xp.zeros((90, 90), "float32")
    engine.add_tile(tile, (engine.put(left, "float32"),) * 2, (right, right), 3)
    assert np.array_equal(tile, tile.T)


def test_the_stand_in_notices_a_race():
    """Without its barriers the kernel must fail in one of the two orders, or the other tests show little."""
    wrong = 0
    for backwards in (False, True):
        with pytest.MonkeyPatch.context() as monkeypatch:
            engine = standins.stand_in_gpu(monkeypatch)
            monkeypatch.setattr(standins.RawKernel, "backwards", backwards)
            source = SPARSE_TILE.replace("__syncthreads();", "")
            racing = standins.RawKernel(source, "sparse_tile", ("-DREAL=double",))
            monkeypatch.setattr(engine.kernels, "get", lambda name, racing=racing, **macros: racing)
            try:
                check(engine, cases(np.random.default_rng(1), "float64")["longer than what is held"], 1, 5)
            except AssertionError:
                wrong += 1
    assert wrong


def test_the_stand_in_notices_a_barrier_that_some_threads_do_not_reach(monkeypatch):
    source = 'extern "C" __global__ void f(REAL* x) { if (threadIdx.x) __syncthreads(); x[0] = 1; }'
    kernel = standins.RawKernel(source, "f", ("-DREAL=double",))
    with pytest.raises(AssertionError, match="barrier"):
        kernel((1,), (2,), (np.zeros(1),))


def test_the_stand_in_notices_arguments_of_other_types():
    source = 'extern "C" __global__ void f(REAL* x, int n) { x[0] = n; }'
    kernel, x = standins.RawKernel(source, "f", ("-DREAL=double",)), np.zeros(1)
    kernel((1,), (1,), (x, np.int32(3)))
    assert x[0] == 3
    for args in ((x, 3), (x, np.int64(3)), (x.astype("float32"), np.int32(3)), (x,)):
        with pytest.raises(AssertionError):
            kernel((1,), (1,), args)


def test_put_gives_what_the_kernel_needs(monkeypatch):
    """SciPy's 64-bit indices, unsorted and twice: 32 bits, ascending, once; the caller's matrix stays."""
    engine = standins.stand_in_gpu(monkeypatch)
    indices, starts = np.array([5, 1, 5, 0]), np.array([0, 3, 4])
    matrix = sp.csr_array((np.array([1.0, 2.0, 4.0, 8.0]), indices, starts), (2, 6))
    assert matrix.indices.dtype == np.int64
    moved = engine.put(matrix, "float32")
    assert (moved.indices.dtype, moved.indptr.dtype, moved.data.dtype) == ("int32", "int32", "float32")
    assert moved.indices.tolist() == [1, 5, 0]
    assert moved.data.tolist() == [2, 5, 8]
    assert matrix.indices.tolist() == [5, 1, 5, 0]


def test_what_the_kernel_is_given(monkeypatch):
    engine, watched = standins.stand_in_gpu(monkeypatch), Watched(monkeypatch)
    left = cases(np.random.default_rng(1), "float64")["more rows than threads"]
    for dtype in (*DTYPES, *DTYPES):
        check(engine, [matrix.astype(dtype) for matrix in left], 3, 5)
    kernels = {id(kernel): kernel for kernel, *_ in watched.launches}
    assert sorted(kernel.options for kernel in kernels.values()) == [("-DREAL=double",), ("-DREAL=float",)]
    assert {kernel.name for kernel in kernels.values()} == {"sparse_tile"}
    _, grid, block, args = watched.launches[0]
    assert (grid, block) == ((3, 3), (gpu.THREADS,))
    ti, tj = (matrix.shape[0] for matrix in left)
    assert [int(size) for size in args[1:5]] == [tj * 3 + 6, tj, 3, 5]
    assert args[0].shape == (ti * 3, tj * 3)


def test_rows_on_the_right_that_lie_apart(monkeypatch):
    """A slice of columns and Fortran order: the kernel reads rows one after the other."""
    engine, watched = standins.stand_in_gpu(monkeypatch), Watched(monkeypatch)
    left = cases(np.random.default_rng(1), "float64")["grid"]
    rng = np.random.default_rng(5)
    right = rng.standard_normal((20, 9))[:, 2:6], np.asfortranarray(rng.standard_normal((17, 4)))
    tile = engine.xp.zeros((20, 17), "float64")
    engine.add_tile(tile, tuple(engine.put(matrix, "float64") for matrix in left), right, 1)
    assert np.allclose(tile, by_definition(left, right, 1)[0], rtol=0, atol=1e-13)
    assert len(watched.launches) == 1


def test_some_rows_of_a_matrix(monkeypatch):
    """A panel goes to the device once, tiles take slices of it."""
    engine, watched = standins.stand_in_gpu(monkeypatch), Watched(monkeypatch)
    left = rows(np.random.default_rng(8), [3, 0, 7, 5, 9, 2, 4, 6], 20, "float64")
    right = np.random.default_rng(9).standard_normal((16, 4))
    moved = engine.put(left, "float64"), engine.put(right, "float64")
    at = ((5, 8), (1, 5))  # rows of the tile and its columns
    tile = engine.xp.zeros((6, 8), "float64")
    sides = [tuple(engine.rows(moved[k], slice((1, 2)[k] * a, (1, 2)[k] * b)) for a, b in at) for k in (0, 1)]
    engine.add_tile(tile, *sides, 2)
    assert np.allclose(tile, by_definition([left] * 2, [right] * 2, 2)[0][10:16, 2:10], rtol=0, atol=1e-13)
    assert len(watched.launches) == 1


@pytest.mark.parametrize("widths", [(1, 1), (3, 5), (130, 4), (7, 300), (600, 1100)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeat", REPEATS)
def test_dense_factors(repeat, dtype, widths, monkeypatch):
    """Sums of one panel, of some in order and of more pairwise; rows and columns beyond one block's."""
    engine, watched = standins.stand_in_gpu(monkeypatch), Watched(monkeypatch)
    monkeypatch.setattr(gpu, "ROWS_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    left, right = (
        [rng.standard_normal((rows * times, width)).astype(dtype) for rows in (13, 90)]
        for width, times in zip(widths, (1, repeat), strict=True)
    )
    wide = rng.standard_normal((13 * repeat + 4, 90 * repeat + 6)).astype(dtype)
    expected = wide.astype(np.float64)
    product, sizes = by_definition([sp.csr_array(matrix) for matrix in left], right, repeat)
    expected[2:-2, 3:-3] += product
    engine.add_tile(wide[2:-2, 3:-3], tuple(left), tuple(right), repeat)
    allowed = np.finfo(dtype).eps * ((sum(widths) + 3) * np.pad(sizes, ((2, 2), (3, 3))) + abs(expected))
    assert (np.abs(wide - expected) <= allowed).all()
    assert {kernel.name for kernel, *_ in watched.launches} == {"add_product"}


@pytest.mark.parametrize("what", ["dense left", "sparse right", "64-bit indices", "columns apart", "no left"])
def test_what_the_kernel_cannot_take_goes_the_shared_way(what, monkeypatch):
    engine, watched = standins.stand_in_gpu(monkeypatch), Watched(monkeypatch)
    csr = cases(np.random.default_rng(1), "float64")["grid"]
    left = tuple(engine.put(matrix, "float64") for matrix in csr)
    dense = tuple(np.random.default_rng(6).standard_normal((matrix.shape[0], 4)) for matrix in csr)
    right, tile = dense, engine.xp.zeros((20, 17), "float64")
    expected = by_definition(csr, dense, 1)[0]
    if what == "dense left":
        left = tuple(matrix.toarray() for matrix in left)
    elif what == "sparse right":
        right = tuple(sp.csr_matrix(matrix) for matrix in right)
    elif what == "64-bit indices":
        for matrix in left:
            matrix.indices = matrix.indices.astype(np.int64)
    elif what == "columns apart":
        tile = engine.xp.zeros((17, 20), "float64").T
    else:
        left, expected = None, dense[0] @ dense[1].T
    engine.add_tile(tile, left, right, 1)
    assert np.allclose(tile, expected, rtol=0, atol=1e-13)
    assert "sparse_tile" not in {kernel.name for kernel, *_ in watched.launches}


def test_sizes_that_the_solver_of_cuda_12_gets_wrong(monkeypatch):
    class Reached(Exception):
        pass

    def reached(kernel):
        raise Reached

    over = np.broadcast_to(np.zeros(1), (gpu.XSYEVD_LIMIT + 1,) * 2)  # takes no memory
    for version, kernel, refused in (
        (12_090, over, True),
        (12_090, over[1:, 1:], False),
        (13_000, over, False),
    ):
        engine = standins.stand_in_gpu(monkeypatch, version)
        engine.xp.linalg = type("linalg", (), {"eigh": staticmethod(reached)})
        with pytest.raises(BackendError if refused else Reached) as raised:
            engine.eigh(kernel)
        if refused:
            for said in (
                "at most 23000 rows with CUDA 12.9",
                "got 23001 rows",
                "ntkspec[cuda13]",
                "backend='cpu'",
            ):
                assert said in str(raised.value)


@pytest.mark.parametrize(
    ("solve", "calls"),
    [("eigvalsh", "eigvalsh"), ("eigh", "eigh"), ("singular_values", "eigvalsh"), ("svd_right", "svd")],
)
def test_a_device_without_room_for_the_solver(solve, calls, monkeypatch):
    def full(*args, **options):
        raise standins.OutOfMemoryError(8_000_000, 16)

    engine = standins.stand_in_gpu(monkeypatch)
    engine.xp.linalg = type("linalg", (), {calls: staticmethod(full)})
    with pytest.raises(MemoryBudgetError) as raised:
        getattr(engine, solve)(np.eye(3))
    said = str(raised.value)
    assert "\n" not in said
    assert "8,000,000 bytes" in said
    assert "use backend='cpu', fewer samples or precision='float32'" in said


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("name", CASES)
def test_the_definition_on_a_device(name, repeat, dtype):
    check(select("gpu"), cases(np.random.default_rng(1), dtype)[name], repeat, width=5)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeat", REPEATS)
def test_the_cpu_backend_agrees_on_a_whole_tile(repeat, dtype):
    """A tile of a fine grid at full size; by the CPU backend in the same precision."""
    rng = np.random.default_rng(7)
    left = rows(rng, [32] * 1024, 65_536, dtype), rows(rng, [32] * 1000, 65_536, dtype)
    right = [rng.standard_normal((matrix.shape[0] * repeat, 8)).astype(dtype) for matrix in left]
    found = []
    for engine in (select("gpu"), CpuBackend()):
        wide, arguments = put(engine, (1024, 1000), left, right, repeat)
        engine.add_tile(*arguments)
        found.append(engine.get(wide))
    sizes = np.pad(by_definition(left, right, repeat)[1], 3)
    assert (np.abs(found[0] - found[1]) <= 100 * np.finfo(dtype).eps * (sizes + 7 * (sizes > 0))).all()
