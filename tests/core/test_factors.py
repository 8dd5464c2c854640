"""One contract for every kind of factor, in memory and in a run file: what it answers, by its dense form."""

from __future__ import annotations

import pickle

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import write_run

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, DenseFactor, Jacobian, Ones, Parameter, SparseFactor
from ntkspec.kernel.forms import touched_by

N, C = 7, 2
KINDS = ("dense", "sparse", "padded", "pairs", "ones")


class OnDisk:
    """An array whose rows are read by slices alone, as those of a run file are."""

    def __init__(self, array):
        self.array, self.reads = array, 0
        self.shape, self.dtype, self.nbytes = array.shape, array.dtype, array.nbytes

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.reads += 1
        return self.array[rows].copy()

    def take(self, samples, axis):
        assert axis == 0
        return self.array[samples]


class OfAnotherLibrary:
    """An array in memory as JAX has them: NumPy's types, but not all of NumPy's indexing."""

    def __init__(self, array):
        self.array = array
        self.shape, self.dtype, self.ndim, self.nbytes = array.shape, array.dtype, array.ndim, array.nbytes

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __getitem__(self, rows):
        raise TypeError("lists are no indices here")


def make(kind, c=C, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "dense":
        factor = cases.dense(rng, N, c, 5)
        factor.values[2] = 0
        factor.values[:, :, 1] = 0
        return factor
    if kind == "ones":
        return Ones(N, c)
    if kind == "pairs":
        factor = cases.pairs(rng, N, c, 3, 4, 2)
        factor.right[2] = 0
        factor.left[..., 1] = 0
        return factor
    factor = cases.sparse(rng, N, c, 40, 4)
    if kind == "padded":
        factor.indices[2], factor.indices[:, 0] = -1, -1
        factor.values[:, :, 0] = 1e30  # what padding holds says nothing
    return factor


@pytest.fixture(params=["memory", "disk"])
def place(request):
    return (lambda factor: factor) if request.param == "memory" else on_disk


def on_disk(factor):
    return factor.each(OnDisk) if factor.arrays else factor


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says_of_itself(kind, place):
    factor, dense = place(make(kind)), make(kind).to_dense()
    assert (factor.samples, factor.outputs, factor.width) == dense.shape
    assert np.array_equal(factor.to_dense(), dense)
    assert factor.nbytes == (
        dense.nbytes if kind == "pairs" else sum(a.nbytes for a in factor.arrays.values())
    )
    assert np.array_equal(factor.largest > 0, make(kind).nonzero_entries.any(axis=(1, 2)))
    assert factor.touched_width == (
        factor.width if factor.touched_columns is None else max(len(factor.touched_columns), 1)
    )
    touched = np.arange(factor.width) if factor.touched_columns is None else factor.touched_columns
    assert {*np.flatnonzero(dense.any(axis=(0, 1)))} <= {*touched}
    stored = make(kind)
    sizes = np.abs(stored.values)
    if kind in ("sparse", "padded"):
        sizes = np.where((stored.indices == -1)[:, None, :], 0, sizes)
    assert (factor.largest >= sizes.max(axis=(1, 2))).all()
    assert kind == "pairs" or np.array_equal(factor.largest, sizes.max(axis=(1, 2)))
    assert factor.dtype == np.float64
    assert (
        factor.collisions == 4 if kind == "pairs" else factor.collisions >= 1
    )  # three products and two sums
    assert factor.entries <= factor.roundings_in_any_order


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_as_matrices(kind, outputs, place):
    factor, dense = place(make(kind)), make(kind).to_dense()
    matrix = factor.matrix(outputs)
    matrix = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    assert np.allclose(matrix, oracles.rows(dense, outputs), rtol=1e-15)
    vectors = factor.vectors(outputs)
    if vectors is not None:
        assert np.array_equal(
            vectors, dense.reshape(N, -1) if isinstance(outputs, str) else dense[:, outputs]
        )
    nonzero = (dense != 0).any(axis=0)
    count = {"trace": nonzero.sum(), "full": nonzero.any(axis=0).sum()}.get(outputs)
    count = nonzero[outputs].sum() if count is None else count
    assert factor.nonzero_columns(outputs) == (1 if kind == "ones" else count)


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_left_factor(kind, place):
    factor, dense = place(make(kind, c=1)), make(kind, c=1).to_dense()[:, 0]
    matrix = factor.left_matrix()
    gram = np.ones((N, N)) if matrix is None else np.asarray((matrix @ matrix.T) + np.zeros((N, N)))
    assert np.allclose(gram, dense @ dense.T)
    near = factor.compact_rows(np.array([4, 1]))
    assert np.allclose(near @ near.T, dense[[4, 1]] @ dense[[4, 1]].T)
    norms = np.linalg.norm(factor.rows_of_same_norm, axis=1)
    assert np.allclose(norms, np.linalg.norm(dense, axis=1))
    assert (factor.inputs is not None) + (factor.nodes is not None) == (kind not in ("pairs", "ones"))


@pytest.mark.parametrize("kind", KINDS)
def test_some_of_its_samples(kind, place):
    factor, dense = place(make(kind)), make(kind).to_dense()
    assert np.array_equal(factor.load(2, 5).to_dense(), dense[2:5])
    order = np.array([6, 0, 0, 3])
    assert np.array_equal(factor.rows(order).to_dense(), dense[order])
    empty = factor.empty(3)
    assert (empty.samples, empty.outputs, empty.width) == (3, C, factor.width)
    assert np.array_equal(make(kind).to_dense(), dense)  # nothing was written to


@pytest.mark.parametrize("kind", KINDS)
def test_its_numbers_changed(kind, place):
    factor, dense = place(make(kind)), make(kind).to_dense()
    assert np.allclose(factor.map(lambda values: 3 * values).to_dense(), 3 * dense, rtol=1e-15)
    exponents, keep = np.arange(N) - 3, np.arange(N) != 4
    expected = np.where(keep[:, None, None], dense * 2.0 ** exponents[:, None, None], 0)
    assert np.array_equal(factor.scaled(exponents, keep).to_dense(), expected)


@given(seed=st.integers(0, 2**32 - 1), one=st.sampled_from(KINDS), other=st.sampled_from(KINDS))
def test_factors_made_compact_together_keep_their_inner_products(seed, one, other):
    """Of one width, as those of two Jacobians of the same parameters are."""
    a, b = make(one, 1, seed), make(other, 1, seed + 1)
    if a.width != b.width:
        b = make(one, 1, seed + 1)
    expected = a.to_dense()[:, 0] @ b.to_dense()[:, 0].T
    touched = touched_by(a, b)
    x, y = a.renumbered(touched), b.renumbered(touched)
    assert x.width == y.width <= a.width
    assert np.allclose(x.to_dense()[:, 0] @ y.to_dense()[:, 0].T, expected)
    assert np.allclose(
        a.compact().to_dense()[:, 0] @ a.compact().to_dense()[:, 0].T,
        a.to_dense()[:, 0] @ a.to_dense()[:, 0].T,
    )


def test_dense_and_sparse_of_one_width_agree_on_the_columns():
    """One writer stores a level of a grid as nodes, another writes it out."""
    sparse = make("sparse", 1)
    dense = DenseFactor(make("sparse", 1, seed=5).to_dense())
    touched = touched_by(sparse, dense)
    assert sparse.renumbered(touched).width == dense.renumbered(touched).width == 40


def test_a_factor_on_disk_is_not_read_to_be_asked_for_its_shape():
    factor = on_disk(make("sparse"))
    assert (factor.samples, factor.width, factor.nbytes, factor.entries) == (N, 40, make("sparse").nbytes, 4)
    assert not any(array.reads for array in factor.arrays.values())


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("kind", ["dense", "sparse", "pairs"])
def test_arrays_of_another_library_are_taken_as_those_of_numpy(kind, outputs):
    factor = make(kind)
    theirs, ours = (
        Jacobian((Block("g", "network", N, C, None, each),))
        for each in (factor.each(OfAnotherLibrary), factor)
    )
    assert np.array_equal(ntkspec.gram(theirs, outputs), ntkspec.gram(ours, outputs))


def test_an_array_of_another_library_without_outputs_is_of_one():
    rows = np.random.default_rng(0).standard_normal((N, 4))
    assert np.array_equal(DenseFactor(OfAnotherLibrary(rows)).values, rows[:, None])


@pytest.mark.parametrize("kind", ["dense", "sparse", "pairs"])
def test_an_operator_reads_its_factors_once(kind):
    jac = Jacobian((Block("g", "network", N, C, None, on_disk(make(kind))),))
    product = ntkspec.operator(jac) @ np.ones(N)
    assert {array.reads for array in jac["g"].right.arrays.values()} == {1}
    assert np.allclose(product, ntkspec.gram(jac) @ np.ones(N))


def test_a_block_without_factors_is_refused_and_one_of_ones_said_out_loud_is_not():
    with pytest.raises(UsageError, match="a left or a right factor"):
        Block("b", "network", 3, 1, None, None)
    block = Block("b", "network", 3, 1, Ones(3, 1), Ones(3, 1))
    assert np.array_equal(ntkspec.gram(Jacobian((block,)), backend="cpu"), np.ones((3, 3)))


def test_a_jacobian_s_rows(tmp_path):
    jac = cases.mixed(9)
    jac = Jacobian(jac.blocks, np.arange(9) // 2, True)
    order = [8, 2, 2]
    assert np.array_equal(jac.rows(order).to_dense(), jac.to_dense()[order])
    assert jac.rows(order).regions.tolist() == [4, 1, 1]
    assert jac.rows(order).regions_certain
    path = write_run(tmp_path / "run.h5", jac)
    with ntkspec.open_run(path) as run:
        stored = run.snapshots[-1].jacobian
        assert np.array_equal(stored.rows(np.array(order)).to_dense(), jac.to_dense()[order])


@pytest.mark.parametrize("samples", [[], [9], [-1], [0.5], [[1, 2]], [True], "ab", None])
def test_rows_that_are_none(samples):
    with pytest.raises(UsageError, match="whole numbers from 0 to 8"):
        cases.mixed(9).rows(samples)


def test_parameters_name_what_a_block_is_of():
    factor = SparseFactor(np.zeros((3, 1), np.int32), np.ones((3, 1, 1)), 4)
    block = Block("b", "grid", 3, 2, factor, None, parameters=(Parameter("table", (4,)),))
    assert block.width == 4
    assert block.to_dense().shape == (3, 2, 4)


def test_numbers_that_are_changed_in_place_count():
    """Whoever writes into an array that a Jacobian was made of gets the kernel of what is there now."""
    jac = cases.mixed(9)
    ntkspec.gram(jac, backend="cpu")
    jac["level.1"].left.indices[...] = np.arange(36).reshape(9, 4) * 3
    jac["layer.0"].right.values[...] *= 2
    dense = jac.to_dense().reshape(9, -1)
    assert np.allclose(ntkspec.gram(jac, backend="cpu"), dense @ dense.T)
    assert np.isclose(ntkspec.spectrum(jac, backend="cpu").trace, (dense**2).sum())


@pytest.mark.parametrize(
    ("indices", "most"),
    [
        ([[3, 3, 3, 1], [0, 1, 2, -1]], 3),
        ([[0, 1, 0, 1]], 2),
        ([[5, 0, 5, 0, 5, 7]], 3),
        ([[-1, -1, -1, 0]], 1),
        ([[2, 4, 6, 8]], 1),
        ([[7], [7], [7]], 1),
    ],
)
def test_how_many_entries_collide(indices, most):
    """In one sample; padding does not."""
    indices = np.array(indices)
    assert SparseFactor(indices, np.ones((len(indices), 1, indices.shape[1])), 9).collisions == most


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (DenseFactor(np.ones((5, 1, 3))), DenseFactor(np.ones((6, 1, 4))), "a left factor of 6 samples"),
        (
            None,
            DenseFactor(np.ones((6, 2, 4))),
            "a right factor of 6 samples, 1 output, got 6 samples, 2",
        ),
        (
            DenseFactor(np.ones((6, 2, 3))),
            None,
            "a left factor of 6 samples, 1 output, got 6 samples, 2",
        ),
    ],
)
def test_factors_of_other_samples_or_outputs_are_refused(left, right, said):
    with pytest.raises(UsageError, match=said):
        Block("b", "network", 6, 1, left, right)


