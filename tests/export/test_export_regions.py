"""Activation regions: samples share one exactly where every activation is on the same piece."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from export_zoo import ZOO, Net, build, inputs
from numpy.typing import NDArray
from torch import Tensor, nn

from ntkspec import validate
from ntkspec.export import RunExporter, jacobian
from ntkspec.nets.encodings import AxisFourier, GaussianFourier, Identity
from ntkspec.nets.grid import Multigrid
from ntkspec.nets.mlp import MLP, CoordinateNetwork
from ntkspec.store import open_run

torch.set_num_threads(1)
D, WIDTH = 2, 6

ENCODINGS: dict[str, Callable[[], nn.Module]] = {
    "identity": lambda: Identity(D),
    "gaussian": lambda: GaussianFourier(D, 2, 1.0),
    "axis": lambda: AxisFourier(D, 1),
    "multigrid": lambda: Multigrid(D, levels=2, base=2, growth=2.0, features=1),
    "hashed": lambda: Multigrid(D, levels=2, base=3, growth=2.0, features=1, table_size=11),
    "cubic": lambda: Multigrid(D, levels=2, base=2, growth=2.0, features=1, interpolation="cubic"),
}

# name -> (activation as a model writes it, the piece that each number is on)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "torch.relu": (torch.relu, lambda z: z > 0),
    "F.relu": (F.relu, lambda z: z > 0),
    "method": (lambda z: z.relu(), lambda z: z > 0),
    "in place": (lambda z: F.relu(z, inplace=True), lambda z: z > 0),
    "relu_": (lambda z: z.relu_(), lambda z: z > 0),
    "leaky": (lambda z: F.leaky_relu(z, 0.2), lambda z: z > 0),
    "prelu": (lambda z: F.prelu(z, z.new_full((WIDTH,), 0.3)), lambda z: z > 0),
    "threshold": (lambda z: F.threshold(z, 0.1, 0.1), lambda z: z > 0.1),
    "relu6": (F.relu6, lambda z: (z > 0) + 0 * (z >= 6)),
    "hardtanh": (lambda z: F.hardtanh(z, -0.2, 0.3), lambda z: (z > -0.2).astype(int) + (z >= 0.3)),
    "clamp": (lambda z: z.clamp(-0.2, 0.3), lambda z: (z >= -0.2).astype(int) + (z > 0.3)),
    "clamp_min": (lambda z: z.clamp(min=0.1), lambda z: z >= 0.1),
    "clamp_max": (lambda z: torch.clamp(z, max=0.1), lambda z: z > 0.1),
    "abs": (torch.abs, np.sign),
    "maximum": (lambda z: torch.maximum(z, z.flip(1)), lambda z: np.sign(z - z[::-1])),
    "where": (lambda z: torch.where(z > 0, z, 0.5 * z), lambda z: z > 0),
    "times a mask": (lambda z: z * (z > 0), lambda z: z > 0),
    "written out": (lambda z: (z + z.abs()) / 2, np.sign),
    "shifted": (lambda z: 1 - 2 * F.relu(z - 0.1).neg(), lambda z: z - 0.1 > 0),
    "far off and back": (lambda z: F.relu(z + 1e3 - 1e3), lambda z: z > 0),
    "largest of two": (
        lambda z: z.view(-1, 2, 3).amax(1).repeat(1, 2),
        lambda z: z.reshape(2, 3) == z.reshape(2, 3).max(0),
    ),
    "least of two": (
        lambda z: z.view(-1, 2, 3).amin(1).repeat(1, 2),
        lambda z: z.reshape(2, 3) == z.reshape(2, 3).min(0),
    ),
}

# Behind a Linear layer: no regions, whichever reason there is.
NOT_PIECEWISE_LINEAR: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "tanh": lambda m, x: m.last(torch.tanh(m.first(x))),
    "gelu": lambda m, x: m.last(F.gelu(m.first(x))),
    "softmax": lambda m, x: m.last(F.softmax(m.first(x), 1)),
    "used twice": lambda m, x: m.last(torch.relu(m.first(x)) + m.first(x)),
    "layer norm": lambda m, x: m.last(F.layer_norm(m.first(x), (WIDTH,))),
    "product": lambda m, x: m.last(m.first(x) * m.head(x)),
    "square": lambda m, x: m.last(m.first(x) ** 2),
    "quotient": lambda m, x: m.last(1 / (3 + m.first(x).relu())),
    "rounded": lambda m, x: m.last(m.first(x).round()),
    "integer division": lambda m, x: m.last(torch.div(m.first(x), 0.1, rounding_mode="floor")),
    "lower precision": lambda m, x: m.last(m.first(x).float().relu().double()),
    "gate by the sample": lambda m, x: m.last(m.first(x).relu() * torch.sin(x[:, :1])),
    "skip around the encoding": lambda m, x: m.last(m.first(torch.sin(x)).relu() + x.sum(1, keepdim=True)),
    "two encodings": lambda m, x: m.last(m.first(torch.sin(x)) + m.head(torch.cos(x))),
    "part of the encoding": lambda m, x: m.last(m.first(h := torch.sin(x)).relu() + h[:, :1]),
    "samples in another order": lambda m, x: m.last(m.first(x).flip(0).relu().flip(0)),
    "samples last": lambda m, x: m.last(m.first(x).T.relu().T),
    "many rows a sample": lambda m, x: m.last(m.first(torch.stack([x, x**2], 1)).relu().sum(1)),
    "decided by a number": lambda m, x: m.last((h := m.first(x)).relu() * (2 if h.max() > -9 else 1)),
    "decided by a pattern": lambda m, x: m.last((h := m.first(x)).relu() * (2 if (h > -9).any() else 1)),
    "own derivative": lambda m, x: m.last(Surrogate.apply(m.first(x))),
    "caught": lambda m, x: m.last(_caught(m.first(x)).relu()),
    "no product": lambda m, x: torch.relu(x[:, :1] * m.scale),
    "trainable encoding": lambda m, x: m.last(torch.relu(m.first(torch.sin(x * m.scale)))),
}


class Surrogate(torch.autograd.Function):
    """A ReLU, with the derivative of something else."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.relu()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * torch.sigmoid(x)


