"""Grid levels as splines: their weights, what they reproduce, how smooth they are, and their gradients."""

from itertools import combinations, product
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from torch.func import functional_call

from ntkspec.nets.build import build_model
from ntkspec.nets.config import DEGREES, TrainConfig, _parameters
from ntkspec.nets.grid import GridLevel, Interpolation, node_weights
from ntkspec.nets.lookup import TableLookup

SPLINES = {name: DEGREES[name] for name in ("linear", "quadratic", "cubic")}
CONTINUOUS = {"linear": 0, "smooth": 1, "quadratic": 1, "cubic": 2}  # derivatives, from the zeroth on

resolutions, dimensions, seeds = st.integers(1, 12), st.integers(1, 3), st.integers(0, 99)


def level(d, resolution, interpolation, features=2, table_size=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = GridLevel(d, resolution, features, table_size, interpolation, generator).double()
    torch.nn.init.normal_(made.table, generator=generator)
    return made


def points(n, d, seed=0):
    """Random ones, a few beyond the borders, and all corners of the unit cube."""
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1.2 - 0.1
    return torch.cat([x, torch.tensor(list(product((0.0, 1.0), repeat=d)), dtype=torch.float64)])


def knots(resolution, p):
    return np.arange(-p, resolution + p + 1) / resolution


def basis(x, resolution, p):
    """SciPy's B-splines at x (n,): (n, N + p)."""
    return BSpline.design_matrix(x.clip(0, 1), knots(resolution, p), p).toarray()


def test_every_kernel_has_a_degree():
    assert get_args(Interpolation) == tuple(DEGREES)


@given(
    t=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    interpolation=st.sampled_from(list(DEGREES)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_weights_are_a_partition_of_unity(t, interpolation, dtype):
    weights = node_weights(torch.tensor(t, dtype=dtype), interpolation)
    assert weights.dtype == dtype
    assert weights.shape == (len(t), DEGREES[interpolation] + 1)
    assert (weights >= 0).all()
    assert (weights.sum(dim=-1) - 1).abs().max() <= 4 * torch.finfo(dtype).eps


@given(t=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_degree_one_is_linear_to_the_bit(t):
    t = torch.tensor(t)
    assert torch.equal(node_weights(t, "linear"), torch.stack([1 - t, t], dim=-1))
    assert torch.equal(node_weights(t, "smooth"), node_weights(t * t * (3 - 2 * t), "linear"))


@pytest.mark.parametrize("interpolation", ["quadratic", "cubic"])
def test_weights_by_their_polynomials(interpolation):
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    s = 1 - t
    expected = {
        "quadratic": [s**2 / 2, 1 / 2 + s * t, t**2 / 2],
        "cubic": [s**3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - s**2 + s**3 / 2, t**3 / 6],
    }[interpolation]
    torch.testing.assert_close(
        node_weights(t, interpolation), torch.stack(expected, dim=1), rtol=0, atol=1e-15
    )


@given(interpolation=st.sampled_from(list(SPLINES)), resolution=resolutions, seed=seeds)
def test_a_level_in_one_dimension_is_scipys_spline(interpolation, resolution, seed):
    p = SPLINES[interpolation]
    made, x = level(1, resolution, interpolation, seed=seed), points(20, 1, seed)
    spline = BSpline(knots(resolution, p), made.table.detach().numpy(), p)
    np.testing.assert_allclose(made(x).detach(), spline(x[:, 0].clip(0, 1)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("interpolation", SPLINES)
@pytest.mark.parametrize(("d", "resolution"), [(2, 4), (2, 1), (3, 3)])
def test_a_level_is_a_tensor_product(interpolation, d, resolution):
    p = SPLINES[interpolation]
    made, x = level(d, resolution, interpolation), points(15, d)
    axes = [basis(x[:, axis].numpy(), resolution, p) for axis in range(d)]
    expected, side = np.zeros((len(x), 2)), resolution + p
    for node in product(range(side), repeat=d):
        row = made.table[sum(v * side**axis for axis, v in enumerate(node))].detach().numpy()
        weight = np.prod([axis[:, v] for axis, v in zip(axes, node, strict=True)], axis=0)
        expected += weight[:, None] * row
    np.testing.assert_allclose(made(x).detach(), expected, rtol=0, atol=1e-12)


@given(
    data=st.data(),
    interpolation=st.sampled_from(list(SPLINES)),
    d=dimensions,
    resolution=resolutions,
    seed=seeds,
)
def test_polynomials_up_to_the_degree_are_reproduced(data, interpolation, d, resolution, seed):
    """prod_i x_i^k_i has the coefficients of Marsden (1970): means of products of k of a node's inner knots.

    For k = 1 these are the Greville abscissae.
    """
    p = SPLINES[interpolation]
    powers = data.draw(st.lists(st.integers(0, p), min_size=d, max_size=d))
    inner = [knots(resolution, p)[v + 1 : v + 1 + p] for v in range(resolution + p)]
    axes = [np.array([np.mean([np.prod(c) for c in combinations(own, k)]) for own in inner]) for k in powers]
    made, x = level(d, resolution, interpolation, features=1), points(20, d, seed)
    coefficients = axes[0]
    for axis in axes[1:]:
        coefficients = np.multiply.outer(axis, coefficients)  # the first axis stays the fastest
    with torch.no_grad():
        made.table.copy_(torch.from_numpy(coefficients.reshape(-1, 1)))
    expected = (x.clip(0, 1) ** torch.tensor(powers)).prod(dim=1)
    torch.testing.assert_close(made(x)[:, 0].detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("interpolation", DEGREES)
def test_derivatives_are_continuous_up_to_the_kernels_order(interpolation):
    """One-sided derivatives at the borders between cells: the next one after the continuous ones jumps."""
    resolution, step = 8, 2.0**-40
    made, borders = level(1, resolution, interpolation, features=1), torch.arange(1, resolution) / resolution
    inside = borders + 0.3 / resolution  # tells how large a derivative is that vanishes at the borders
    x = torch.stack([borders.double() - step, borders.double() + step, inside]).requires_grad_()
    derivatives = [TableLookup.forward(made, x.view(-1, 1)).view(3, -1)]
    for _ in range(CONTINUOUS[interpolation] + 1):
        derivatives += torch.autograd.grad(derivatives[-1].sum(), x, create_graph=True)
    jumps = [float(((f[1] - f[0]).abs().max() / f.abs().max()).detach()) for f in derivatives]
    assert max(jumps[:-1]) < 1e-8
    assert jumps[-1] > 0.1


@pytest.mark.parametrize("interpolation", DEGREES)
@pytest.mark.parametrize("table_size", [None, 30])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_inputs_outside_are_clamped(interpolation, table_size, d):
    made, x = level(d, 5, interpolation, table_size=table_size), points(40, d)
    assert torch.equal(made(x), made(x.clamp(0, 1)))
    indices, _ = made.lookup(x)
    assert 0 <= int(indices.min()) <= int(indices.max()) < len(made.table)


@pytest.mark.parametrize("interpolation", ["quadratic", "cubic"])
@pytest.mark.parametrize("d", [2, 3])
def test_a_hashed_level_is_a_dense_one_whose_nodes_share_rows(interpolation, d):
    hashed, dense = (level(d, 6, interpolation, table_size=size) for size in (17, None))
    assert hashed.hashed
    x = points(60, d)
    rows, nodes = hashed.lookup(x)[0].flatten(), dense.lookup(x)[0].flatten()
    with torch.no_grad():
        dense.table[nodes] = hashed.table[rows]
    assert torch.equal(hashed(x), dense(x))


@pytest.mark.parametrize("interpolation", ["quadratic", "cubic"])
@pytest.mark.parametrize("table_size", [None, 7])
@pytest.mark.parametrize("d", [1, 2])
def test_gradients_by_differences(interpolation, table_size, d):
    made, x = level(d, 5 if d == 1 else 2, interpolation, table_size=table_size), points(6, d)
    table = made.table.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda table: functional_call(made, {"table": table}, (x,)), table)


@pytest.mark.parametrize("interpolation", ["quadratic", "cubic"])
@pytest.mark.parametrize("table_size", [None, 500])
def test_gradients_are_the_same_bits_each_time(interpolation, table_size):
    made = GridLevel(2, 40, 2, table_size, interpolation)
    x = torch.rand(5000, 2)  # so many that rows are shared
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # refuses operations that have no deterministic gradient
    try:
        one, two = (torch.autograd.grad((made(x) ** 2).sum(), made.table)[0] for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(before)
    assert torch.equal(one, two)


@pytest.mark.parametrize("interpolation", DEGREES)
@pytest.mark.parametrize("table_size", [None, 40])
def test_parameters_are_counted_before_they_are_made(interpolation, table_size):
    config = TrainConfig(
        encoding="multigrid", levels=3, growth=2.0, interpolation=interpolation, table_size=table_size
    )
    made = sum(parameter.numel() for parameter in build_model(config).parameters())
    assert _parameters(config) == made
