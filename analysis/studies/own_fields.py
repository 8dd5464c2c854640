"""Build neural fields of our own, each by the operation that its name tells."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import torch
from public_fields import FILLED, Built, fill, mlp
from torch import Tensor, nn
from torch.nn import functional

PRIMES = (1, 2654435761, 805459861)


class HashGrid(nn.Module):
    """Interpolate tables at the hashed corners of cells, level by level, before an MLP of 2 x 64."""

    def __init__(self, levels: int, bits: int, outputs: int, dimensions: int, indexed: bool) -> None:
        super().__init__()
        self.bits, self.sides = bits, [int(16 * 1.38**level) for level in range(levels)]
        self.corners = list(product((0, 1), repeat=dimensions))
        if indexed:
            self.table = nn.Parameter(torch.empty(levels << bits, 2))
        else:
            self.tables = nn.ModuleList(nn.Embedding(1 << bits, 2) for _ in range(levels))
        fill(*self.parameters())
        self.net = mlp(2 * levels, 64, 64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, d) in the unit box to (n, c)."""
        features = []
        for level, side in enumerate(self.sides):
            cell = (x * side).floor()
            part = x * side - cell
            found = torch.zeros(len(x), 2, dtype=x.dtype)
            for corner in self.corners:
                ahead = torch.tensor(corner)
                rows = self._rows(cell.long() + ahead)
                weight = torch.where(ahead.bool(), part, 1 - part).prod(-1, keepdim=True)
                found = found + weight * self._read(level, rows)
            features.append(found)
        out: Tensor = self.net(torch.cat(features, -1))
        return out

    def _rows(self, spot: Tensor) -> Tensor:
        rows = torch.zeros_like(spot[:, 0])
        for axis in range(spot.shape[1]):
            rows = rows ^ spot[:, axis] * PRIMES[axis]
        return rows & ((1 << self.bits) - 1)

    def _read(self, level: int, rows: Tensor) -> Tensor:
        if hasattr(self, "table"):
            return self.table[rows + (level << self.bits)]
        found: Tensor = self.tables[level](rows)
        return found


class Sampled(nn.Module):
    """Multiply features of grids, each read by grid_sample at some of the axes, before an MLP of 2 x 64."""

    def __init__(self, axes: list[list[int]], side: int, features: int) -> None:
        super().__init__()
        self.axes = axes
        shapes = [[1, features, *[side] * len(some)] for some in axes]
        self.grids = nn.ParameterList(torch.rand(shape) * 0.4 + 0.1 for shape in shapes)
        self.net = mlp(features, 64, 64, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3) in [-1, 1] to (n, 4)."""
        features = torch.ones((), dtype=x.dtype)
        for grid, some in zip(self.grids, self.axes, strict=True):
            at = x[:, some].view(1, -1, *[1] * (len(some) - 1), len(some))
            features = features * functional.grid_sample(grid, at, align_corners=True)[0].flatten(1).T
        out: Tensor = self.net(features)
        return out


class Siren(nn.Module):
    """Apply layers of sines whose products are written in one of three ways."""

    def __init__(self, way: str, width: int) -> None:
        super().__init__()
        widths = (2, *[width] * 5, 3)
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        for place, layer in enumerate(layers):
            bound = (6 / layer.in_features) ** 0.5 / 30 if place else 0.5
            nn.init.uniform_(layer.weight, -bound, bound)
        self.way = way
        if way == "nn.Linear":
            self.layers = nn.ModuleList(layers)
        else:
            weights = [layer.weight.detach() for layer in layers]
            turned = [weight if way == "F.linear" else weight.T.contiguous() for weight in weights]
            self.weights = nn.ParameterList(turned)
            self.biases = nn.ParameterList(layer.bias.detach() for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 2) to (n, 3)."""
        for place in range(5):
            x = torch.sin(30 * self._layer(place, x))
        return self._layer(5, x)

    def _layer(self, place: int, x: Tensor) -> Tensor:
        if self.way == "nn.Linear":
            out: Tensor = self.layers[place](x)
            return out
        weight, bias = self.weights[place], self.biases[place]
        return functional.linear(x, weight, bias) if self.way == "F.linear" else x @ weight + bias


def hash_grid(outputs: int, indexed: bool) -> Callable[[Path, bool], Built]:
    """Build a hash grid by nn.Embedding or by one indexed table."""

    def build(_: Path, small: bool) -> Built:
        levels, bits = (2, 6) if small else (8, 14) if indexed else (16, 19)
        model = HashGrid(levels, bits, outputs, 3, indexed)
        operation = "one table, indexed" if indexed else "nn.Embedding"
        size = f"{levels} x 2^{bits} x 2, 2 x 64"
        return Built(model, operation, size, low=0.0, start=FILLED)

    return build


def siren(way: str) -> Callable[[Path, bool], Built]:
    """Build a SIREN of 5 x 256."""

    def build(_: Path, small: bool) -> Built:
        width = 8 if small else 256
        return Built(Siren(way, width), way, f"5 x {width}", 2)

    return build


def planes(_: Path, small: bool) -> Built:
    """Build three planes of 512^2 x 32."""
    side = 8 if small else 512
    model = Sampled([[0, 1], [0, 2], [1, 2]], side, 32)
    return Built(model, "grid_sample 2-D, products", f"3 x {side}^2 x 32, 2 x 64")


def volume(_: Path, small: bool) -> Built:
    """Build a volume of 160^3 x 12."""
    side = 6 if small else 160
    return Built(Sampled([[0, 1, 2]], side, 12), "grid_sample 3-D", f"{side}^3 x 12, 2 x 64")


MODELS: dict[str, Callable[[Path, bool], Built]] = {
    "own_hash_1": hash_grid(1, indexed=False),
    "own_hash_3": hash_grid(3, indexed=False),
    "own_hash_indexed": hash_grid(3, indexed=True),
    "own_planes": planes,
    "own_volume": volume,
    "own_siren_functional": siren("F.linear"),
    "own_siren_matmul": siren("x @ w + b"),
    "own_siren_linear": siren("nn.Linear"),
}