def _caught(h: Tensor) -> Tensor:
    try:
        return torch.sin(h)
    except Exception:
        return h


def _net(forward: Callable[[Any, Tensor], Tensor], c: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = Net(forward, c, WIDTH)
        net.head, net.wide = nn.Linear(D, WIDTH), nn.Linear(WIDTH + D, 1)
        net.weight, net.scale = nn.Parameter(torch.randn(D, c)), nn.Parameter(torch.ones(D))
    return net


def _network(encoding: str, c: int = 2) -> CoordinateNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        front = ENCODINGS[encoding]()
        if isinstance(front, Multigrid):
            for level in front.levels:
                nn.init.normal_(level.table)
        return CoordinateNetwork(front, MLP(front.width, 2, WIDTH, c, "relu"))


def _in_order(patterns: list[tuple[Any, ...]]) -> list[int]:
    """0, 1, ... in order of first appearance."""
    return [list(dict.fromkeys(patterns)).index(pattern) for pattern in patterns]


def _numbers(layer: nn.Linear) -> tuple[NDArray[Any], NDArray[Any]]:
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def _by_hand(network: CoordinateNetwork, x: Tensor) -> list[int]:
    """Regions of a ReLU network by a loop over samples, layers and units."""
    e = network.double().encoding(x).detach().numpy()
    layers = [_numbers(layer) for layer in (network.mlp.hidden_1, network.mlp.hidden_2)]
    patterns = []
    for h in e:
        pattern = []
        for weight, bias in layers:
            z = [sum(weight[u, k] * h[k] for k in range(len(h))) + bias[u] for u in range(len(bias))]
            pattern += [number > 0 for number in z]
            h = [max(number, 0) for number in z]
        patterns.append(tuple(pattern))
    return _in_order(patterns)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_regions_of_a_relu_network_are_those_counted_by_hand(
    tmp_path: Path, encoding: str, precision: Any
) -> None:
    network, x = _network(encoding), inputs(150)
    with RunExporter(tmp_path / "run.h5", inputs=x, precision=precision) as run:
        count = run.snapshot(network, step=0, label="init").regions
    with open_run(tmp_path / "run.h5") as opened:
        regions = opened.snapshot("init").regions
    expected = _by_hand(network, x)
    assert regions.dtype == np.int64
    assert regions.tolist() == expected
    assert count == max(expected) + 1 > 5
    assert validate.main([str(tmp_path / "run.h5"), "-q"]) == 0


@pytest.mark.parametrize("encoding", ["identity", "hashed"])
def test_chunks_continue_the_numbers(tmp_path: Path, encoding: str) -> None:
    network, x = _network(encoding), inputs(16)
    whole = jacobian(network, x).regions
    assert whole is not None
    assert whole.max() > 1
    for chunk in (1, 7, 15):
        np.testing.assert_array_equal(jacobian(network, x, chunk=chunk).regions, whole)
    with RunExporter(tmp_path / "run.h5", inputs=x, memory=1e-5) as run:
        run.snapshot(network, step=0, label="init")
        run.snapshot(network, step=1, label="end")
    with open_run(tmp_path / "run.h5") as opened:
        for name in ("init", "end"):
            np.testing.assert_array_equal(opened.snapshot(name).regions, whole)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_region_holds_width_plus_one_independent_rows(encoding: str) -> None:
    """There the network's Jacobian is affine in e (Montufar et al. 2014)."""
    network, x = _network(encoding, c=1), inputs(300)
    width = network.mlp.hidden_1.in_features
    jac = jacobian(network, x)
    own = [block.name for block in jac if block.role == "network"]
    rows = np.concatenate([jac[name].to_dense() for name in own], axis=2)[:, 0]
    assert jac.regions is not None
    counts = np.bincount(jac.regions)
    assert (counts > width + 1).any()
    for region in np.flatnonzero(counts > width + 1):
        s = np.linalg.svd(rows[jac.regions == region], compute_uv=False)
        assert (s > 1e-9 * s[0]).sum() <= width + 1


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_however_they_are_written(name: str) -> None:
    activation, piece = ACTIVATIONS[name]
    net, x = _net(lambda m, x: m.last(activation(m.first(x)))), inputs(60) * 4 - 2
    weight, bias = _numbers(net.first)
    expected = _in_order([tuple(np.ravel(piece(weight @ row + bias))) for row in x.numpy()])
    assert max(expected) > 2
    assert jacobian(net, x).regions.tolist() == expected


AT_ZERO: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "abs": torch.abs,
    "leaky": lambda z: F.leaky_relu(z, 0.2),
    "prelu": lambda z: F.prelu(z, z.new_full((1,), 0.3)),
    "threshold": lambda z: F.threshold(z, 0.0, 0.0),
    "hardtanh, low": lambda z: F.hardtanh(z, 0.0, 1.0),
    "hardtanh, high": lambda z: F.hardtanh(z, -1.0, 0.0),
    "clamp, low": lambda z: z.clamp(0.0, 1.0),
    "clamp, high": lambda z: z.clamp(-1.0, 0.0),
    "clamp, no high": lambda z: z.clamp(min=0.0),
    "clamp_min": lambda z: torch.clamp_min(z, 0.0),
    "clamp, no low": lambda z: z.clamp(max=0.0),
    "clamp_max": lambda z: torch.clamp_max(z, 0.0),
    "maximum": lambda z: torch.maximum(z, -z),
    "minimum": lambda z: torch.minimum(z, -z),
}


