"""Operations that move a tensor's numbers, or multiply all by one constant, repeated on their positions.

A node of autograd's graph keeps what its operation was told (`_saved_dim`, ...) and the shape of its result.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = -1  # in the place of a position: not one of the parameter's numbers


@dataclass(frozen=True)
class Move:
    """One move on the way from a parameter to the operation that uses it."""

    node: Any
    slot: int  # which of its inputs
    result: int  # which of its results goes on

    def __call__(self, positions: Tensor) -> Tensor:
        """Move positions as the operation moved numbers."""
        name = operation(self.node)
        return positions.reshape(self.shape) if name in _SCALES else _MOVES[name](self, positions)

    @property
    def factor(self) -> float:
        """What the operation multiplied all numbers by."""
        scale = _SCALES.get(operation(self.node))
        return 1.0 if scale is None else scale(self.node, self.slot)

    @property
    def shape(self) -> torch.Size:
        """The shape of the result."""
        return result_shape(self.node, self.result)


def operation(node: Any) -> str:
    """The operation that made a node, such as "Index" for IndexBackward0."""
    return re.sub(r"Backward\d*$", "", str(node.name()).split("::")[-1])


def is_move(node: Any, slot: int) -> bool:
    """Whether a node's operation moves one input's numbers, or multiplies all of them by one constant."""
    name = operation(node)
    if name not in _SCALES:
        return name in _MOVES
    other = None if name == "Neg" else _constant(node, slot)
    return name == "Neg" or (other is not None and other.numel() == 1 and not (name == "Div" and slot == 1))


def _constant(node: Any, slot: int) -> Tensor | None:
    """The other factor of a product, or the divisor of a quotient, if it has no gradient."""
    following = node.next_functions
    if len(following) > 1 - slot and following[1 - slot][0] is not None:
        return None
    with contextlib.suppress(Exception):  # whatever keeps the graph from telling it
        constant: Tensor | None = getattr(node, "_saved_other" if slot == 0 else "_saved_self")
        return constant
    return None


def result_shape(node: Any, result: int = 0) -> torch.Size:
    """The shape of a result of a node's operation."""
    return torch.Size(node._input_metadata[result].shape)


def is_complex(node: Any, result: int = 0) -> bool:
    """Whether a result of a node's operation is complex."""
    dtype: torch.dtype = node._input_metadata[result].dtype
    return dtype.is_complex


def signed(number: int) -> int:
    """A number that the graph keeps as int64 and shows as uint64."""
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
    """The result with padding wherever the numbers are another tensor's."""
    dim, start = signed(move.node._saved_dim), 0
    for node, result in move.node.next_functions[: move.slot]:
        if node is None:
            raise ValueError("concatenated behind a constant, whose length the graph does not keep")
        start += result_shape(node, result)[dim]
    whole = positions.new_full(move.shape, PADDING)
    whole.narrow(dim, start, positions.shape[dim]).copy_(positions)
    return whole


def _stack(move: Move, positions: Tensor) -> Tensor:
    whole = positions.new_full(move.shape, PADDING)
    whole.select(signed(move.node._saved_dim), move.slot).copy_(positions)
    return whole


_SCALES: dict[str, Callable[[Any, int], float]] = {
    "Mul": lambda node, slot: float(_constant(node, slot)),  # type: ignore[arg-type]  # is_move said it is one
    "Div": lambda node, slot: 1 / float(_constant(node, slot)),  # type: ignore[arg-type]
    "Neg": lambda node, slot: -1.0,
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
    "Roll": lambda move, p: p.roll([signed(s) for s in move.node._saved_shifts], [*move.node._saved_dims]),
    "Repeat": lambda move, p: p.repeat(*move.node._saved_repeats),
    "ConstantPadNd": lambda move, p: F.pad(p, [signed(n) for n in move.node._saved_pad], value=PADDING),
    "Cat": _concatenate,
    "Stack": _stack,
}
