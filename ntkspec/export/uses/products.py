"""Linear maps: products of the samples' rows with a matrix, and shifts that are added to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ntkspec.export.graph import Node, operation, result_shape
from ntkspec.export.uses.find import Consumers, Moved, Use
from ntkspec.export.uses.moves import Move, is_move

_PRODUCTS = {"Mm": (0, 1), "Addmm": (1, 2), "Bmm": (0, 1)}  # the slots of both matrices
_SAVED = {"Mm": ("self", "mat2"), "Addmm": ("mat1", "mat2"), "Bmm": ("self", "mat2")}


@dataclass(frozen=True, eq=False)
class Product:
    """A product left @ matrix, where the matrix is a parameter.

    Its Jacobian is left (x) the gradient at the result.
    """

    node: Node
    left: Tensor  # (N, a)
    positions: Tensor  # (a, b): of the matrix in the parameter as one flat vector
    transposed: bool  # the result is (b, N)
    parts: int  # real numbers in each number of the parameter: 2 if it is complex, else 1

    @property
    def rows(self) -> int:
        """Return N."""
        return len(self.left)

    @property
    def widths(self) -> tuple[int, int]:
        """Return (a, b), the shape of the matrix; b counts a complex number as two real ones."""
        a, b = self.positions.shape
        return a, b * self.parts

    def right(self, gradient: Tensor) -> Tensor:
        """Bring values at the numbers of the result, (*result, ...), into the shape (N, b, ...)."""
        shape = result_shape(self.node)
        gradient = gradient.reshape(*shape[-2:], *gradient.shape[len(shape) :])
        return gradient.movedim(1, 0) if self.transposed else gradient


@dataclass(frozen=True, eq=False)
class Shift:
    """A vector (b,) of a parameter's numbers that is added to each of the N rows of a tensor (..., b)."""

    node: Node
    site: Node  # the product whose result they are added to; the sum itself where there is none
    positions: Tensor  # (b,)
    scale: float
    parts: int  # see Product

    @property
    def rows(self) -> int:
        """Return N."""
        return result_shape(self.node)[:-1].numel()

    @property
    def widths(self) -> tuple[int, int]:
        """Return (1, b); b counts a complex number as two real ones."""
        return 1, len(self.positions) * self.parts


def product_of(use: Use, parameter: Tensor, moved: Moved) -> Product | None:
    """Return the product that a use of `parameter` is; None if it is none. `moved`: as in `Use.positions`."""
    name = use.operation
    if name not in _PRODUCTS or use.slot not in _PRODUCTS[name]:
        return None
    first = use.slot == _PRODUCTS[name][0]
    positions = use.positions(parameter, moved)
    other: Tensor = getattr(use.node, f"_saved_{_SAVED[name][first]}").detach()
    if name == "Bmm":
        if len(positions) != 1:
            return None  # a batch of products: the matrix is used at several places
        positions, other = positions[0], other[0]
    left = other.T if first else other
    scale = use.factor * (node_factor(use.node, "alpha") if name == "Addmm" else 1)
    left = left if scale == 1 else left * scale
    return Product(use.node, left, positions.T if first else positions, first, _parts(parameter))


def shift_of(use: Use, parameter: Tensor, consumers: Consumers, moved: Moved) -> Shift | None:
    """Return the shift that a use of `parameter` is; None if it is none. `moved`: as in `Use.positions`."""
    added_to_product = use.operation == "Addmm" and use.slot == 0
    if not added_to_product and use.operation not in ("Add", "Sub"):
        return None
    positions, shape = use.positions(parameter, moved), result_shape(use.node)
    row = positions.reshape(-1)
    leading = positions.shape[:-1]
    if len(shape) < 2 or positions.shape[-1:] != shape[-1:] or leading.numel() != 1:
        return None
    if added_to_product:
        scale = use.factor * node_factor(use.node, "beta")
        return Shift(use.node, use.node, row, scale, _parts(parameter))
    sign = -1.0 if use.operation == "Sub" else 1.0
    scale = sign * node_factor(use.node, "alpha") if use.slot == 1 else 1.0
    site = _product_behind(use, consumers)
    return Shift(use.node, site, row, use.factor * scale, _parts(parameter))


def _parts(parameter: Tensor) -> int:
    return 2 if parameter.is_complex() else 1


def node_factor(node: Node, name: str) -> float:
    """Return a factor that a node of the graph keeps, such as alpha; 1 if it keeps none."""
    return float(getattr(node, f"_saved_{name}", 1))


def _product_behind(use: Use, consumers: Consumers) -> Node:
    """Return the node of the product that a shift is added to; the node of the sum if there is none.

    A product counts only if no other operation uses its result.
    """
    edge = use.node.next_functions[1 - use.slot]
    moves: list[Move] = []
    while edge[0] is not None and len(consumers[edge[0]]) == 1:
        node, result = edge
        if operation(node) in _PRODUCTS:
            # An Addmm has a shift already, unless that is a constant.
            shifted = operation(node) == "Addmm" and node.next_functions[0][0] is not None
            return node if not shifted and _same_rows(node, moves) else use.node
        if not is_move(node, 0) or len(node.next_functions) != 1 or Move(node, 0, result).factor != 1:
            break
        moves.append(Move(node, 0, result))
        edge = node.next_functions[0]
    return use.node


def _same_rows(product: Node, moves: list[Move]) -> bool:
    """Return whether moves leave the numbers of a product in the order of its rows or of its columns."""
    if not moves:
        return True
    shape = result_shape(product)[-2:]
    numbers = torch.arange(shape.numel(), device="cpu")
    moved = numbers.view(result_shape(product))
    for move in reversed(moves):
        moved = move(moved)
    return any(torch.equal(moved.flatten(), order.flatten()) for order in (numbers, numbers.view(shape).T))
