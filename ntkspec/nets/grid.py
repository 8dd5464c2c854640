"""Multigrid encodings: features at the nodes of nested grids, interpolated (Mueller et al. 2022).

A level of N cells an axis and degree p is a tensor-product spline on [0, 1]^d. Its features are the
coefficients of the (N + p)^d uniform B-splines (de Boor 1978), here called nodes: node v reaches into the
cells v - p, ..., v of every axis, so that with p = 1 the nodes are the cells' corners. A dense level keeps a
row of its table for every node, the first axis fastest. A level with more nodes than `table_size` is hashed:
node v has the row

    xor_i (v_i * prime_i)  mod  table_size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Literal

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.grid"):
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

from ntkspec.nets.config import DEGREES
from ntkspec.nets.lookup import TableLookup

Interpolation = Literal["linear", "smooth", "quadratic", "cubic"]

PRIMES = (1, 2654435761, 805459861)  # Mueller et al. 2022, section 3
INITIAL_RANGE = 1e-4  # features start uniform in +- this; the same source


def level_resolutions(levels: int, base: int, growth: float) -> tuple[int, ...]:
    """Return the cells an axis of every level: floor(base * growth^l).

    A product that falls short of an integer only by rounding counts as that integer, so that a growth of
    (finest / base)^(1 / (levels - 1)) ends at finest.

    >>> level_resolutions(4, 16, 2.0)
    (16, 32, 64, 128)
    """
    return tuple(math.floor(base * growth**level * (1 + 1e-12)) for level in range(levels))


def node_weights(t: Tensor, interpolation: Interpolation) -> Tensor:
    """Return the weights of the p + 1 nodes that reach into a cell, on one axis.

    They are nonnegative and add up to one, by the recurrence of Cox and de Boor on uniform knots (de Boor
    1978, chapter X), which starts from N_0[0] = 1:

        N_p[j] = (t + p - j) / p  N_{p-1}[j - 1]  +  (j + 1 - t) / p  N_{p-1}[j].

    "linear", "quadratic" and "cubic" have p = 1, 2, 3 and p - 1 continuous derivatives. "smooth" is linear in
    3t^2 - 2t^3, with one continuous derivative, zero at the nodes.

    Args:
        t: positions in the cell, from 0 to 1; any shape and float type.
        interpolation: the kernel.

    Returns:
        (*t.shape, p + 1), of t's type; the lowest node first.

    >>> node_weights(torch.tensor([0.0, 0.5]), "quadratic")
    tensor([[0.5000, 0.5000, 0.0000],
            [0.1250, 0.7500, 0.1250]])
    """
    if interpolation == "smooth":
        t = t * t * (3 - 2 * t)
    weights = [torch.ones_like(t)]
    for p in range(1, DEGREES[interpolation] + 1):
        up = [(t + (p - 1 - j)) / p * weight for j, weight in enumerate(weights)]  # to j + 1
        stay = [(j + 1 - t) / p * weight for j, weight in enumerate(weights)]
        weights = [stay[0], *map(torch.add, up[:-1], stay[1:]), up[-1]]
    return torch.stack(weights, dim=-1)


class GridLevel(TableLookup):
    """One level of a multigrid.

    Args:
        d: input dimension, 1, 2 or 3.
        resolution: cells an axis.
        features: F, features of a node.
        table_size: rows that the table may have; None: as many as there are nodes.
        interpolation: the kernel, see `node_weights`; "quadratic" and "cubic" smooth rather than interpolate.
        generator: draws the initial features; None: torch's global one.
    """

    strides: Tensor  # (d,) int64: strides of the nodes if dense, primes if hashed

    def __init__(
        self,
        d: int,
        resolution: int,
        features: int,
        table_size: int | None = None,
        interpolation: Interpolation = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.d, self.resolution, self.interpolation = d, resolution, interpolation
        self.degree = DEGREES[interpolation]
        self.side = resolution + self.degree  # nodes an axis
        nodes = self.side**d
        self.hashed = table_size is not None and nodes > table_size
        rows = table_size if self.hashed and table_size is not None else nodes
        table = torch.empty(rows, features).uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=generator)
        self.table = nn.Parameter(table)
        strides = PRIMES[:d] if self.hashed else [self.side**axis for axis in range(d)]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)

    @property
    def features(self) -> int:
        """Return F."""
        return self.table.shape[1]

    def lookup(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of the nodes that reach into the inputs' cells, and weights: both (n, (p + 1)^d)."""
        cell, weights = self._position(x)
        reach = torch.arange(self.degree + 1, device=x.device)
        scaled = (cell.long()[:, :, None] + reach) * self.strides[:, None]  # (n, d, p + 1)
        if self.hashed:
            indices = _over_axes(torch.bitwise_xor, scaled) % self.table.shape[0]
        else:
            indices = _over_axes(torch.add, scaled)
        return indices, _over_axes(torch.mul, weights)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (n, F) at the inputs `x` (n, d).

        A dense level of degree 1 uses `grid_sample`, which is faster than the gathers of the lookup, except
        where deterministic algorithms are asked for and its gradient is added up in any order, as on a GPU.
        """
        ordered = x.device.type == "cpu" or not torch.are_deterministic_algorithms_enabled()
        return self._sample(x) if ordered and not self.hashed and self.degree == 1 else super().forward(x)

    def _position(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cell (n, d) of each input, and the weights (n, d, p + 1) of its nodes on every axis."""
        position = x.clamp(0, 1) * self.resolution
        cell = position.floor().clamp(max=self.resolution - 1)
        return cell, node_weights(position - cell, self.interpolation)

    def _sample(self, x: Tensor) -> Tensor:
        """Interpolate a dense level by `grid_sample`, as an image (of height 1 for d = 1) or a volume."""
        if self.interpolation == "smooth":
            cell, weights = self._position(x)
            grid = (cell + weights[..., 1]) * (2 / self.resolution) - 1
        else:
            grid = x.clamp(0, 1) * 2 - 1
        side, n = self.side, x.shape[0]
        if self.d == 1:
            grid = torch.cat([grid, torch.zeros_like(grid)], dim=1)
        image = self.table.view(*[1, side] if self.d == 1 else [side] * self.d, -1).movedim(-1, 0)
        points = grid.view(1, *[1] * (image.dim() - 2), n, image.dim() - 1)
        sampled = F.grid_sample(image[None], points, padding_mode="border", align_corners=True)
        return sampled.view(-1, n).T

    def extra_repr(self) -> str:
        """Return the level's sizes, for print(model)."""
        kind = "hashed" if self.hashed else "dense"
        sizes = f"d={self.d}, resolution={self.resolution}, table={tuple(self.table.shape)}"
        return f"{sizes}, {self.interpolation}, {kind}"


