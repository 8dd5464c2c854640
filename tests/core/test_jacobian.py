"""Factors, blocks and selections, against the definition of the row-wise Kronecker product."""

from __future__ import annotations

from dataclasses import replace

import cases
import numpy as np
import pytest

from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, SparseFactor
from ntkspec.kernel.dense import gram_sums
from ntkspec.spectral import spectra


@pytest.mark.parametrize("name", cases.blocks(4, 2))
def test_dense_block_is_left_times_right_entry_by_entry(name):
    block = cases.blocks(4, 2)[name]
    dense = block.to_dense()
    a, b = block.widths
    assert dense.shape == (4, 2, a * b)
    for i in range(4):
        for o in range(2):
            left = block.left.to_dense()[i, 0]
            right = block.right.to_dense()[i, o]
            assert np.array_equal(dense[i, o], [x * y for x in left for y in right])


def test_sparse_entries_of_one_index_add_up_and_padding_is_ignored():
    factor = SparseFactor(np.array([[1, 1, -1], [0, 2, 2]]), np.array([[[1.0, 2, 99]], [[3, 4, 5]]]), 3)
    expected = [[[0, 3, 0]], [[3, 0, 9]]]
    assert np.array_equal(factor.to_dense(), expected)
    assert np.array_equal(factor.matrix(0).toarray(), np.squeeze(expected))


def test_selection_by_role_and_by_name():
    jac = cases.mixed()
    assert jac.only("grid").names == ("level.0", "level.1")
    assert jac.without("grid", "layer.1").names == ("layer.0",)
    assert jac.only("network").width + jac.only("grid").width == jac.width
    assert jac["layer.0"].widths == (6, 4)


@pytest.mark.parametrize(
    "call", [lambda j: j.only("gird"), lambda j: j.without("network", "grid"), lambda j: j["x"]]
)
def test_selections_that_cannot_be_are_refused(call):
    with pytest.raises(UsageError, match="expected"):
        call(cases.mixed())


def test_blocks_of_different_sizes_do_not_make_a_jacobian():
    with pytest.raises(UsageError, match="same samples"):
        Jacobian((*cases.mixed(5).blocks, *cases.mixed(6).blocks))


def test_blocks_have_names_of_their_own():
    first, second = cases.mixed(5).blocks[:2]
    with pytest.raises(UsageError, match="a name of its own"):
        Jacobian((first, replace(second, name=first.name)))


def test_sums_of_two_jacobians_are_not_one_pass():
    jac = cases.mixed(5)
    for compute in (gram_sums, spectra):
        with pytest.raises(UsageError, match="blocks of one Jacobian"):
            compute({"plain": jac, "fast": jac.scaled({"grid": 100.0})})


def test_item_access_is_by_block_and_says_how_to_take_a_role():
    jac = cases.mixed(4)
    assert jac["layer.0"].name == "layer.0"
    with pytest.raises(UsageError) as refused:
        jac["grid"]
    said = str(refused.value)
    assert "expected the name of one of its blocks (level.0, level.1, layer.0, layer.1), got 'grid'" in said
    assert "jac.only('grid')" in said
    with pytest.raises(UsageError) as refused:
        jac["gird"]
    assert "only" not in str(refused.value)
