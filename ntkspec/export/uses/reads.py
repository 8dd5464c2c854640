"""Lookups: operations whose results are weighted sums of a few numbers of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ntkspec.export.graph import Node
from ntkspec.export.uses.find import Moved, Use
from ntkspec.export.uses.interpolation import sampled
from ntkspec.export.uses.moves import GATHERS, PADDING, SAMPLERS, signed

_SUM, _MEAN, _MAX = 0, 1, 2  # modes of embedding_bag

Terms = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Read:
    """A lookup: result[...] = sum_k weights[..., k] * table[positions[..., k]]."""

    node: Node
    positions: Tensor  # (*result, k) into the table as one flat vector; -1: nothing is read
    weights: Tensor | None  # (*result, k); None: ones

    def terms(self, gradient: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the terms of the table's gradient that a gradient at the result gives.

        Args:
            gradient: (*result, ...).
            kept: bool (*result, k), the terms to return; default: all whose position is not -1.

        Returns:
            Positions in the flat table (m,) and values (m, ...); terms at the same position add up.
        """
        kept = self.positions >= 0 if kept is None else kept
        axis = self.positions.ndim - 1
        more = gradient.shape[axis:]
        values = gradient.unsqueeze(axis)
        if self.weights is not None:
            values = values * self.weights.reshape(*self.weights.shape, *[1] * len(more))
        return self.positions[kept].long(), values.expand(*self.positions.shape, *more)[kept]


def is_read(use: Use) -> bool:
    """Return whether a use of a parameter is a lookup in it."""
    return use.slot == 0 and use.operation in GATHERS.keys() | SAMPLERS


def read_of(use: Use, table: Tensor, moved: Moved) -> Read:
    """Return the positions and weights that a lookup in `table` reads; `moved`: as in `Use.positions`.

    Raises:
        ValueError: its results are not weighted sums of the table's numbers.
    """
    places = use.positions(table, moved)
    if use.operation in GATHERS:
        positions, weights = GATHERS[use.operation](use.node, places)[..., None], None
    else:
        positions, doubles = _SAMPLERS[use.operation](use.node, places)
        weights = doubles.to(table.dtype)
    if use.factor != 1:
        ones = torch.ones((), dtype=table.dtype, device=table.device) if weights is None else weights
        weights = (ones * use.factor).expand(positions.shape)
    return Read(use.node, positions, weights)


def read_alike(reads: Iterable[Read], samples: int) -> Tensor | None:
    """Return the positions (m,) that every sample reads of a table; None if samples read different ones.

    Gradients do not matter, which may be zero. If samples read alike, each number is read as often by one
    sample as by any other, and so a multiple of `samples` times. The converse may fail, as where each of two
    samples reads one number twice; fewer samples then read fewer positions.
    """
    positions = [torch.zeros(0, dtype=torch.long, device="cpu")]
    positions += [read.positions[read.positions >= 0].long().cpu() for read in reads]
    distinct, counts = torch.unique(torch.cat(positions), return_counts=True)
    return None if bool((counts % samples).any()) else distinct


def _embedding_bag(node: Node, positions: Tensor) -> Terms:
    """Return positions and weights of an embedding_bag; bags are padded to the largest one."""
    mode, indices, offsets = node._saved_mode, node._saved_indices, node._saved_offsets
    if node._saved_scale_grad_by_freq:
        raise ValueError("scale_grad_by_freq=True gives what is no gradient")
    bags = node._input_metadata[0].shape[0]
    ends = torch.cat([offsets, offsets.new_tensor([len(indices)])])
    sizes = ends[1 : bags + 1] - ends[:bags]
    if mode == _MAX:
        if bool((sizes == 0).any()):
            raise ValueError("the largest of an empty bag")
        chosen = positions.gather(0, node._saved_result3)[..., None]
        return chosen, torch.ones(chosen.shape, dtype=torch.float64, device=chosen.device)
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
    numbers = torch.where((rows >= 0)[..., None], positions[rows.clamp(min=0)], PADDING)  # (bags, k, F)
    numbers = numbers.movedim(1, 2)
    return numbers, weights[:, None].expand(numbers.shape)


_SAMPLERS: dict[str, Callable[[Node, Tensor], Terms]] = {
    "EmbeddingBag": _embedding_bag,
    **dict.fromkeys(SAMPLERS - {"EmbeddingBag"}, sampled),
}
