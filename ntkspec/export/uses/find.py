"""Every use of a parameter in a forward pass, as autograd's graph has it.

Whatever a forward pass is written in (modules, functions, methods, operators), each operation leaves a node
in the graph, and the edges that end at a parameter are all of its uses. None can be missed; one that is of no
known kind is seen to be so.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ntkspec.export import graph
from ntkspec.export.uses.moves import Move, is_move, operation

MOST_USES = 256  # of one parameter; one used more often is not followed
WORTH_KEEPING = 1_000_000  # numbers of a table


@dataclass(frozen=True)
class Use:
    """An operation on a parameter's numbers, after moves that change their places alone."""

    node: Any  # None: the numbers are outputs themselves
    slot: int  # which of the operation's inputs
    moves: tuple[Move, ...]

    @property
    def operation(self) -> str:
        """Its name, such as "Index"."""
        return "output" if self.node is None else operation(self.node)

    @property
    def factor(self) -> float:
        """What the numbers were multiplied by before the operation."""
        return math.prod(move.factor for move in self.moves)

    def positions(self, parameter: Tensor) -> Tensor:
        """Where in the parameter, as one flat vector, each number is that the operation takes; -1: nowhere.

        Raises:
            Exception: whatever comes of a graph that does not keep what a move was told.
        """
        places = _numbers(parameter.numel(), parameter.device).view(parameter.shape)
        for move in self.moves:
            places = move(places)
        return places


def _numbers(count: int, device: torch.device) -> Tensor:
    return _kept_numbers(count, device) if count >= WORTH_KEEPING else _new_numbers(count, device)


def _new_numbers(count: int, device: torch.device) -> Tensor:
    dtype = torch.int32 if count <= torch.iinfo(torch.int32).max else torch.int64
    return torch.arange(count, dtype=dtype, device=device)


_kept_numbers = functools.lru_cache(maxsize=1)(_new_numbers)  # a large table is looked at again and again


def forget_numbers() -> None:
    """Let go of what is kept from one look at a table to the next."""
    _kept_numbers.cache_clear()


def find_uses(outputs: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, tuple[Use, ...]]:
    """All uses of each of the parameters in the graph of `outputs`; none where nothing connects them."""
    consumers = graph.consumers(outputs)
    leaves = {id(node.variable): node for node in graph.nodes(outputs) if graph.is_leaf(node)}
    uses = {}
    for name, parameter in parameters.items():
        found: list[Use] = []
        if id(parameter) in leaves:
            _follow(leaves[id(parameter)], 0, (), consumers, outputs.grad_fn, found)
        uses[name] = tuple(found)
    return uses


def _follow(
    node: Any,
    result: int,
    moves: tuple[Move, ...],
    consumers: Mapping[Any, list[graph.Consumer]],
    root: Any,
    found: list[Use],
) -> None:
    """Add the uses of a node's result to `found`."""
    if node is root and result == 0:
        found.append(Use(None, 0, moves))
    for consumer in consumers.get(node, ()):
        if consumer.result != result or len(found) > MOST_USES:
            continue
        if not is_move(consumer.node, consumer.slot):
            found.append(Use(consumer.node, consumer.slot, moves))
            continue
        for number in range(len(consumer.node._input_metadata)):
            move = Move(consumer.node, consumer.slot, number)
            _follow(consumer.node, number, (*moves, move), consumers, root, found)
