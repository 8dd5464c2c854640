"""Operations of a forward pass; those that a trace knows are piecewise linear, affine, or move numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True, eq=False)
class Call:
    """An operation and its arguments."""

    func: Any
    args: Any
    kwargs: Any

    @property
    def name(self) -> str:
        """Return the name, without the underscore that marks operations in place."""
        name: str = self.func.overloadpacket.__name__
        return name.removesuffix("_") if self.func._schema.is_mutable else name

    @property
    def tensors(self) -> list[Tensor]:
        """Return the arguments that are tensors, also within lists."""
        return tensors_in((self.args, self.kwargs))

    @property
    def written(self) -> list[Tensor]:
        """Return the arguments to which the operation writes."""
        declared = self.func._schema.arguments
        arguments = [*zip(declared, self.args, strict=False)]
        arguments += [
            (argument, self.kwargs[argument.name]) for argument in declared if argument.name in self.kwargs
        ]
        return tensors_in(
            [value for argument, value in arguments if argument.alias_info and argument.alias_info.is_write]
        )


def tensors_in(tree: object) -> list[Tensor]:
    """Return the tensors at any depth of lists, tuples and mappings."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


# Which piece each number is on. At a kink it is the piece whose slope torch's derivative takes; where torch
# takes neither slope, the kink is a piece by itself.
PIECES: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "relu": lambda x: (x > 0,),
    "leaky_relu": lambda x, slope=0.01: (x > 0,),
    "_prelu_kernel": lambda x, slope: (x > 0,),
    "threshold": lambda x, threshold, value: (x > threshold,),
    "hardtanh": lambda x, low=-1, high=1: (x <= low, x >= high),
    "clamp": lambda x, low=None, high=None: (
        x < (-math.inf if low is None else low),
        x > (math.inf if high is None else high),
    ),
    "clamp_min": lambda x, low: (x < low,),
    "clamp_max": lambda x, high: (x > high,),
    "abs": lambda x: (x > 0, x < 0),
    "maximum": lambda x, y: (x > y, x < y),
    "minimum": lambda x, y: (x > y, x < y),
    "amax": lambda x, dim, keepdim=False: (x == x.amax(dim, keepdim=True),),
    "amin": lambda x, dim, keepdim=False: (x == x.amin(dim, keepdim=True),),
}
COMPARISONS = {"gt", "ge", "lt", "le", "eq", "ne"}
SUMS = {"add", "sub", "rsub", "neg", "clone", "copy", "_to_copy", "where", "masked_fill"}  # affine in all
PRODUCTS = {"mul", "bmm"}  # affine in one of two
MAPS = {"mm", "div", "sum", "mean"}  # affine in the first
BLANKS = (  # of a tensor's shape, not of its numbers
    {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
)
REDUCTIONS = {"sum", "mean", "amax", "amin"}
MOVES = (  # numbers change places, and nothing else
    {"view", "_unsafe_view", "_reshape_alias", "alias", "detach", "squeeze", "unsqueeze", "expand", "repeat"}
    | {"t", "transpose", "permute", "flip", "roll", "slice", "select", "split", "split_with_sizes", "unbind"}
    | {"cat", "stack", "index", "index_select", "gather"}
)
