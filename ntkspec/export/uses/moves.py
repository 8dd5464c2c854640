"""Operations that move a tensor's numbers, or multiply all by a constant, applied to positions.

A node of autograd's graph keeps the arguments of its operation (`_saved_dim`, ...) and its result's shape.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ntkspec.export.graph import Node, operation, result_shape

PADDING = -1  # a position for what is not one of the parameter's numbers


@dataclass(frozen=True)
class Move:
    """An operation that moves a parameter's numbers, or multiplies all by a constant, before their use."""

    node: Node
    slot: int  # which of its inputs
    result: int  # which of its results goes on

    def __call__(self, positions: Tensor) -> Tensor:
        """Return the positions, moved in the same way as the operation moved the numbers."""
        name = operation(self.node)
        if name in GATHERS:
            return GATHERS[name](self.node, positions)
        return positions.reshape(self.shape) if name in _FACTORS else _MOVES[name](self, positions)

    @property
    def factor(self) -> float:
        """Return what the operation multiplied all numbers by."""
        factor = _FACTORS.get(operation(self.node))
        return 1.0 if factor is None else factor(self.node, self.slot)

    @property
    def shape(self) -> torch.Size:
        """Return the shape of the result."""
        return result_shape(self.node, self.result)


def is_move(node: Node, slot: int) -> bool:
    """Return whether an operation moves an input's numbers, or multiplies all of them by a constant."""
    name = operation(node)
    if name in ("Mul", "Div"):
        return _constant(node, slot) is not None and not (name == "Div" and slot == 1)
    return name in _MOVES or name == "Neg"


def adds_a_constant(node: Node, slot: int, shape: torch.Size) -> bool:
    """Return whether an operation adds a constant to an input of that shape, number by number."""
    return (
        operation(node) in ("Add", "Sub", "Rsub")
        and not _other_has_gradient(node, slot)
        and result_shape(node) == shape
    )


def _other_has_gradient(node: Node, slot: int) -> bool:
    following = node.next_functions
    return len(following) > 1 - slot and following[1 - slot][0] is not None


def _constant(node: Node, slot: int) -> float | None:
    """Return what a product or quotient combines an input with if it is one real constant; else None."""
    if _other_has_gradient(node, slot):
        return None
    with contextlib.suppress(Exception):  # where the graph does not keep it
        other = getattr(node, "_saved_other" if slot == 0 else "_saved_self")
        if not isinstance(other, Tensor) or (other.numel() == 1 and not other.is_complex()):
            return float(other)
    return None


def _added(node: Node, slot: int) -> float:
    """Return the factor by which a sum or difference multiplies input `slot`."""
    name, alpha = operation(node), float(getattr(node, "_saved_alpha", 1))
    if name == "Rsub":  # other - alpha * input
        return -alpha
    return 1.0 if slot == 0 else (-alpha if name == "Sub" else alpha)


def signed(number: int) -> int:
    """Return the signed value of a number that the graph keeps as int64 but shows as uint64."""
    return number - 2**64 if number >= 2**63 else number


def _split(move: Move, positions: Tensor) -> Tensor:
    parts = torch.split(positions, move.node._saved_split_size, signed(move.node._saved_dim))
    return parts[move.result]


def _split_with_sizes(move: Move, positions: Tensor) -> Tensor:
    sizes = [*move.node._saved_split_sizes]
    return torch.split(positions, sizes, signed(move.node._saved_dim))[move.result]


def _slice(move: Move, positions: Tensor) -> Tensor:
    node, dim = move.node, signed(move.node._saved_dim)
    places: list[slice] = [slice(None)] * positions.ndim
    places[dim] = slice(signed(node._saved_start), signed(node._saved_end), node._saved_step)
    return positions[tuple(places)]


