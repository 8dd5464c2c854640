"""Bounds on the rank are exact: never below the rank of the definition, and with their reason."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import DenseFactor, Jacobian, SparseFactor
from ntkspec.spectral import rank_bound


def relu_network(x, sizes=(6, 6), seed=0):
    """Jacobian blocks and activation patterns of a ReLU network on x (n, d), by explicit loops."""
    rng = np.random.default_rng(seed)
    widths = [x.shape[1], *sizes, 1]
    weights = [rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)]
    biases = [rng.standard_normal(b) for b in widths[1:]]
    lefts, rights, patterns = [], [], []
    for point in x:
        inputs, actives = [point], []
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            z = w @ inputs[-1] + b
            actives.append(z > 0)
            inputs.append(z * (z > 0))
        gradients = [np.ones(1)]
        for w, active in zip(weights[:0:-1], actives[::-1], strict=True):
            gradients.insert(0, (gradients[0] @ w) * active)
        lefts.append([np.r_[h, 1.0] for h in inputs])
        rights.append(gradients)
        patterns.append(np.concatenate(actives).tobytes())
    regions = np.unique(patterns, return_inverse=True)[1]
    blocks = [
        cases.block(
            f"layer.{k}",
            DenseFactor(np.array([row[k] for row in lefts])[:, None]),
            DenseFactor(np.array([row[k] for row in rights])[:, None]),
            len(x),
            1,
            order=k,
        )
        for k in range(len(sizes) + 1)
    ]
    return Jacobian(tuple(blocks), np.asarray(regions, dtype=np.int64))


def numerical_rank(jacobian, outputs="trace"):
    values = np.linalg.eigvalsh(oracles.kernel(jacobian, outputs))
    return int(np.count_nonzero(values > 1e-10 * values[-1]))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 60), d=st.integers(1, 3), seed=st.integers(0, 999))
def test_a_relu_network_has_no_more_rank_than_its_regions_hold(n, d, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, d))
    jac = relu_network(x, seed=seed)
    counts = np.bincount(jac.regions)
    found = rank_bound(jac)
    assert found.at_most <= np.minimum(counts, d + 1).sum()
    assert numerical_rank(jac) <= found.at_most


def test_the_reason_is_given():
    jac = relu_network(np.random.default_rng(0).uniform(-1, 1, (200, 2)), (12, 12))
    found = rank_bound(jac)
    count = len(np.unique(jac.regions))
    assert found.at_most < 200
    assert found.reason == f"{count} activation regions, each with no more independent rows than encodings"


def test_a_singular_spectrum_ends_in_exact_zeros():
    jac = relu_network(np.random.default_rng(0).uniform(-1, 1, (200, 2)), (12, 12))
    found = ntkspec.spectrum(jac)
    at_most = found.rank.at_most
    assert found.singular
    assert found.lambda_min == 0.0
    assert found.condition is None
    assert (found.eigenvalues[at_most:] == 0).all()
    assert (found.error[at_most:] == found.floor).all()  # of J as stored, which is rounded
    assert found.resolved <= at_most < found.size
    assert f"rank <= {at_most}" in repr(found)


def test_regions_that_the_factors_deny_are_not_believed():
    """One region for all samples of a network that has many, or of one that is not piecewise linear."""
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    jac = replace(relu_network(x), regions=np.zeros(40, np.int64))
    assert rank_bound(jac).at_most == 40
    assert numerical_rank(jac) > 3
    smooth = cases.mixed(40).only("network")
    assert rank_bound(replace(smooth, regions=np.zeros(40, np.int64))).at_most == 40


def uneven_rows():
    """One sample with a left factor of 1e10 and a right one of 1e-10: all other rows are small beside it."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (10, 1))
    x[0] = 1e10
    hidden = rng.standard_normal((10, 12))
    hidden[0] = 0
    hidden[0, 0] = 1e10
    gradient = np.ones((10, 1, 1))
    gradient[0] = 1e-10
    blocks = (
        cases.block("1", DenseFactor(np.c_[x, np.ones(10)][:, None]), DenseFactor(gradient), 10, 1),
        cases.block("2", DenseFactor(hidden[:, None]), DenseFactor(gradient), 10, 1, order=1),
    )
    return Jacobian(blocks, np.r_[0, np.ones(9, dtype=np.int64)])


def test_departures_are_measured_row_by_row():
    jac = uneven_rows()
    assert rank_bound(jac).at_most == 10
    found = ntkspec.spectrum(jac, k=3)
    assert not found.singular
    assert found.lambda_min is None


@pytest.mark.parametrize("method", ["gram", "svd", "auto", "lanczos"])
def test_the_largest_k_never_bring_a_refuted_rank_back(method, monkeypatch):
    said = ntkspec.spectral.Rank(5, "made up", of_network=True)
    monkeypatch.setattr("ntkspec.spectral.solve.rank_bound", lambda *_: said)
    found = ntkspec.spectrum(cases.mixed(12), method=method, k=3)
    assert not found.singular
    assert found.lambda_min is None
    assert found.condition is None


