"""Sparse rows as products: weights of a table's rows times one gradient at the features.

An interpolation of features f at nodes k is sum_k w_k f_k, whose gradient at f_k is w_k g, a matrix of rank
one in (k, feature). Weights and gradient, stored separately, take less room than their products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from ntkspec.export.sparse_rows import SparseRows, padded

MOST_LEVELS = 64
MOSTLY_EMPTY = 4  # rows with more than so many times the numbers that samples read are no products


@dataclass(frozen=True)
class Layout:
    """A parameter seen as a table of rows and features, in levels with equally many rows.

    The parameter as one flat vector has the shape (before, features, after); the table's rows are the
    positions in (before, after).
    """

    before: int
    features: int
    after: int
    levels: int
    nodes: int = 0  # most rows of one level that a sample reads

    @property
    def rows(self) -> int:
        """Return the number of rows of one level."""
        return self.before * self.after // self.levels

    def split(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the row and the feature of each position."""
        feature = positions // self.after % self.features
        row = positions // (self.after * self.features) * self.after + positions % self.after
        return row, feature

    def split_axis(self, shape: Sequence[int]) -> bool:
        """Return whether the levels are slices of a table's first axis."""
        return self.before % self.levels == 0 and len(shape) > 0 and shape[0] % self.levels == 0

    def level_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of one level of a table of that shape: of a slice, or of its rows."""
        if self.split_axis(shape):
            return (shape[0] // self.levels, *shape[1:])
        return (self.rows, self.features)

    def positions(self, row: Tensor, feature: Tensor) -> Tensor:
        """Return the position of a feature of a row; the inverse of `split`."""
        return (row // self.after * self.features + feature) * self.after + row % self.after

    def bytes(self, outputs: int, itemsize: int, nodes: int) -> int:
        """Return the bytes of one sample that reads `nodes` rows of each level."""
        return self.levels * (nodes * (4 + itemsize) + self.features * outputs * itemsize)


@dataclass(frozen=True, eq=False)
class Factors:
    """One level of a table as factors: rows[i, o] = left[i] (x) right[i, o]."""

    left: SparseRows  # (n, 1, k)
    right: Tensor  # (n, c, features)


def find_layout(rows: SparseRows, shape: Sequence[int], levels: Iterable[int], limit: float) -> Layout | None:
    """Return the layout in which rows are products and take the least room; None if there is none.

    Args:
        rows: of some samples.
        shape: of the table.
        levels: numbers of levels to try.
        limit: how far a row may be from a product, relative to its level's largest number.
    """
    outputs = rows.values.shape[1]
    itemsize = rows.values.itemsize
    best, least = None, rows.values.shape[2] * (4 + outputs * itemsize)
    for layout in _candidates(shape, levels):
        smallest = layout.bytes(outputs, itemsize, 1)
        factors = factorise(rows, layout, limit) if smallest < least else None
        if factors is None:
            continue
        nodes = max((level.left.indices.shape[1] for level in factors), default=1)
        size = layout.bytes(outputs, itemsize, nodes)
        if size < least:
            best, least = replace(layout, nodes=nodes), size
    return best


def _candidates(shape: Sequence[int], levels: Iterable[int]) -> Iterator[Layout]:
    size = torch.Size(shape)
    for (axis, features), count in product([*enumerate(shape), (len(shape), 1)], sorted({1, *levels})):
        before, after = size[:axis].numel(), size[axis + 1 :].numel()
        if count <= MOST_LEVELS and before * after % count == 0:
            yield Layout(before, features, after, count)


def factorise(rows: SparseRows, layout: Layout, limit: float) -> list[Factors] | None:
    """Return the factors of every level; None where a row is further from a product than `limit`."""
    n, c, _ = rows.values.shape
    owner, positions, values = rows.entries()
    row, feature = layout.split(positions)
    all_rows = layout.rows * layout.levels
    keys, inverse = torch.unique(owner * all_rows + row, return_inverse=True)
    if len(keys) * layout.features > MOSTLY_EMPTY * max(len(row), 1):
        return None  # samples read few features of a row: no product, and too large to write out
    nodes = values.new_zeros(len(keys) * layout.features, c)
    nodes.index_add_(0, inverse * layout.features + feature, values)
    nodes = nodes.view(len(keys), layout.features * c)  # each node's part of its sample's row
    sample, row = keys // all_rows, keys % all_rows
    group = sample * layout.levels + row // layout.rows
    largest = nodes.abs().amax(1) if len(nodes) else nodes.new_zeros(0)
    scale = values.new_zeros(n * layout.levels).scatter_reduce(0, group, largest, "amax")
    scale = torch.where(scale > 0, scale, 1.0)
    nodes = nodes / scale[group][:, None]  # so that their squares do not overflow or vanish
    weight, gradient = _weights(nodes, group, n * layout.levels)
    if not bool(((nodes - weight[:, None] * gradient[group]).abs() <= limit).all()):
        return None
    gradient = gradient * scale[:, None]
    gradient = gradient.view(n, layout.levels, layout.features, c).movedim(3, 2)  # (n, levels, c, F)
    factors = []
    for level in range(layout.levels):
        in_level = row // layout.rows == level
        left = padded(sample[in_level], row[in_level] % layout.rows, weight[in_level, None], n, layout.rows)
        factors.append(Factors(left, gradient[:, level]))
    return factors


def written_out(levels: Sequence[Factors], layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Multiply factors out: the sample (m,), position (m,) and values (m, c) of each entry."""
    entries = []
    for number, level in enumerate(levels):
        owner, row, weight = level.left.entries()
        feature = torch.arange(layout.features, device=row.device)
        positions = layout.positions((row + number * layout.rows)[:, None], feature)
        values = weight[:, :, None] * level.right[owner].movedim(1, 2)  # (nodes, F, c)
        entries.append(
            (owner[:, None].expand(positions.shape).flatten(), positions.flatten(), values.flatten(0, 1))
        )
    owner, places, numbers = (torch.cat(parts) for parts in zip(*entries, strict=True))
    return owner, places, numbers


def _weights(nodes: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return the weight of each node, and the gradient (groups, F c) of each group.

    Weights add up to one, as those of an interpolation do, so that the gradient is that at the features;
    where their sum is close to zero, the largest weight is one.
    """
    norms = nodes.square().sum(1)
    largest = nodes.new_zeros(groups).scatter_reduce(0, group, norms, "amax")
    numbers = torch.arange(len(nodes), device=nodes.device)
    first = torch.full((groups,), len(nodes), device=nodes.device)
    leading = (norms == largest[group]) & (norms > 0)
    first = first.scatter_reduce(0, group[leading], numbers[leading], "amin")
    gradient = torch.cat([nodes, nodes.new_zeros(1, nodes.shape[1])])[first]  # of each group's largest node
    square = largest[group]
    weight = (nodes * gradient[group]).sum(1) / torch.where(square > 0, square, 1.0)
    total = nodes.new_zeros(groups).index_add_(0, group, weight)
    total = torch.where(total.abs() > 0.1, total, 1.0)
    return weight / total[group], gradient * total[:, None]