def _over_axes(combine: Callable[[Tensor, Tensor], Tensor], axes: Tensor) -> Tensor:
    """Combine one entry of every axis, in all ways: (n, d, m) -> (n, m^d), the last axis fastest."""
    return reduce(lambda a, b: combine(a[:, :, None], b[:, None, :]).flatten(1), axes.unbind(dim=1))


class Multigrid(nn.Module):
    """The features of all levels side by side, then x itself: (n, d) -> (n, L F + d).

    Args:
        d: input dimension, 1, 2 or 3.
        levels: L.
        base: cells an axis of the coarsest level.
        growth: ratio of the resolutions of neighbouring levels; see `level_resolutions`.
        features: F, features of a node.
        table_size: most rows of a level's table; larger levels are hashed. None: every level is dense.
        interpolation: "linear", "smooth", "quadratic" or "cubic"; see `node_weights`.
        generator: draws the initial features; None: torch's global one.
    """

    def __init__(
        self,
        d: int,
        levels: int,
        base: int,
        growth: float,
        features: int = 2,
        table_size: int | None = None,
        interpolation: Interpolation = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            GridLevel(d, resolution, features, table_size, interpolation, generator)
            for resolution in level_resolutions(levels, base, growth)
        )
        self.width = levels * features + d

    def forward(self, x: Tensor) -> Tensor:
        """Encode x (n, d)."""
        return torch.cat([*(level(x) for level in self.levels), x], dim=1)
