"""Kernels between the samples of two Jacobians, against the definition."""

from __future__ import annotations

from dataclasses import replace

import cases
import numpy as np
import oracles
import pytest

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import DenseFactor, Jacobian, Parameter
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.problem import Kernel


def other_samples(n, seed=3):
    """Of the same parameters as `cases.mixed`, touching other nodes."""
    return cases.mixed(n, seed=seed)


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("tile", [1, 3, 1000])
def test_against_the_definition(outputs, tile, backend):
    rows, columns = cases.mixed(9), other_samples(6)
    kernel = ntkspec.gram(rows, outputs, columns=columns, tile=tile, backend=backend)
    want = oracles.kernel(rows, outputs, columns)
    assert kernel.shape == want.shape
    assert np.allclose(kernel, want, rtol=0, atol=1e-13 * np.abs(want).max())


@pytest.mark.parametrize("name", cases.blocks(1, 2))
@pytest.mark.parametrize("outputs", cases.MODES)
def test_every_kind_of_block(name, outputs, backend):
    rows = Jacobian((cases.blocks(8, 2)[name],))
    columns = Jacobian((cases.blocks(5, 2, seed=1)[name],))
    kernel = ntkspec.gram(rows, outputs, columns=columns, backend=backend)
    assert np.allclose(kernel, oracles.kernel(rows, outputs, columns))


def test_the_same_samples_give_the_symmetric_kernel():
    jac = cases.mixed(12)
    symmetric = ntkspec.gram(jac, backend="cpu")
    assert np.allclose(ntkspec.gram(jac, columns=jac, backend="cpu"), symmetric, rtol=1e-13)
    some = ntkspec.gram(jac, columns=jac.rows([3, 11]), backend="cpu")
    assert np.allclose(some, symmetric[:, [3, 11]], rtol=1e-13)


def test_in_panels_where_memory_is_short_and_into_an_array():
    rows, columns = cases.mixed(40), other_samples(30)
    out = np.empty((40, 30))
    memory = (Assembly.from_kernel(Kernel(rows, columns), tile=4).needed - 40 * 30 * 8) / 2 / 2**30
    assert (
        Assembly.from_kernel(
            Kernel(rows, columns, budget=int(memory * 2**30)), tile=4, targets_given=True
        ).tiling.panel
        < 30
    )
    found = ntkspec.gram(rows, columns=columns, memory=memory, tile=4, out=out, backend="cpu")
    assert found is out
    assert np.allclose(out, oracles.kernel(rows, "trace", columns))
    with pytest.raises(UsageError, match=r"\(40, 30\)"):
        ntkspec.gram(rows, columns=columns, out=np.empty((40, 40)))


def test_of_a_level_that_one_writer_stores_as_nodes_and_the_other_writes_out():
    rows, columns = cases.mixed(9).only("level.1"), other_samples(6).only("level.1")
    (block,) = columns.blocks
    written_out = Jacobian((replace(block, left=DenseFactor(block.left.to_dense())),))
    for one, other in ((rows, written_out), (written_out, rows)):
        kernel = ntkspec.gram(one, columns=other, backend="cpu")
        assert np.allclose(kernel, oracles.kernel(one, "trace", other))


@pytest.mark.parametrize(
    "change",
    [
        lambda jac: jac.without("grid"),
        lambda jac: Jacobian((*jac.blocks[1:], replace(jac.blocks[0], name="other"))),
        lambda jac: Jacobian((*jac.blocks[1:], replace(jac.blocks[0], parameters=(Parameter("x", (9, 2)),)))),
        lambda jac: cases.mixed(6, c=1),
    ],
)
def test_other_parameters_are_refused(change):
    with pytest.raises(UsageError, match="columns of the kernel: expected the parameters of its rows: "):
        ntkspec.gram(cases.mixed(9), columns=change(other_samples(6)), backend="cpu")


def test_an_overflow_off_the_diagonal_is_seen():
    huge = Jacobian((cases.block("b", None, DenseFactor(np.full((2, 1, 1), 1e25, np.float32)), 2, 1),))
    with pytest.raises(UsageError, match="overflow"):
        ntkspec.gram(huge, columns=huge, precision="float32", backend="cpu")


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("wide", [False, True])
def test_of_a_factor_that_one_leaves_out_and_the_other_writes_out(wide, outputs, backend):
    """Of width 1, and not of ones in the second; the other factor is dense, or wide and stays sparse."""
    rng = np.random.default_rng(0)

    def right(n):
        return cases.sparse(rng, n, 2, 5000, 3) if wide else cases.dense(rng, n, 2, 3)

    ones = Jacobian((cases.block("b", None, right(30), 30, 2),))
    written = Jacobian((cases.block("b", DenseFactor(np.full((20, 1, 1), 2.0)), right(20), 20, 2),))
    for one, other in ((ones, written), (written, ones)):
        kernel = ntkspec.gram(one, outputs, columns=other, backend=backend)
        assert np.allclose(kernel, oracles.kernel(one, outputs, other))


def test_facts_of_a_symmetric_kernel_are_not_those_of_another():
    kernel = Kernel(cases.mixed(5), other_samples(4))
    for fact in ("diagonal", "trace", "touched_width"):
        with pytest.raises(UsageError, match="one set of samples"):
            getattr(kernel, fact)
