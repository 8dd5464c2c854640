"""Multigrid encodings: features at the nodes of nested grids, interpolated (Mueller et al. 2022).

A level of N cells an axis has (N + 1)^d nodes on [0, 1]^d. A dense level keeps a row of its table for every
node, the first axis fastest. A level with more nodes than `table_size` is hashed: node v has the row

    xor_i (v_i * prime_i)  mod  table_size.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ntkspec.nets.lookup import TableLookup

__all__ = ["PRIMES", "GridLevel", "Interpolation", "Multigrid", "level_resolutions"]

Interpolation = Literal["linear", "smooth"]

PRIMES = (1, 2654435761, 805459861)  # Mueller et al. 2022, section 3
INITIAL_RANGE = 1e-4  # features start uniform in +- this; the same source


def level_resolutions(levels: int, base: int, growth: float) -> tuple[int, ...]:
    """Cells an axis of every level: floor(base * growth^l).

    A product that falls short of an integer only by rounding counts as that integer, so that a growth of
    (finest / base)^(1 / (levels - 1)) ends at `finest`.

    >>> level_resolutions(4, 16, 2.0)
    (16, 32, 64, 128)
    """
    return tuple(math.floor(base * growth**level * (1 + 1e-12)) for level in range(levels))


class GridLevel(TableLookup):
    """One level of a multigrid.

    Args:
        d: input dimension, 1, 2 or 3.
        resolution: cells an axis.
        features: F, features of a node.
        table_size: rows that the table may have; None: as many as there are nodes.
        interpolation: "linear", or "smooth": linear in 3t^2 - 2t^3 for the position t in the cell.
        generator: draws the initial features; None: torch's global one.
    """

    corners: Tensor  # (2^d, d) int64: the corners of a cell
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
        nodes = (resolution + 1) ** d
        self.hashed = table_size is not None and nodes > table_size
        rows = table_size if self.hashed and table_size is not None else nodes
        table = torch.empty(rows, features).uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=generator)
        self.table = nn.Parameter(table)
        strides = PRIMES[:d] if self.hashed else [(resolution + 1) ** axis for axis in range(d)]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.register_buffer("corners", torch.tensor(list(product((0, 1), repeat=d))), persistent=False)

    @property
    def features(self) -> int:
        """F."""
        return self.table.shape[1]

    def lookup(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the cells' 2^d corners, and their interpolation weights: both (n, 2^d)."""
        cell, t = self._position(x)
        nodes = cell.long()[:, None, :] + self.corners  # (n, 2^d, d)
        weights = torch.where(self.corners == 1, t[:, None, :], 1 - t[:, None, :]).prod(dim=2)
        scaled = nodes * self.strides
        if not self.hashed:
            return scaled.sum(dim=2), weights
        indices = scaled[..., 0]
        for axis in range(1, self.d):
            indices = indices ^ scaled[..., axis]
        return indices % self.table.shape[0], weights

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, F) at the inputs `x` (n, d): by gathers if hashed, else faster by `grid_sample`."""
        return super().forward(x) if self.hashed else self._sample(x)

    def _position(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The cell (n, d) that holds each input, and the weight (n, d) of its upper corner on every axis."""
        position = x.clamp(0, 1) * self.resolution
        cell = position.floor().clamp(max=self.resolution - 1)
        t = position - cell
        return cell, t * t * (3 - 2 * t) if self.interpolation == "smooth" else t

    def _sample(self, x: Tensor) -> Tensor:
        """A dense level as an image (d = 1: of height 1) or a volume that `grid_sample` interpolates."""
        if self.interpolation == "smooth":
            cell, t = self._position(x)
            grid = (cell + t) * (2 / self.resolution) - 1
        else:
            grid = x.clamp(0, 1) * 2 - 1
        side, n = self.resolution + 1, x.shape[0]
        if self.d == 1:
            grid = torch.cat([grid, torch.zeros_like(grid)], dim=1)
        image = self.table.view(*[1, side] if self.d == 1 else [side] * self.d, -1).movedim(-1, 0)
        points = grid.view(1, *[1] * (image.dim() - 2), n, image.dim() - 1)
        sampled = F.grid_sample(image[None], points, padding_mode="border", align_corners=True)
        return sampled.view(-1, n).T

    def extra_repr(self) -> str:
        """The level's sizes, for print(model)."""
        kind = "hashed" if self.hashed else "dense"
        return f"d={self.d}, resolution={self.resolution}, table={tuple(self.table.shape)}, {kind}"


class Multigrid(nn.Module):
    """All levels' features side by side, then x itself: (n, d) -> (n, L F + d).

    Args:
        d: input dimension, 1, 2 or 3.
        levels: L.
        base: cells an axis of the coarsest level.
        growth: ratio of the resolutions of neighbouring levels; see `level_resolutions`.
        features: F, features of a node.
        table_size: most rows of a level's table; larger levels are hashed. None: every level is dense.
        interpolation: "linear" or "smooth".
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