@pytest.mark.parametrize("name", AT_ZERO)
def test_kinks_are_told_as_torch_differentiates(name: str) -> None:
    """ReLU takes its left slope at 0; of |x| the derivative there is 0, neither of its slopes."""
    x = torch.tensor([[-0.5], [0.0], [0.5]], dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(AT_ZERO[name](x).sum(), x)
    net = _net(lambda m, x: m.last(AT_ZERO[name](m.first(x)).expand(-1, WIDTH)))
    net.first = nn.Linear(1, 1, dtype=torch.float64)
    nn.init.constant_(net.first.weight, 1.0)
    nn.init.constant_(net.first.bias, 0.0)
    assert jacobian(net, x.detach()).regions.tolist() == _in_order(
        [(each,) for each in slopes[:, 0].tolist()]
    )


PIECEWISE_LINEAR: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "skip": lambda m, x: m.last((h := m.first(x)).relu() + m.mid(h).relu()),
    "skip to the encoding": lambda m, x: m.last(m.first(h := torch.sin(x)).relu() + m.head(h)),
    "encoding beside": lambda m, x: m.wide(torch.cat([m.first(h := torch.sin(x)).relu(), h], dim=1)),
    "parts and sums": lambda m, x: m.last(m.first(x).view(-1, 2, 3).relu().flip(1).flatten(1)[:, :: -1 + 2]),
    "trainable scale behind": lambda m, x: m.last(m.scale.sum() * m.first(x).relu()),
    "written by halves": lambda m, x: m.last(_halves(m.first(x))),
    "maxout": lambda m, x: m.last(m.first(x).view(-1, 2, 3).amax(1).repeat(1, 2)),
    "mean": lambda m, x: m.last((h := m.first(x)).relu() - h.mean(1, keepdim=True)),
}


