"""Fixed encodings and MLPs against loops written from their definitions."""

import math

import pytest
import torch
from torch import nn

from ntkspec.nets.encodings import AxisFourier, GaussianFourier, Identity
from ntkspec.nets.mlp import MLP, CoordinateNetwork, Sine


def points(d, n=7):
    return torch.rand(n, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_identity_returns_its_input(d):
    encoding = Identity(d)
    assert encoding.width == d
    assert torch.equal(encoding(points(d)), points(d))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_gaussian_fourier_by_the_definition(d):
    encoding = GaussianFourier(d, 5, 3.0, torch.Generator().manual_seed(1)).double()
    x, encoded = points(d), encoding(points(d))
    assert encoded.shape == (len(x), encoding.width) == (len(x), 10)
    for i in range(len(x)):
        for m in range(5):
            phase = 2 * math.pi * sum(float(encoding.frequencies[m, a] * x[i, a]) for a in range(d))
            assert float(encoded[i, m]) == pytest.approx(math.sin(phase), abs=1e-13)
            assert float(encoded[i, 5 + m]) == pytest.approx(math.cos(phase), abs=1e-13)


def test_gaussian_fourier_has_the_asked_deviation_and_no_parameters():
    encoding = GaussianFourier(3, 4000, 7.0, torch.Generator().manual_seed(0))
    assert float(encoding.frequencies.std()) == pytest.approx(7.0, rel=0.03)
    assert list(encoding.parameters()) == []
    assert "frequencies" in encoding.state_dict()
    again = GaussianFourier(3, 4000, 7.0, torch.Generator().manual_seed(0))
    assert torch.equal(encoding.frequencies, again.frequencies)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_axis_fourier_by_the_definition(d):
    octaves = 4
    encoding = AxisFourier(d, octaves).double()
    x, encoded = points(d), encoding(points(d))
    assert encoded.shape == (len(x), encoding.width) == (len(x), 2 * octaves * d)
    for i in range(len(x)):
        for level in range(octaves):
            for axis in range(d):
                phase = 2**level * math.pi * float(x[i, axis])
                column = level * d + axis
                assert float(encoded[i, column]) == pytest.approx(math.sin(phase), abs=1e-13)
                assert float(encoded[i, octaves * d + column]) == pytest.approx(math.cos(phase), abs=1e-13)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh", "sine"])
@pytest.mark.parametrize("depth", [1, 3])
def test_mlp_by_the_definition(activation, depth):
    functions = {
        "relu": lambda z: z * (z > 0),
        "silu": lambda z: z / (1 + torch.exp(-z)),
        "gelu": lambda z: z * (1 + torch.erf(z / math.sqrt(2))) / 2,
        "tanh": torch.tanh,
        "sine": lambda z: torch.sin(7.0 * z),
    }
    mlp = MLP(2, depth, 6, 3, activation, omega=7.0).double()
    h = x = points(2)
    for layer in range(1, depth + 1):
        linear = mlp.get_submodule(f"hidden_{layer}")
        h = functions[activation](h @ linear.weight.T + linear.bias)
    expected = h @ mlp.output.weight.T + mlp.output.bias
    torch.testing.assert_close(mlp(x), expected, rtol=1e-12, atol=1e-12)


def test_mlp_has_distinct_plain_linear_layers():
    linears = [module for module in MLP(4, 3, 8, 2).modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linears] == [(4, 8), (8, 8), (8, 8), (8, 2)]
    assert all(type(layer) is nn.Linear for layer in linears)


def test_sine_layers_start_within_sirens_bounds_and_fill_them():
    torch.manual_seed(0)
    mlp = MLP(2, 2, 64, 1, "sine", omega=30.0)
    bounds = [1 / 2, math.sqrt(6 / 64) / 30, math.sqrt(6 / 64) / 30]
    layers = [module for module in mlp if isinstance(module, nn.Linear)]
    for layer, bound in zip(layers, bounds, strict=True):
        assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
    assert Sine(2.0)(torch.tensor(0.5)) == torch.sin(torch.tensor(1.0))


def test_coordinate_network_joins_encoding_and_mlp():
    encoding = AxisFourier(2, 3)
    network = CoordinateNetwork(encoding, MLP(encoding.width, 1, 4, 3))
    assert [name for name, _ in network.named_children()] == ["encoding", "mlp"]
    assert network(torch.rand(5, 2)).shape == (5, 3)
