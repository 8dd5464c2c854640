"""The numbers of a plane or a volume that `torch.nn.functional.grid_sample` reads, and their weights.

The formulas are those of torch's grid_sampler: points in [-1, 1], the last axis of the input first; bicubic
with A = -0.75 (Keys 1981).
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ntkspec.export.graph import Node
from ntkspec.export.uses.moves import PADDING

_BILINEAR, _NEAREST, _BICUBIC = 0, 1, 2
_ZEROS, _BORDER, _REFLECTION = 0, 1, 2
_KEYS = -0.75


def sampled(node: Node, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions and weights (N, C, *points, k) of all that a grid_sample node reads.

    Args:
        node: of grid_sample in two or three dimensions.
        positions: (N, C, *size), of the numbers of its input.
    """
    mode = int(getattr(node, "_saved_interpolation_mode", _BILINEAR))  # cuDNN has only the three defaults
    padding = int(getattr(node, "_saved_padding_mode", _ZEROS))
    aligned = bool(getattr(node, "_saved_align_corners", True))
    grid: Tensor = node._saved_grid.detach()
    size = positions.shape[2:]
    axes = [
        _axis(grid[..., len(size) - 1 - axis], length, mode, padding, aligned)
        for axis, length in enumerate(size)
    ]
    batch = torch.arange(len(positions), device=grid.device).view(-1, *[1] * (grid.ndim - 2))
    places, weights = [], []
    for corner in itertools.product(*(range(len(nodes)) for nodes, _ in axes)):
        nodes = [axes[axis][0][k] for axis, k in enumerate(corner)]
        weight = torch.stack([axes[axis][1][k] for axis, k in enumerate(corner)]).prod(0)
        inside = torch.stack([(node >= 0) & (node < n) for node, n in zip(nodes, size, strict=True)]).all(0)
        clipped = [node.clamp(0, n - 1) for node, n in zip(nodes, size, strict=True)]
        where: tuple[Any, ...] = (batch, slice(None), *clipped)
        place = positions[where].movedim(-1, 1)  # (N, C, *points)
        places.append(torch.where(inside[:, None], place, PADDING))
        weights.append(torch.where(inside, weight, 0.0)[:, None].expand(place.shape))
    return torch.stack(places, -1), torch.stack(weights, -1)


def _axis(
    x: Tensor, length: int, mode: int, padding: int, aligned: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the nodes on one axis that each point reads, and their weights."""
    at = (x + 1) / 2 * (length - 1) if aligned else ((x + 1) * length - 1) / 2
    if mode == _BICUBIC:  # it pads nodes, not points
        first = at.floor()
        nodes = [_padded(first + offset, length, padding, aligned).round().long() for offset in range(-1, 3)]
        return nodes, _keys(at - first)
    at = _padded(at, length, padding, aligned)
    if mode == _NEAREST:
        return [at.round().long()], [torch.ones_like(at)]
    first = at.floor()
    return [first.long(), first.long() + 1], [1 - (at - first), at - first]


def _padded(at: Tensor, length: int, padding: int, aligned: bool) -> Tensor:
    """Return the coordinates at which points are read; `padding` says where if they are outside."""
    if padding == _REFLECTION:
        low, span = (0.0, length - 1.0) if aligned else (-0.5, float(length))
        if span == 0:
            return torch.zeros_like(at)
        distance = (at - low).abs()
        flips, rest = (distance / span).floor(), distance % span
        at = torch.where(flips % 2 == 0, rest + low, span - rest + low)
    return at if padding == _ZEROS else at.clamp(0, length - 1)


def _keys(t: Tensor) -> list[Tensor]:
    """Return the weights of cubic convolution (Keys 1981) at the four nodes about a point."""

    def near(x: Tensor) -> Tensor:
        return ((_KEYS + 2) * x - (_KEYS + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((_KEYS * x - 5 * _KEYS) * x + 8 * _KEYS) * x - 4 * _KEYS

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]
