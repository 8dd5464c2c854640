"""J^T V and J U of blocks of vectors: the same as vector by vector, within the error that is stated."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import SharedArithmetic

import ntkspec
from ntkspec.backend import CpuBackend
from ntkspec.jacobian import Jacobian, SparseFactor
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.term import TermOperator, _rows_at_once, apply
from ntkspec.spectral.accuracy import PRODUCT, magnitude_of
from ntkspec.summation import gamma, over_samples

NAMES = [f"{a}-{b}" for a in ("dense", "sparse", "none") for b in ("dense", "sparse", "pairs")]


def one_block(name, samples, seed=0):
    """Two outputs, few columns: the definition takes every one."""
    rng = np.random.default_rng(seed)
    left, right = name.split("-")
    made = {
        "dense": lambda outputs: cases.dense(rng, samples, outputs, 6),
        "sparse": lambda outputs: cases.sparse(rng, samples, outputs, 11, 3),
        "pairs": lambda outputs: cases.pairs(rng, samples, outputs, 3, 2, 4),
        "none": lambda outputs: None,
    }
    return Jacobian((cases.block(name, made[left](1), made[right](2), samples, 2),))


def rows_of(jac, outputs):
    """J by the definition, as a list of matrices whose kernels add up."""
    dense = np.asarray(jac.to_dense(), dtype=np.longdouble)
    if outputs == "full":
        return [dense.reshape(-1, dense.shape[2])]
    return [dense[:, o] for o in (range(dense.shape[1]) if outputs == "trace" else (outputs,))]


def naive(matrices, vectors):
    """K V, and |J| |J|^T |V|, a vector at a time."""
    found = []
    for factors in (matrices, [np.abs(matrix) for matrix in matrices]):
        given_vectors = vectors if factors is matrices else np.abs(vectors)
        columns = [sum(m @ (m.T @ column) for m in factors) for column in given_vectors.T]
        found.append(np.array(columns).reshape(-1, len(vectors)).T)
    return found


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    outputs=st.sampled_from(cases.MODES),
    samples=st.sampled_from((1, 5, 129, 300)),
    count=st.integers(0, 9),
    piece=st.sampled_from((1, 2**13, 2**17, 2**28)),
    backend=st.sampled_from((CpuBackend, SharedArithmetic)),
    seed=st.integers(0, 99),
)
def test_blocks_of_vectors_against_a_loop(name, outputs, samples, count, piece, backend, seed):
    jac = one_block(name, samples, seed)
    engine = backend()
    engine.piece_bytes = piece
    kernel = Kernel(jac, outputs=outputs, backend=engine)
    vectors = np.random.default_rng(seed).standard_normal((kernel.size, count))
    exact, sizes = naive(rows_of(jac, outputs), vectors)
    operators = [TermOperator(term.pair, engine) for term in kernel.terms]
    found = apply(operators, vectors)
    known = kernel.fact(magnitude_of)
    # To the roundings of a product those of J's entries come, on either side.
    allowed = gamma(known.vector_sums + PRODUCT + 2 * (known.additions + PRODUCT)) * sizes
    assert found.shape == vectors.shape
    assert (np.abs(found - exact) <= allowed).all()
    for column in range(count):
        single = apply(operators, vectors[:, [column]])[:, 0]
        assert (np.abs(single - exact[:, column]) <= allowed[:, column]).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sparse-sparse"])
def test_many_vectors_take_as_many_products_as_one(name, monkeypatch):
    """But for two sparse matrices, whose products are sparse."""
    engine, calls = SharedArithmetic(), []
    for method in ("product", "transposed_product"):
        plain = getattr(engine, method)
        monkeypatch.setattr(engine, method, lambda *given, plain=plain: calls.append(1) or plain(*given))
    product = ntkspec.operator(one_block(name, 300), backend=engine)
    needed = []
    for count in (1, 16):
        calls.clear()
        assert (product @ np.ones((300, count))).shape == (300, count)
        needed.append(len(calls))
    assert needed[0] == needed[1] > 0


def test_sums_over_samples_are_added_pairwise():
    """A number that single additions lose: 2^14 ones of a size that vanishes beside the first."""
    samples = 2**14
    column = np.full((samples, 1), 2.0**-54)
    column[0] = 1.0
    for engine in (CpuBackend(), SharedArithmetic()):
        summed = engine.transposed_product(column, np.ones((samples, 1)), 128)
        assert float(summed[0, 0]) - 1 == pytest.approx((samples - 128) * 2.0**-54, rel=0.01)


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 4), st.integers(1, 200), st.integers(0, 999))
@settings(max_examples=60)
def test_rows_of_a_sparse_matrix_that_are_added_up_at_once(samples, nodes, entries, most, seed):
    """No column of a piece has more entries than a panel has products; a fine grid is one piece."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, nodes, samples * entries)
    starts = np.arange(0, samples * entries + 1, entries)
    matrix = scipy.sparse.csr_array((np.ones(len(indices)), indices, starts), (samples, nodes))
    rows = _rows_at_once(matrix, most, CpuBackend())
    assert 1 <= rows <= samples
    if rows > most:
        for start in range(0, samples, rows):
            assert np.bincount(matrix[start : start + rows].indices).max() <= most
    if np.bincount(indices).max() <= most:
        assert rows == samples


@pytest.mark.parametrize("engine", [CpuBackend(), SharedArithmetic()])
def test_samples_that_all_touch_one_node_are_added_up_in_pieces(engine):
    """What one sum over all of them would lose: 2^14 numbers that vanish beside the first."""
    samples = 2**14
    values = np.full((samples, 1, 1), 2.0**-54)
    values[0] = 1.0
    grid = SparseFactor(np.zeros((samples, 1), np.int64), values, 3)
    kernel = Kernel(Jacobian((cases.block("grid", grid, None, samples, 1),)), backend=engine)
    found = apply([TermOperator(term.pair, engine) for term in kernel.terms], np.ones((samples, 1)))
    panel = over_samples(samples)
    assert float(found[0, 0]) - 1 == pytest.approx((samples - panel) * 2.0**-54, rel=0.01)
