"""Lookups: operations whose every result is a weighted sum of a few of a table's numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ntkspec.export.uses.find import Use
from ntkspec.export.uses.interpolation import sampled
from ntkspec.export.uses.moves import PADDING, signed

_SUM, _MEAN = 0, 1  # modes of embedding_bag

Terms = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Read:
    """One lookup: result[...] = sum_k weights[..., k] * table[positions[..., k]]."""

    node: Any
    positions: Tensor  # (*result, k) into the table as one flat vector; -1: nothing is read
    weights: Tensor | None  # (*result, k); None: ones

    def terms(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Where in the table a gradient at the result goes, and how much of it: both (m,)."""
        kept = self.positions >= 0
        values = gradient[..., None] if self.weights is None else gradient[..., None] * self.weights
        return self.positions[kept], values.expand(self.positions.shape)[kept]


def is_read(use: Use) -> bool:
    """Whether a use of a parameter is a lookup in it."""
    return use.slot == 0 and use.operation in _READS


def read_of(use: Use, table: Tensor) -> Read:
    """What a lookup in `table` reads.

    Raises:
        ValueError: it does something that no sum of numbers describes.
    """
    positions, weights = _READS[use.operation](use.node, use.positions(table))
    if weights is not None:
        weights = weights.to(table.dtype)
    if use.factor != 1:
        ones = torch.ones((), dtype=table.dtype, device=table.device) if weights is None else weights
        weights = (ones * use.factor).expand(positions.shape)
    return Read(use.node, positions, weights)


def _index(node: Any, positions: Tensor) -> Terms:
    places = tuple(slice(None) if one is None else one for one in node._saved_indices)
    return positions[places][..., None], None


def _index_select(node: Any, positions: Tensor) -> Terms:
    return positions.index_select(signed(node._saved_dim), node._saved_index)[..., None], None


def _gather(node: Any, positions: Tensor) -> Terms:
    return positions.gather(signed(node._saved_dim), node._saved_index)[..., None], None


def _take(node: Any, positions: Tensor) -> Terms:
    return positions.take(node._saved_index)[..., None], None


def _embedding(node: Any, positions: Tensor) -> Terms:
    if node._saved_scale_grad_by_freq:
        raise ValueError("scale_grad_by_freq=True gives what is no gradient")
    indices: Tensor = node._saved_indices
    found = positions[indices]
    found = torch.where((indices == signed(node._saved_padding_idx))[..., None], PADDING, found)
    return found[..., None], None


def _embedding_bag(node: Any, positions: Tensor) -> Terms:
    """Bags of different sizes, each padded to the largest."""
    mode, indices, offsets = node._saved_mode, node._saved_indices, node._saved_offsets
    if mode not in (_SUM, _MEAN) or node._saved_scale_grad_by_freq:
        raise ValueError("only the modes sum and mean of embedding_bag, without scale_grad_by_freq, are sums")
    bags = node._input_metadata[0].shape[0]
    ends = torch.cat([offsets, offsets.new_tensor([len(indices)])])
    sizes = ends[1 : bags + 1] - ends[:bags]
    bag = torch.repeat_interleave(torch.arange(bags, device=sizes.device), sizes)
    place = torch.arange(len(bag), device=sizes.device) - ends[:bags][bag]
    shape = (bags, max(int(sizes.max()), 1) if bags else 1)
    rows = indices.new_full(shape, PADDING)
    rows[bag, place] = torch.where(indices == signed(node._saved_padding_idx), PADDING, indices)[: len(bag)]
    weights = torch.ones(shape, dtype=torch.float64, device=rows.device)
    if node._saved_per_sample_weights is not None:
        weights[bag, place] = node._saved_per_sample_weights.detach().to(weights.dtype)[: len(bag)]
    if mode == _MEAN:
        weights = weights / (rows >= 0).sum(1, keepdim=True).clamp(min=1)
    found = torch.where((rows >= 0)[..., None], positions[rows.clamp(min=0)], PADDING)  # (bags, k, F)
    found = found.movedim(1, 2)
    return found, weights[:, None].expand(found.shape)


_READS: dict[str, Callable[[Any, Tensor], Terms]] = {
    "Index": _index,
    "IndexSelect": _index_select,
    "Gather": _gather,
    "Take": _take,
    "Embedding": _embedding,
    "EmbeddingBag": _embedding_bag,
    "GridSampler2D": sampled,
    "GridSampler3D": sampled,
    "CudnnGridSampler": sampled,
}
