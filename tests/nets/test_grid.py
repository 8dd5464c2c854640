"""Grid levels: nodes, hashes and weights from the definition; the fast route against the lookup."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from ntkspec.nets.grid import PRIMES, GridLevel, Multigrid, level_resolutions
from ntkspec.nets.lookup import TableLookup


def level(d, resolution, features=2, table_size=None, interpolation="linear", dtype=torch.float64):
    made = GridLevel(d, resolution, features, table_size, interpolation, torch.Generator().manual_seed(0))
    with torch.no_grad():  # features of size 1, so that differences show
        made.table.copy_(torch.randn(made.table.shape, generator=torch.Generator().manual_seed(1)))
    return made.to(dtype)


DEGREES = {"linear": 1, "smooth": 1, "quadratic": 2, "cubic": 3}


def naive_axis(x, resolution, interpolation):
    """(node, weight) of every node that reaches into the cell of x, on one axis."""
    position = min(max(x, 0.0), 1.0) * resolution
    cell = min(int(position), resolution - 1)
    if interpolation in ("linear", "smooth"):
        t = position - cell
        t = t * t * (3 - 2 * t) if interpolation == "smooth" else t
        return [(cell, 1 - t), (cell + 1, t)]
    p = DEGREES[interpolation]
    splines = {v: BSpline.basis_element(range(v - p, v + 2)) for v in range(cell, cell + p + 1)}
    return [(v, float(spline(position))) for v, spline in splines.items()]


def naive_row(point, d, resolution, table_size, interpolation):
    """{row of the table: weight} of one point, with Python's own numbers."""
    side = resolution + DEGREES[interpolation]
    row = {}
    for choice in product(*(naive_axis(x, resolution, interpolation) for x in point)):
        node, weight = [v for v, _ in choice], 1.0
        for _, factor in choice:
            weight *= factor
        if table_size is not None and side**d > table_size:
            index = 0
            for coordinate, prime in zip(node, PRIMES, strict=False):
                index ^= coordinate * prime
            index %= table_size
        else:
            index = sum(coordinate * side**axis for axis, coordinate in enumerate(node))
        row[index] = row.get(index, 0.0) + weight
    return row


@pytest.mark.parametrize("interpolation", DEGREES)
@pytest.mark.parametrize(
    ("d", "resolution", "table_size"),
    [
        (1, 9, None),
        (2, 5, None),
        (3, 3, None),
        (1, 9, 7),
        (2, 50, 16),
        (2, 50, 19),
        (3, 1000, 64),
        (3, 2, 27),
    ],
)
def test_lookup_by_the_definition(d, resolution, table_size, interpolation):
    made = level(d, resolution, 3, table_size, interpolation)
    random = torch.rand(20, d, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    edges = torch.tensor(list(product((0.0, 0.5, 1.0, -0.2, 1.7), repeat=d)), dtype=torch.float64)
    x = torch.cat([random, edges])
    indices, weights = made.lookup(x)
    assert indices.dtype == torch.int64
    assert indices.shape == weights.shape == (len(x), (DEGREES[interpolation] + 1) ** d)
    for i in range(len(x)):
        row = {}
        for index, weight in zip(indices[i].tolist(), weights[i].tolist(), strict=True):
            row[index] = row.get(index, 0.0) + weight
        assert row == pytest.approx(
            naive_row(x[i].tolist(), d, resolution, table_size, interpolation), abs=1e-12
        )


def test_a_level_is_hashed_only_where_its_nodes_exceed_the_table():
    assert level(2, 7, table_size=64).table.shape == (64, 2)
    assert not level(2, 7, table_size=64).hashed
    assert level(2, 8, table_size=64).hashed
    assert level(2, 8, table_size=64).table.shape == (64, 2)
    assert level(2, 8).table.shape == (81, 2)
    assert not level(2, 6, table_size=64, interpolation="quadratic").hashed
    assert level(2, 6, table_size=64, interpolation="cubic").hashed
    assert level(3, 6, interpolation="cubic").table.shape == (729, 2)


@settings(max_examples=60, deadline=None)
@given(
    d=st.integers(1, 3),
    resolution=st.integers(1, 40),
    interpolation=st.sampled_from(["linear", "smooth"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    coordinates=st.lists(
        st.one_of(st.floats(-0.5, 1.5), st.sampled_from([0.0, 1.0, 0.5])), min_size=3, max_size=30
    ),
)
def test_grid_sample_agrees_with_the_lookup(d, resolution, interpolation, dtype, coordinates):
    made = level(d, resolution, 2, None, interpolation, dtype)
    x = torch.tensor(coordinates[: len(coordinates) // d * d], dtype=dtype).view(-1, d)
    fast, slow = made(x), TableLookup.forward(made, x)
    tolerance = 16 * d * resolution * torch.finfo(dtype).eps * float(made.table.detach().abs().max())
    assert (fast - slow).abs().max() <= tolerance


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("interpolation", ["linear", "smooth"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nodes_return_their_own_features(d, interpolation, dtype):
    resolution = 4  # of which the coordinates of all nodes are exact
    made = level(d, resolution, 2, None, interpolation, dtype)
    axis = torch.arange(resolution + 1, dtype=dtype) / resolution
    nodes = torch.cartesian_prod(*[axis] * d).view(-1, d).flip(1)  # the first axis fastest
    for features in (made(nodes), TableLookup.forward(made, nodes)):
        assert torch.equal(features, made.table)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_gradients_of_both_routes_agree(d):
    made = level(d, 6)
    x = torch.rand(50, d, dtype=torch.float64)
    cotangent = torch.randn(50, 2, dtype=torch.float64)
    (fast,) = torch.autograd.grad((made(x) * cotangent).sum(), made.table)
    (slow,) = torch.autograd.grad((TableLookup.forward(made, x) * cotangent).sum(), made.table)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)


def test_a_bad_subclass_of_the_lookup_cannot_be_made():
    with pytest.raises(TypeError):
        TableLookup()


@pytest.mark.parametrize("table_size", [None, 32])
def test_multigrid_is_its_levels_and_then_x(table_size):
    encoding = Multigrid(2, 3, 4, 2.0, features=3, table_size=table_size)
    x = torch.rand(6, 2)
    encoded = encoding(x)
    assert encoded.shape == (6, encoding.width) == (6, 11)
    for i, one in enumerate(encoding.levels):
        assert torch.equal(encoded[:, 3 * i : 3 * i + 3], one(x))
        assert 0 < float(one.table.detach().abs().max()) <= 1e-4
        assert [name for name, _ in one.named_parameters()] == ["table"]
    assert torch.equal(encoded[:, 9:], x)
    assert [one.hashed for one in encoding.levels] == (
        [False] * 3 if table_size is None else [False, True, True]
    )


def test_the_generator_decides_the_features():
    one, two, other = (
        Multigrid(2, 2, 4, 2.0, generator=torch.Generator().manual_seed(seed)).levels[1].table
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@settings(max_examples=200, deadline=None)
@given(base=st.integers(1, 64), finest=st.integers(1, 5000), levels=st.integers(2, 16))
def test_growth_from_the_finest_level_ends_there(base, finest, levels):
    finest = max(base, finest)
    resolutions = level_resolutions(levels, base, (finest / base) ** (1 / (levels - 1)))
    assert resolutions[0] == base
    assert resolutions[-1] == finest
    assert list(resolutions) == sorted(resolutions)