def test_auto_goes_on_where_a_finer_route_may_refute_the_regions():
    """A network smooth by 1e-5 on one declared region: were it believed, gram would stop at rank 3."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (12, 2))
    hidden = np.tanh(1e-6 * x @ rng.standard_normal((2, 8)))
    blocks = (
        cases.block(
            "1", DenseFactor(np.c_[x, np.ones(12)][:, None]), DenseFactor(np.ones((12, 1, 1))), 12, 1
        ),
        cases.block("2", DenseFactor(np.c_[hidden, np.ones(12)][:, None]), None, 12, 1, order=1),
    )
    found = ntkspec.spectrum(Jacobian(blocks, np.zeros(12, np.int64)))
    assert found.rank.at_most == 3
    assert found.method == "svd"


def lying_regions(n=60):
    """One region, and a second layer that is affine but for 5e-13: the check passes, svd resolves more."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (n, 2))
    hidden = np.c_[x @ rng.standard_normal((2, n)) + 5e-13 * rng.uniform(-1, 1, (n, n)), np.ones(n)]
    ones = DenseFactor(np.ones((n, 1, 1)))
    blocks = (
        cases.block("1", DenseFactor(np.c_[x, np.ones(n)][:, None]), ones, n, 1),
        cases.block("2", DenseFactor(hidden[:, None]), ones, n, 1, order=1),
    )
    return Jacobian(blocks, np.zeros(n, np.int64))


def test_regions_refuted_by_one_spectrum_are_believed_in_none():
    jac = lying_regions()
    found = ntkspec.spectral.spectra({"total": jac, "first": jac.only("1"), "second": jac.only("2")})
    assert found["total"].rank.refuted
    assert not found["total"].singular
    assert found["second"].resolved > 3
    assert not (found["second"].rank.of_network and found["second"].singular)
    assert found["first"].rank.at_most == 3  # its columns say so, too


def test_blocks_that_disobey_are_named():
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    jac = relu_network(x, (12, 12))
    assert rank_bound(jac).disobeying == ()
    assert rank_bound(replace(jac, regions=np.zeros(40, np.int64))).disobeying == jac.names


def test_a_resolved_eigenvalue_refutes_a_rank():
    found = ntkspec.spectrum(cases.mixed(12))
    wrong = found.with_rank(ntkspec.spectral.Rank(5, "made up"))
    assert wrong.rank.refuted
    assert not wrong.singular
    assert wrong.lambda_min == found.lambda_min
    assert np.array_equal(wrong.eigenvalues, found.eigenvalues)


@pytest.mark.parametrize("outputs", cases.MODES)
def test_twice_the_same_samples(outputs):
    jac = cases.mixed(10)
    twice = Jacobian(
        tuple(
            replace(b, samples=20, left=_twice(b.left), right=_twice(b.right), parameters=b.parameters)
            for b in jac
        )
    )
    found = rank_bound(twice, outputs)
    assert found.at_most == numerical_rank(twice, outputs) == (20 if outputs == "full" else 10)
    assert found.reason == "10 distinct rows of J"


def _twice(factor):
    if factor is None:
        return None
    if isinstance(factor, SparseFactor):
        return SparseFactor(
            np.tile(factor.indices, (2, 1)), np.tile(factor.values, (2, 1, 1)), factor.columns
        )
    return DenseFactor(np.tile(factor.values, (2, 1, 1)))


@settings(deadline=None, max_examples=60)
@given(
    left=st.sampled_from(["dense", "sparse", "none"]),
    right=st.sampled_from(["dense", "sparse", "none"]),
    n=st.integers(1, 25),
    outputs=st.sampled_from(cases.MODES),
    seed=st.integers(0, 999),
)
def test_touched_columns_bound_the_rank_of_every_kind_of_block(left, right, n, outputs, seed):
    if (left, right) == ("none", "none"):
        return
    rng = np.random.default_rng(seed)
    block = cases.blocks(n, 2, seed)[f"{left}-{right}"]
    if isinstance(block.right, DenseFactor):
        block.right.values[:, :, rng.integers(0, 3)] = 0  # a dead unit
    jac = Jacobian((block,))
    assert numerical_rank(jac, outputs) <= rank_bound(jac, outputs).at_most <= jac.kernel_size(outputs)


def test_dead_units_and_untouched_nodes_do_not_count():
    values = np.random.default_rng(0).standard_normal((30, 1, 12))
    values[:, :, 4:] = 0
    jac = Jacobian((cases.block("w", None, DenseFactor(values), 30, 1),))
    assert rank_bound(jac) == ntkspec.spectral.Rank(4, "4 nonzero columns of J")
    found = ntkspec.spectrum(jac)
    assert found.lambda_min == 0.0
    assert (found.error[4:] == 0).all()