def _halves(h: Tensor) -> Tensor:
    written = h.clone()
    written[:, :3] = h[:, :3].relu()
    written[:, 3:].clamp_(min=0.1)
    return written


@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_the_jacobian_is_affine_in_every_region(name: str) -> None:
    net, x = _net(PIECEWISE_LINEAR[name]), inputs(120) * 4 - 2
    jac = jacobian(net, x)
    assert jac.regions is not None
    counts = np.bincount(jac.regions)
    assert len(counts) > 1
    assert (counts > D + 1).any()
    rows = jac.to_dense()[:, 0]
    for region in np.flatnonzero(counts > D + 1):
        s = np.linalg.svd(rows[jac.regions == region], compute_uv=False)
        assert (s > 1e-9 * s[0]).sum() <= D + 1


@pytest.mark.parametrize("name", NOT_PIECEWISE_LINEAR)
def test_no_regions(name: str) -> None:
    assert jacobian(_net(NOT_PIECEWISE_LINEAR[name]), inputs()).regions is None


@pytest.mark.parametrize("name", ["tanh", "softplus", "sine"])
def test_a_file_without_regions(tmp_path: Path, name: str) -> None:
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run:
        assert run.snapshot(build(name), step=0, label="init").regions is None
    with h5py.File(tmp_path / "run.h5") as file:
        assert "regions" not in file["snapshots/init"]


def test_of_the_zoo_only_piecewise_linear_models_have_regions() -> None:
    with_regions = {name for name in ZOO if jacobian(build(name), inputs()).regions is not None}
    activations = {"relu", "relu in place", "leaky relu in place", "prelu"}
    assert with_regions == activations | {"single linear", "plain tensor constants", "grid used twice"}


def test_an_affine_network_is_one_region() -> None:
    net = _net(lambda m, x: m.last(m.mid(m.first(x)) - 1))
    assert jacobian(net, inputs(), chunk=5).regions.tolist() == [0] * 23


def test_a_trainable_encoding_in_the_role_of_a_grid_is_free() -> None:
    net = _net(NOT_PIECEWISE_LINEAR["trainable encoding"])
    assert jacobian(net, inputs(), roles={"scale": "grid"}).regions is not None
    table = _network("multigrid")
    assert jacobian(table, inputs(), roles={"encoding": "features"}).regions is None


@pytest.mark.parametrize(
    "late", [lambda h: h.relu() + 0 * torch.tanh(h), lambda h: h.relu().relu()], ids=["tanh", "twice"]
)
def test_a_later_chunk_that_differs_takes_the_regions_away(
    tmp_path: Path, late: Callable[[Tensor], Tensor]
) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last(late(h) if m.rare and bool((x[:, 0] == 0.75).any()) else h.relu())

    net, x = _net(forward), inputs()
    x[20, 0] = 0.75  # which no probe sees
    for rare in (False, True):
        net.rare = rare
        path = tmp_path / f"{rare}.h5"
        with RunExporter(path, inputs=x, memory=1e-5) as run:
            count = run.snapshot(net, step=0, label="init").regions
        with open_run(path) as opened:
            snapshot = opened.snapshot("init")
            assert (snapshot.regions is None) == (count is None) == rare
            assert len(snapshot.outputs) == 23
