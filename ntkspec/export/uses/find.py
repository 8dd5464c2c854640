"""Every use of a parameter in a forward pass, found in autograd's graph.

Whatever a forward pass is written in (modules, functions, methods, operators), each operation leaves a node
in the graph, and the edges that end at a parameter are all of its uses. None can be missed, and one of an
unknown kind is recognised as such.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ntkspec.export import graph
from ntkspec.export.uses.moves import GATHERS, SAMPLERS, Move, adds_a_constant, is_move

MOST_USES = 256  # of one parameter; one used more often is not followed

Moved = dict[tuple[Move, ...], Tensor]  # positions after the first moves of a parameter's uses
Consumers = Mapping[graph.Node, list[graph.Consumer]]


@dataclass(frozen=True)
class Use:
    """An operation that uses a parameter's numbers, and the moves that they go through before it."""

    node: graph.Node  # None: the numbers are outputs themselves
    slot: int  # which of the operation's inputs
    moves: tuple[Move, ...]

    @property
    def operation(self) -> str:
        """Return the operation's name, such as "Index"."""
        return "output" if self.node is None else graph.operation(self.node)

    @property
    def factor(self) -> float:
        """Return what the numbers were multiplied by before the operation."""
        return math.prod(move.factor for move in self.moves)

    def positions(self, parameter: Tensor, moved: Moved) -> Tensor:
        """Return, for each number that the operation takes, its position in the flat parameter, or -1.

        Args:
            parameter: whose use it is.
            moved: cache of its positions after each sequence of moves; new ones are added.

        Raises:
            Exception: of any type, if the graph does not keep an argument of a move.
        """
        places = _numbers(parameter.numel(), parameter.device).view(parameter.shape)
        for count, move in enumerate(self.moves, 1):
            way = self.moves[:count]
            if way not in moved:
                moved[way] = move(places)
            places = moved[way]
        return places


def is_full_view(positions: Tensor) -> bool:
    """Return whether positions are those of a whole parameter, each once, and a view that copies none."""
    storage = positions.untyped_storage()
    if storage.nbytes() != positions.numel() * positions.element_size():
        return False
    numbers = _numbers(positions.numel(), positions.device)
    return storage.data_ptr() == numbers.untyped_storage().data_ptr() and all(
        stride > 0 for stride, size in zip(positions.stride(), positions.shape, strict=True) if size > 1
    )


def picked(numbers: Tensor, positions: Tensor) -> Tensor:
    """Return those of `numbers` (size,) at positions (...), in their shape, without a copy where possible."""
    if is_full_view(positions):
        numbers = numbers.contiguous()  # and maybe a part of something larger
        start = numbers.storage_offset() + positions.storage_offset()
        return numbers.as_strided(positions.shape, positions.stride(), start)
    return numbers[positions.long()]


@functools.cache
def _numbers(count: int, device: torch.device) -> Tensor:
    """Return 0, 1, 2, ..., the same tensor each time: tables are looked at again and again."""
    dtype = torch.int32 if count <= torch.iinfo(torch.int32).max else torch.int64
    return torch.arange(count, dtype=dtype, device=device)


def forget_numbers() -> None:
    """Clear the cache of positions."""
    _numbers.cache_clear()


def find_uses(
    outputs: Tensor, parameters: Mapping[str, Tensor], consumers: Consumers
) -> dict[str, tuple[Use, ...]]:
    """Return all uses of each parameter in the graph of `outputs`; an empty tuple if there are none."""
    leaves = {id(node.variable): node for node in consumers if graph.is_leaf(node)}
    search, uses = _Search(consumers, outputs.grad_fn), {}
    for name, parameter in parameters.items():
        of_parameter: list[Use] = []
        if id(parameter) in leaves:
            search.follow(leaves[id(parameter)], 0, parameter.shape, (), of_parameter)
        elif outputs is parameter:
            of_parameter.append(Use(None, 0, ()))
        uses[name] = tuple(of_parameter)
    return uses


@dataclass(frozen=True, eq=False)
class _Search:
    """A search through the graph of some outputs."""

    consumers: Consumers
    root: graph.Node  # that made the outputs
    # What `is_read_again` has returned: where results are used several times, there are many ways to a node.
    read_again: dict[graph.Node, bool] = field(default_factory=dict)

    def follow(
        self, node: graph.Node, result: int, shape: torch.Size, moves: tuple[Move, ...], uses: list[Use]
    ) -> None:
        """Append to `uses` the uses of a node's result number `result`, which has the shape `shape`."""
        if node is self.root and result == 0:
            uses.append(Use(None, 0, moves))
        for consumer in self.consumers.get(node, ()):
            if consumer.result != result or len(uses) > MOST_USES:
                continue
            if not self.goes_on(consumer, shape):
                uses.append(Use(consumer.node, consumer.slot, moves))
                continue
            for number in range(len(consumer.node._input_metadata)):
                move = Move(consumer.node, consumer.slot, number)
                self.follow(consumer.node, number, move.shape, (*moves, move), uses)

    def goes_on(self, consumer: graph.Consumer, shape: torch.Size) -> bool:
        """Return whether an operation only moves numbers.

        Lookups, and sums with constants, count as moves if all operations on their results are lookups.
        """
        node, slot, _ = consumer
        if is_move(node, slot):
            return True
        looked_up = slot == 0 and graph.operation(node) in GATHERS
        return (looked_up or adds_a_constant(node, slot, shape)) and self.is_read_again(node)

    def is_read_again(self, node: graph.Node) -> bool:
        """Return whether all operations on a node's results are lookups in them; moves may come before."""
        if node not in self.read_again:
            takers = self.consumers.get(node, ())
            read = node is not self.root and bool(takers)
            self.read_again[node] = read and all(self._reads(node, taker) for taker in takers)
        return self.read_again[node]

    def _reads(self, node: graph.Node, taker: graph.Consumer) -> bool:
        if taker.slot == 0 and graph.operation(taker.node) in GATHERS.keys() | SAMPLERS:
            return True
        shape = graph.result_shape(node, taker.result)
        passes = is_move(taker.node, taker.slot) or adds_a_constant(taker.node, taker.slot, shape)
        return passes and self.is_read_again(taker.node)
