"""Bounds on the rank of the stored numbers are exact: never below the rank in exact arithmetic."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.jacobian import DenseFactor, Jacobian, PairsFactor, SparseFactor
from ntkspec.spectral import consistency, rank_bound


def test_what_a_computed_value_denies_is_not_set_to_zero():
    found = ntkspec.spectrum(cases.mixed(12))
    wrong = found.knowing(ntkspec.spectral.Rank(5, "made up"))
    assert not wrong.singular
    assert wrong.lambda_min == found.lambda_min
    assert np.array_equal(wrong.eigenvalues, found.eigenvalues)
    assert [check.name for check in consistency.of_spectrum("total", wrong) if not check.holds] == ["rank"]


@pytest.mark.parametrize("outputs", cases.MODES)
def test_rows_of_zeros_do_not_count(outputs):
    """A sample that no parameter moves: its row is exactly zero, and the kernel exactly singular."""
    jac = cases.mixed(8)
    for block in jac:
        block.right.values[3] = 0
    found = ntkspec.spectrum(jac, outputs)
    assert found.singular
    assert found.lambda_min == 0.0
    assert found.rank.at_most == oracles.numerical_rank(jac, outputs) == (14 if outputs == "full" else 7)


def test_one_output_that_is_dead_counts_in_mode_full_alone():
    jac = cases.mixed(6)
    for block in jac:
        block.right.values[2, 1] = 0
    assert rank_bound(jac, "full").at_most == 11
    assert rank_bound(jac, 1).at_most == 5
    assert rank_bound(jac, 0).at_most == rank_bound(jac, "trace").at_most == 6


def test_padding_is_no_number():
    """Entries at -1 have values, which count for nothing: a sample of padding alone is a row of zeros."""
    indices = np.array([[0, 1], [1, 2], [-1, -1], [2, -1]])
    values = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]])[:, None]
    left = SparseFactor(indices, values, 3)
    jac = Jacobian((cases.block("level", left, DenseFactor(np.ones((4, 1, 1))), 4, 1),))
    assert rank_bound(jac).at_most == 3
    assert ntkspec.spectrum(jac).lambda_min == 0.0


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize(
    "right",
    [
        SparseFactor(np.array([[0, 1], [0, 2], [0, 3]]), np.ones((3, 2, 2)), 4),
        PairsFactor(np.diag([1.0, 2.0, 3.0])[:, None, None], np.ones((3, 2, 1, 2))),
    ],
    ids=["indices", "the left of a pair"],
)
def test_rows_that_differ_in_an_array_of_all_outputs_are_not_one(right, outputs):
    jac = Jacobian((cases.block("level", None, right, 3, 2),))
    assert rank_bound(jac, outputs).at_most >= oracles.numerical_rank(jac, outputs) == 3


@pytest.mark.parametrize("apart", [1e-6, 1e-9, 1e-13, 2.0**-52])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_close_together_are_not_one(apart, dtype):
    """No tolerance: the rational rank of rows that differ in their last bit is full."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((6, 9)).astype(dtype)
    rows[3] = rows[2]
    rows[3, 4] += max(dtype(apart) * abs(rows[2, 4]), 2 * np.spacing(abs(rows[2, 4])))
    jac = Jacobian((cases.block("theta", None, DenseFactor(rows[:, None]), 6, 1),))
    assert rank_bound(jac).at_most == oracles.rational_rank(rows) == 6
    assert not ntkspec.spectrum(jac).singular


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), outputs=st.sampled_from(cases.MODES))
def test_the_rank_is_never_below_the_rational_rank(seed, outputs):
    """Blocks of every kind with small integers, so that rows and columns do coincide; exact elimination."""
    rng = np.random.default_rng(seed)
    jac = cases.mixed(7, seed=seed)
    for block in jac:
        for factor in (factor for factor in block.factors if factor.arrays):
            factor.values[...] = rng.integers(-1, 2, factor.values.shape) * (rng.random() < 0.9)
    rows = oracles.rows(jac.to_dense(), outputs)
    assert oracles.rational_rank(rows) <= rank_bound(jac, outputs).at_most


@pytest.mark.parametrize("outputs", cases.MODES)
def test_twice_the_same_samples(outputs):
    jac = cases.mixed(10)
    twice = jac.rows(np.tile(np.arange(10), 2))
    found = rank_bound(twice, outputs)
    assert found.at_most == oracles.numerical_rank(twice, outputs) == (20 if outputs == "full" else 10)
    said = " that are not zero" if outputs == "full" else ""
    assert found.reason == f"{found.at_most} distinct rows of J{said}"


def test_rows_that_differ_at_another_output_alone_are_one():
    values = np.random.default_rng(0).standard_normal((4, 2, 5))
    values[:, 0] = values[0, 0]
    jac = Jacobian((cases.block("w", None, DenseFactor(values), 4, 2),))
    assert [rank_bound(jac, outputs).at_most for outputs in (0, 1, "trace")] == [1, 4, 4]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), outputs=st.sampled_from(cases.MODES), times=st.integers(1, 3))
def test_keys_hide_no_row_and_split_none(seed, outputs, times):
    """Rows that share a key are compared, those of a key alone are counted: both ways give one number."""
    rng = np.random.default_rng(seed)
    jac = cases.mixed(6, seed=seed)
    for block in jac:
        block.right.values[...] *= rng.random(len(block.right.values)).round().reshape(-1, 1, 1)  # some dead
    jac = jac.rows(rng.integers(0, 6, 6 * times))
    found = rank_bound(jac, outputs)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("ntkspec.spectral.rank._keys", lambda blocks: np.zeros(6 * times, np.uint64))
        assert rank_bound(jac, outputs) == found


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
    assert (
        oracles.numerical_rank(jac, outputs) <= rank_bound(jac, outputs).at_most <= jac.kernel_size(outputs)
    )


def test_dead_units_and_untouched_nodes_do_not_count():
    values = np.random.default_rng(0).standard_normal((30, 1, 12))
    values[:, :, 4:] = 0
    jac = Jacobian((cases.block("w", None, DenseFactor(values), 30, 1),))
    assert rank_bound(jac) == ntkspec.spectral.Rank(4, "4 nonzero columns of J")
    found = ntkspec.spectrum(jac)
    assert found.lambda_min == 0.0
    assert (found.error[4:] == 0).all()


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
    assert oracles.numerical_rank(Jacobian(blocks)) == 8