@pytest.mark.parametrize("index", [-2, 4])
def test_indices_beyond_the_columns_are_refused(index):
    factor = SparseFactor(np.array([[0, index], [1, 2]]), np.ones((2, 1, 2)), 4)
    with pytest.raises(UsageError, match="indices from 0 to 3"):
        factor.matrix("trace")


@pytest.mark.parametrize("samples", [(5, 3), (2, 2)])
def test_no_samples_are_no_jacobian(samples):
    with pytest.raises(UsageError, match="one or more samples"):
        cases.mixed(9).load(*samples)


def test_no_outputs_are_no_jacobian():
    with pytest.raises(UsageError, match="one or more samples and outputs"):
        Jacobian((Block("b", "network", 3, 0, None, DenseFactor(np.ones((3, 0, 2)))),))


def test_ones_read_as_either_kind_by_those_who_know_two():
    ones = Ones(4, 2)
    for known in (DenseFactor(ones.values), SparseFactor(ones.indices, ones.values, ones.columns)):
        assert np.array_equal(known.to_dense(), ones.to_dense())


def test_ones_of_one_shape_are_equal_and_nothing_is_stored():
    ones = Ones(10**6, 3)
    assert ones == Ones(10**6, 3) != Ones(10**6, 2)
    assert hash(ones) == hash(Ones(10**6, 3))
    assert pickle.loads(stored := pickle.dumps(ones)) == ones
    assert len(stored) < 1000
    with pytest.raises(AttributeError):
        ones.values = np.zeros((10**6, 3, 1))
