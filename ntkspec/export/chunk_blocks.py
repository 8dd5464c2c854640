"""Blocks on the samples of one chunk, in torch, and their comparison with plain autograd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ntkspec.export.gradients import Gradients
from ntkspec.export.plans import BlockPlan
from ntkspec.export.prepare import Owned
from ntkspec.export.rank_one import Factors, written_out
from ntkspec.export.sparse_rows import SparseRows
from ntkspec.export.tolerance import Difference, largest
from ntkspec.export.uses.find import picked
from ntkspec.jacobian import Block, DenseFactor, Factor, PairsFactor, Parameter, SparseFactor


@dataclass(frozen=True, eq=False)
class ProductBlock:
    """A block of Kronecker products: J[i, o] = sum_t left[i, t] (x) right[i, t, o].

    The terms are the uses of a matrix by a sample, most often one; they are rows one after another.
    """

    plan: BlockPlan
    left: Tensor | SparseRows | None  # (n T, a), or (n, 1, k); None: ones of width 1
    right: Tensor  # (n T, c, b)
    places: Mapping[str, Tensor]  # positions of the numbers in their parameter, if not in order
    uses: int = 1  # T

    def bad_rows(self) -> Tensor:
        """Return which samples have a NaN or an Inf: bool (n,)."""
        finite = torch.isfinite(self.right).flatten(1).all(dim=1)
        if self.left is not None:
            values = self.left.values[:, 0] if isinstance(self.left, SparseRows) else self.left
            finite = finite & torch.isfinite(values).all(dim=1)
        return ~finite.view(-1, self.uses).all(dim=1)

    def differences(self, gradients: Gradients, v: Tensor, whole: float) -> list[Difference]:
        """Compare sum_io v[i, o] J[i, o] with autograd's gradient for cotangents v, a parameter at a time.

        A parameter's own scale is the largest entry of sum_io |v[i, o] J[i, o]|, so that cancellation in
        the sum does not count as an error. `whole` is the scale of all parameters together.
        """
        v = v.repeat_interleave(self.uses, dim=0)
        sizes = [owned.size for owned in self.plan.owned]
        expected = torch.cat([self._in_order(owned, gradients[owned.name]) for owned in self.plan.owned])
        error = torch.split(self._contract(v) - expected, sizes)
        scale = torch.split(self._contract(v, absolute=True), sizes)
        return [Difference.from_tensors(e, s, whole) for e, s in zip(error, scale, strict=True)]

    def _in_order(self, owned: Owned, gradient: Tensor | None) -> Tensor:
        if gradient is None:
            return self.right.new_zeros(owned.size)
        places = self.places.get(owned.name)
        flat = gradient.flatten()
        return flat if places is None else picked(flat, places).flatten()

    def _contract(self, v: Tensor, *, absolute: bool = False) -> Tensor:
        """Return the sum of v (n T, c) times the products as (a*b,), or that of their absolute values."""
        right, left = self.right, self.left
        if absolute:
            v, right = v.abs(), right.abs()
        weighted = torch.einsum("no,nob->nb", v.to(right.dtype), right)
        if left is None:
            return weighted.sum(dim=0)
        if isinstance(left, SparseRows):
            weights = left.values[:, 0].abs() if absolute else left.values[:, 0]
            entries = weights[:, :, None] * weighted[:, None, :]
            total = torch.zeros(left.columns, right.shape[2], dtype=entries.dtype, device=entries.device)
            return total.index_add_(0, left.indices.flatten(), entries.flatten(0, 1)).flatten()
        return ((left.abs() if absolute else left).T @ weighted).flatten()

    def at(self, sample: int) -> ProductBlock:
        """Return the block on one sample alone."""
        one = slice(sample * self.uses, (sample + 1) * self.uses)
        left = self.left.at(sample) if isinstance(self.left, SparseRows) else self.left
        left = left[one] if isinstance(left, Tensor) else left
        return replace(self, left=left, right=self.right[one])

    def to_numpy(self, dtype: DTypeLike) -> list[Block]:
        """Return the block in NumPy, as it is stored: what each sample uses several times, as pairs."""
        if self.uses > 1 and isinstance(self.left, Tensor):
            sides = (self.left, self.right)
            lefts, rights = (side.reshape(-1, self.uses, *side.shape[1:]) for side in sides)
            pairs = PairsFactor(_numpy(lefts, dtype)[:, None], _numpy(rights.movedim(1, 2), dtype))
            return [_block(self.plan, self.plan.names[0], None, pairs)]
        left: Factor | None = None
        if isinstance(self.left, SparseRows):
            left = _sparse(self.left, dtype)
        elif self.left is not None:
            left = DenseFactor(_numpy(self.left, dtype)[:, None])
        return [_block(self.plan, self.plan.names[0], left, DenseFactor(_numpy(self.right, dtype)))]


@dataclass(frozen=True)
class RowsBlock:
    """A block of sparse rows: the nonzero numbers of each, or products of a few weights and a gradient."""

    plan: BlockPlan
    rows: SparseRows
    levels: Sequence[Factors] | None  # the rows as products; None: they are no products

    def bad_rows(self) -> Tensor:
        """Return which samples have a NaN or an Inf: bool (n,)."""
        return ~torch.isfinite(self.rows.values).flatten(1).all(dim=1)

    def differences(self, gradients: Gradients, v: Tensor, whole: float) -> list[Difference]:
        """See `ProductBlock.differences`; the gradient of numbers that no sample reads must be zero."""
        (owned,), layout = self.plan.owned, self.plan.form.layout
        if self.levels is None or layout is None:
            owner, positions, values = self.rows.entries()
        else:  # check the factors that are stored, not the rows that they were made of
            owner, positions, values = written_out(self.levels, layout)
        touched, place = torch.unique(positions, return_inverse=True)
        weighted = values * v[owner].to(values.dtype)
        sums = values.new_zeros(len(touched)).index_add_(0, place, weighted.sum(1))
        sizes = values.new_zeros(len(touched)).index_add_(0, place, weighted.abs().sum(1))
        gradient = gradients[owned.name]
        if gradient is None:
            return [Difference.from_tensors(sums, sizes, whole)]
        if gradient.is_sparse:
            ours = torch.sparse_coo_tensor(
                touched[None], sums, (owned.size,), check_invariants=False, device=sums.device
            )
            return [Difference(largest([(ours - gradient).coalesce()]), largest([sizes]), whole)]
        flat = gradient.flatten()  # a view where possible: a table may be large
        there = flat[touched]
        flat[touched] = 0
        error = largest([sums - there, flat])
        flat[touched] = there  # autograd gives several parameters one tensor, as those of a sum
        return [Difference(error, largest([sizes]), whole)]

    def at(self, sample: int) -> RowsBlock:
        """Return the block on one sample alone."""
        one = slice(sample, sample + 1)
        levels = self.levels and [Factors(level.left.at(sample), level.right[one]) for level in self.levels]
        return replace(self, rows=self.rows.at(sample), levels=levels)

    def to_numpy(self, dtype: DTypeLike) -> list[Block]:
        """Return the blocks in NumPy, as they are stored: each level of a table is one."""
        if self.levels is None:
            return [_block(self.plan, self.plan.names[0], None, _sparse(self.rows, dtype))]
        layout, (owned,) = self.plan.form.layout, self.plan.owned
        assert layout is not None  # the levels were made with it
        blocks = []
        for name, level in zip(self.plan.names, self.levels, strict=True):
            left, right = _sparse(level.left, dtype), DenseFactor(_numpy(level.right, dtype))
            block = _block(self.plan, name, left, right)
            if layout.levels > 1:
                place = name.removeprefix(self.plan.name)
                part = Parameter(owned.name + place, layout.level_shape(owned.shape))
                block = replace(block, parameters=(part,))
            blocks.append(block)
        return blocks


ChunkBlock = ProductBlock | RowsBlock


def _block(plan: BlockPlan, name: str, left: Factor | None, right: Factor) -> Block:
    parameters = tuple(Parameter(owned.name, owned.shape) for owned in plan.owned)
    return Block(name, plan.role, right.samples, right.outputs, left, right, plan.order, parameters)


def _sparse(rows: SparseRows, dtype: DTypeLike) -> SparseFactor:
    index = np.int32 if rows.columns <= np.iinfo(np.int32).max else np.int64
    indices = _numpy(rows.indices, index)
    return SparseFactor(indices, _numpy(rows.values, dtype), rows.columns)


def _numpy(tensor: Tensor, dtype: DTypeLike) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=dtype)
