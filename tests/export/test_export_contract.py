"""One contract for every model: blocks, written out, are the Jacobian by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from export_zoo import ZOO, assert_blocks, build, by_parameter, inputs, oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ntkspec.export import jacobian
from ntkspec.jacobian import DenseFactor, SparseFactor
from ntkspec.nets.grid import Interpolation, Multigrid
from ntkspec.nets.mlp import MLP, CoordinateNetwork

torch.set_num_threads(1)
RELATIVE = 1e-12


def assert_same(model: nn.Module, x: torch.Tensor, **options: object) -> None:
    _, expected = oracle(model, x)
    jac = jacobian(model, x, **options)
    found = by_parameter(jac, expected)
    for name, rows in expected.items():
        if name in found:
            np.testing.assert_allclose(found[name], rows, rtol=0, atol=RELATIVE * np.abs(rows).max())
        else:
            assert not rows.any(), f"{name} left out, though used"
    flat = np.concatenate([rows.reshape(*rows.shape[:2], -1) for rows in expected.values()], axis=2)
    kernel, ours = (np.einsum("nop,mqp->nomq", j, j) for j in (flat, jac.to_dense()))
    np.testing.assert_allclose(ours, kernel, rtol=0, atol=RELATIVE * np.abs(kernel).max())


@pytest.mark.parametrize("name", ZOO)
def test_blocks_are_the_jacobian(name: str) -> None:
    assert_same(build(name), inputs())


@pytest.mark.parametrize("name", [name for name, (_, factored) in ZOO.items() if factored is not None])
def test_factored_where_that_holds_and_only_there(name: str) -> None:
    factored = ZOO[name][1] or set()
    jac = jacobian(build(name), inputs())
    found = {block.name for block in jac if block.left.arrays}
    only_bias = {b.name for b in jac if [p.name.split(".")[-1] for p in b.parameters] == ["bias"]}
    grid_mlp = {b.name for b in jac if b.name.startswith("mlp.")}
    assert found - grid_mlp - only_bias == factored - only_bias


@pytest.mark.parametrize(
    "name",
    [
        "relu in place",
        "layer norm",
        "hashed multigrid",
        "rare branch",
        "masked halves",
        "same module twice in a row",
        "tied weights",
    ],
)
@pytest.mark.parametrize("chunk", [1, 4, 22])
def test_chunk_size_does_not_matter(name: str, chunk: int) -> None:
    model, x = build(name), inputs()
    whole, parts = jacobian(model, x, chunk=100), jacobian(model, x, chunk=chunk)
    assert whole.names == parts.names
    assert_blocks(parts, by_parameter(whole), 1e-13)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", ["tanh", "linear on samples times positions", "conv1d", "dense multigrid"])
def test_few_samples(name: str, n: int) -> None:
    assert_same(build(name), inputs(8)[:n])


def test_a_grid_level_is_sparse_times_dense() -> None:
    jac = jacobian(build("hashed multigrid"), inputs())
    level = jac["encoding.levels.2"]
    assert isinstance(level.left, SparseFactor)
    assert isinstance(level.right, DenseFactor)
    assert level.left.values.shape == (23, 1, 4)
    assert level.left.columns == 11
    assert level.right.values.shape == (23, 3, 2)
    assert level.role == "grid"
    assert jac["mlp.output"].role == "network"


def test_a_linear_layer_with_bias_has_a_column_of_ones() -> None:
    block = jacobian(build("tanh"), inputs())["2"]
    assert isinstance(block.left, DenseFactor)
    assert block.widths == (7, 6)
    assert (block.left.values[:, 0, -1] == 1).all()
    assert [p.shape for p in block.parameters] == [(6, 6), (6,)]


def test_a_lone_bias_has_no_left_factor() -> None:
    block = jacobian(build("frozen weight"), inputs())["2"]
    assert not block.left.arrays
    assert block.widths == (1, 6)


def test_order_and_names_follow_named_parameters() -> None:
    jac = jacobian(build("root parameters"), inputs())
    assert [(block.name, block.order) for block in jac] == [("scale", 0), ("shift", 1), ("linear", 2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_coarse_model_is_evaluated_in_double(dtype: torch.dtype) -> None:
    model = build("tanh").to(dtype)
    assert_same(model, inputs())
    assert jacobian(model, inputs().to(dtype)).dtype == np.float64


def test_single_precision_on_request() -> None:
    model = build("layer norm")
    _, expected = oracle(model, inputs())
    jac = jacobian(model, inputs(), precision="float32")
    assert jac.dtype == np.float32
    assert_blocks(jac, expected, 1e-5)


@settings(max_examples=12, deadline=None)
@given(
    d=st.integers(1, 3),
    c=st.integers(1, 3),
    depth=st.integers(1, 3),
    width=st.integers(1, 7),
    activation=st.sampled_from(["relu", "silu", "gelu", "tanh", "sine"]),
    levels=st.integers(0, 2),
    table_size=st.sampled_from([None, 3, 16]),
    interpolation=st.sampled_from(["linear", "smooth", "quadratic", "cubic"]),
    frozen=st.integers(0, 3),
    n=st.integers(1, 9),
    chunk=st.integers(1, 9),
)
def test_random_architectures(
    d: int,
    c: int,
    depth: int,
    width: int,
    activation: str,
    levels: int,
    table_size: int | None,
    interpolation: Interpolation,
    frozen: int,
    n: int,
    chunk: int,
) -> None:
    encoding = Multigrid(d, levels, 2, 1.5, 2, table_size, interpolation) if levels else nn.Identity()
    net = MLP(2 * levels + d, depth, width, c, activation)  # type: ignore[arg-type]  # a name from above
    model = CoordinateNetwork(encoding, net)
    for parameter in list(net.parameters())[:frozen]:
        parameter.requires_grad_(False)
    assert_same(model, torch.rand(n, d, dtype=torch.float64), chunk=chunk)