def _concatenate(move: Move, positions: Tensor) -> Tensor:
    """Return the concatenated positions, with PADDING for the numbers of the other tensors."""
    dim = signed(move.node._saved_dim)
    lengths = [None if node is None else result_shape(node, k)[dim] for node, k in move.node.next_functions]
    lengths[move.slot] = positions.shape[dim]
    if lengths.count(None) == 1:  # a constant, whose length the graph does not keep
        lengths[lengths.index(None)] = move.shape[dim] - sum(length or 0 for length in lengths)
    if None in lengths[: move.slot]:
        raise ValueError("concatenated behind several constants, whose lengths the graph does not keep")
    start = sum(length or 0 for length in lengths[: move.slot])
    whole = positions.new_full(move.shape, PADDING)
    whole.narrow(dim, start, positions.shape[dim]).copy_(positions)
    return whole


def _stack(move: Move, positions: Tensor) -> Tensor:
    whole = positions.new_full(move.shape, PADDING)
    whole.select(signed(move.node._saved_dim), move.slot).copy_(positions)
    return whole


def _embedding(node: Node, positions: Tensor) -> Tensor:
    if node._saved_scale_grad_by_freq:
        raise ValueError("scale_grad_by_freq=True gives what is no gradient")
    indices: Tensor = node._saved_indices
    padding = (indices == signed(node._saved_padding_idx))[..., None]
    return torch.where(padding, PADDING, positions[indices])


def _index(node: Node, positions: Tensor) -> Tensor:
    return positions[tuple(slice(None) if index is None else index for index in node._saved_indices)]


# Lookups whose every result is one number of the table.
GATHERS: dict[str, Callable[[Node, Tensor], Tensor]] = {
    "Index": _index,
    "IndexSelect": lambda node, p: p.index_select(signed(node._saved_dim), node._saved_index),
    "Gather": lambda node, p: p.gather(signed(node._saved_dim), node._saved_index),
    "Take": lambda node, p: p.take(node._saved_index),
    "Embedding": _embedding,
}
# Lookups whose every result is a weighted sum of several.
SAMPLERS = frozenset({"EmbeddingBag", "GridSampler2D", "GridSampler3D", "CudnnGridSampler"})

_FACTORS: dict[str, Callable[[Node, int], float]] = {
    "Mul": lambda node, slot: _constant(node, slot) or 0.0,
    "Div": lambda node, slot: 1 / (_constant(node, slot) or math.inf),
    "Neg": lambda node, slot: -1.0,
    "Add": _added,
    "Sub": _added,
    "Rsub": _added,
}
_RESHAPES = {"View", "UnsafeView", "ReshapeAlias", "Unsqueeze", "Squeeze", "Alias", "Clone", "ToCopy"}
_MOVES: dict[str, Callable[[Move, Tensor], Tensor]] = {
    **dict.fromkeys(_RESHAPES, lambda move, p: p.reshape(move.shape)),
    "T": lambda move, p: p.t(),
    "Transpose": lambda move, p: p.transpose(signed(move.node._saved_dim0), signed(move.node._saved_dim1)),
    "Permute": lambda move, p: p.permute([signed(dim) for dim in move.node._saved_dims]),
    "Expand": lambda move, p: p.expand(move.shape),
    "Select": lambda move, p: p.select(signed(move.node._saved_dim), signed(move.node._saved_index)),
    "Slice": _slice,
    "Split": _split,
    "SplitWithSizes": _split_with_sizes,
    "Unbind": lambda move, p: p.unbind(signed(move.node._saved_dim))[move.result],
    "Flip": lambda move, p: p.flip([signed(dim) for dim in move.node._saved_dims]),
    "Roll": lambda move, p: p.roll(
        [signed(shift) for shift in move.node._saved_shifts], [signed(dim) for dim in move.node._saved_dims]
    ),
    "Repeat": lambda move, p: p.repeat(*move.node._saved_repeats),
    "ConstantPadNd": lambda move, p: F.pad(p, [signed(n) for n in move.node._saved_pad], value=PADDING),
    "Cat": _concatenate,
    "Stack": _stack,
}
