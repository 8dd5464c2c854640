"""Sparse rows that are products: weights of the rows of a table times one gradient at its features.

An interpolation of features f at nodes k is sum_k w_k f_k, whose gradient at f_k is w_k g: of rank one in (k,
feature). Weights and gradient, stored apart, take less room than their products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ntkspec.export.sparse_rows import SparseRows, padded

MOST_LEVELS = 64


@dataclass(frozen=True)
class Layout:
    """A parameter as a table of rows and features, in levels of equally many rows.

    As one flat vector it is (before, features, after); a row is a place in (before, after).
    """

    before: int
    features: int
    after: int
    levels: int
    nodes: int = 0  # most rows of one level that a sample reads

    @property
    def rows(self) -> int:
        """Rows of one level."""
        return self.before * self.after // self.levels

    def split(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Row and feature of each position."""
        feature = positions // self.after % self.features
        row = positions // (self.after * self.features) * self.after + positions % self.after
        return row, feature

    def bytes(self, outputs: int, itemsize: int, nodes: int) -> int:
        """Of one sample, `nodes` rows a level."""
        return self.levels * (nodes * (4 + itemsize) + self.features * outputs * itemsize)


@dataclass(frozen=True)
class Factors:
    """One level: rows[i, o] = left[i] (x) right[i, o]."""

    left: SparseRows  # (n, 1, k)
    right: Tensor  # (n, c, features)


def find_layout(rows: SparseRows, shape: Sequence[int], levels: Iterable[int], limit: float) -> Layout | None:
    """The layout of a table in which rows are products and take least room; None if there is none.

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
        smallest = layout.bytes(outputs, itemsize, 1)  # which also rules out the table's rows as features
        whole = factorise(rows, layout, limit) if smallest < least else None
        if whole is None:
            continue
        nodes = max((one.left.indices.shape[1] for one in whole), default=1)
        size = layout.bytes(outputs, itemsize, nodes)
        if size < least:
            best, least = Layout(*_sizes(layout), layout.levels, nodes), size
    return best


def _sizes(layout: Layout) -> tuple[int, int, int]:
    return layout.before, layout.features, layout.after


def _candidates(shape: Sequence[int], levels: Iterable[int]) -> Iterator[Layout]:
    size = torch.Size(shape)
    for (axis, features), count in product([*enumerate(shape), (len(shape), 1)], sorted({1, *levels})):
        before, after = size[:axis].numel(), size[axis + 1 :].numel()
        if count <= MOST_LEVELS and before * after % count == 0:
            yield Layout(before, features, after, count)


def factorise(rows: SparseRows, layout: Layout, limit: float) -> list[Factors] | None:
    """Weights and gradients of every level; None where some row is further from a product than `limit`."""
    n, c, _ = rows.values.shape
    owner, positions, values = rows.entries()
    row, feature = layout.split(positions)
    whole = layout.rows * layout.levels
    keys, inverse = torch.unique(owner * whole + row, return_inverse=True)
    nodes = values.new_zeros(len(keys) * layout.features, c)
    nodes.index_add_(0, inverse * layout.features + feature, values)
    nodes = nodes.view(len(keys), -1)  # (nodes, F c): each node's part of its sample's row
    sample, row = keys // whole, keys % whole
    group = sample * layout.levels + row // layout.rows
    weight, gradient = _weights(nodes, group, n * layout.levels)
    largest = nodes.abs().amax(1) if len(nodes) else nodes.new_zeros(0)
    scale = values.new_zeros(n * layout.levels).scatter_reduce(0, group, largest, "amax")
    distance = (nodes - weight[:, None] * gradient[group]).abs()
    if bool((distance > limit * scale[group][:, None]).any()):
        return None
    gradient = gradient.view(n, layout.levels, layout.features, c).movedim(3, 2)  # (n, levels, c, F)
    found = []
    for level in range(layout.levels):
        mine = row // layout.rows == level
        left = padded(sample[mine], row[mine] % layout.rows, weight[mine, None], n, layout.rows)
        found.append(Factors(left, gradient[:, level]))
    return found


def _weights(nodes: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Weight of each node, and the gradient (groups, F c) of each group.

    Weights add up to one, as an interpolation's do, so that the gradient is that at the features; where their
    sum is too near to zero, the largest is one.
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