def test_a_grid_counts_region_by_region():
    """Two regions of a constant gradient, each on its own few nodes: 3 + 2 dimensions, not 2 x 5."""
    rng = np.random.default_rng(0)
    indices = np.r_[rng.integers(0, 3, (20, 4)), rng.integers(3, 5, (20, 4))]
    left = SparseFactor(indices, rng.random((40, 1, 4)), 100)
    regions = np.repeat([0, 1], 20)
    right = DenseFactor(rng.standard_normal((2, 1, 2))[regions])
    jac = Jacobian((cases.block("level", left, right, 40, 1, "grid"),), regions)
    found = rank_bound(jac)
    assert found.at_most == numerical_rank(jac) == 5
    assert "interpolation weights" in found.reason


def test_regions_must_fit_the_samples():
    with pytest.raises(UsageError, match="region for each"):
        Jacobian(cases.mixed(6).blocks, np.zeros(5, np.int64))


def test_samples_behind_a_dead_layer_count_once():
    rng = np.random.default_rng(4)
    x = rng.random((12, 2))
    dead = np.arange(12) < 5
    inputs = np.column_stack([x, np.ones(12)])
    hidden = np.where(dead[:, None], 0.0, rng.random((12, 6)))  # after a ReLU that is off for five of them
    blocks = (
        cases.block("first", DenseFactor(inputs[:, None]), DenseFactor((hidden > 0)[:, None] * 1.0), 12, 1),
        cases.block(
            "last",
            DenseFactor(np.column_stack([hidden, np.ones(12)])[:, None]),
            DenseFactor(np.ones((12, 1, 1))),
            12,
            1,
            order=1,
        ),
    )
    found = rank_bound(Jacobian(blocks))
    assert (found.at_most, found.reason) == (8, "8 distinct rows of J")
    assert numerical_rank(Jacobian(blocks)) == 8


@pytest.mark.parametrize("seed", [0, 1, 3, 5, 7, 9])
def test_samples_on_a_line_in_one_region_are_dependent(seed):
    """Pixels of one row: two dimensions a region, not three; one moved off the line adds the third."""
    x = np.column_stack([np.linspace(-1, 1, 9), np.full(9, 0.3)])
    jac = relu_network(x, (6,), seed=seed)
    held = np.minimum(np.bincount(jac.regions), 2).sum()
    assert rank_bound(jac).at_most == numerical_rank(jac) == held < 9
    x[4, 1] += 1e-3
    moved = relu_network(x, (6,), seed=seed)
    assert rank_bound(moved).at_most == numerical_rank(moved) == held + 1


@pytest.mark.parametrize("samples", [3, 5])
def test_a_small_region_must_obey_too(samples):
    """Fewer samples than the encoding has dimensions, on a line, but a second layer not affine there."""
    rng = np.random.default_rng(5)
    t = np.linspace(0, 1, samples)
    x = np.outer(t, rng.standard_normal(6)) + rng.standard_normal(6)  # a line in six dimensions
    ones = DenseFactor(np.ones((samples, 1, 1)))
    first = cases.block("1", DenseFactor(np.c_[x, np.ones(samples)][:, None]), ones, samples, 1)
    for bend, believed in ((0.0, 2), (1e-3, samples)):
        hidden = np.c_[t, t + bend * t**2, np.ones(samples)][:, None]
        second = cases.block("2", DenseFactor(hidden), ones, samples, 1, order=1)
        jac = Jacobian((first, second), np.zeros(samples, np.int64))
        assert rank_bound(jac).at_most == (2 if not bend else min(samples, 2 + 3))
        assert numerical_rank(jac) <= rank_bound(jac).at_most <= believed


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(2, 40),
    cells=st.integers(1, 3),
    line=st.booleans(),
    seed=st.integers(0, 999),
)
def test_grids_in_regions_never_have_more_rank_than_is_said(n, cells, line, seed):
    """A bilinear grid behind a ReLU network in two regions, on random samples or on pixels of one row."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    if line:
        x[:, 1] = 0.4
    cell = np.minimum((x * cells).astype(int), cells - 1)
    t = x * cells - cell
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    weights = np.prod(np.where(corners == 1, t[:, None], 1 - t[:, None]), axis=2)
    nodes = (cell[:, None] + corners) @ np.array([1, cells + 1])
    table = rng.standard_normal(((cells + 1) ** 2, 2))
    encoding = np.einsum("nk,nkf->nf", weights, table[nodes])
    regions = (encoding[:, 0] > 0).astype(np.int64)
    gradient = DenseFactor(rng.standard_normal((2, 1, 3))[regions])
    level = SparseFactor(nodes, weights[:, None], (cells + 1) ** 2)
    constant = DenseFactor(rng.standard_normal((2, 1, 2))[regions])
    blocks = (
        cases.block("level", level, constant, n, 1, "grid"),
        cases.block("1", DenseFactor(np.c_[encoding, x, np.ones(n)][:, None]), gradient, n, 1, order=1),
    )
    jac = Jacobian(blocks, regions)
    found = rank_bound(jac)
    assert numerical_rank(jac) <= found.at_most <= n
    if cells == 1:
        held = np.bincount(regions, minlength=2)
        assert found.at_most <= np.minimum(held, 2 if line else 4).sum()
