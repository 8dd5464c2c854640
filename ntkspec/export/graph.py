"""Autograd's graph of some outputs: its nodes and their operations, leaves, and who takes which results."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

Node: TypeAlias = Any  # a node of the graph; torch has no types for what it keeps of its operation

_Leaf = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]  # untyped in torch


class Consumer(NamedTuple):
    """An operation that takes a result of another."""

    node: Node
    slot: int  # which of its inputs that is
    result: int  # which of the other's results


def operation(node: Node) -> str:
    """Return the operation that made a node, such as "Index" for IndexBackward0."""
    return re.sub(r"Backward\d*$", "", str(node.name()).split("::")[-1])


def result_shape(node: Node, result: int = 0) -> torch.Size:
    """Return the shape of result number `result` of a node's operation."""
    return torch.Size(node._input_metadata[result].shape)


def is_complex(node: Node, result: int = 0) -> bool:
    """Return whether result number `result` of a node's operation is complex."""
    dtype: torch.dtype = node._input_metadata[result].dtype
    return dtype.is_complex


def nodes(outputs: Tensor) -> list[Node]:
    """Return the nodes of the graph, each once."""
    reached: list[Node] = [] if outputs.grad_fn is None else [outputs.grad_fn]
    seen = {None, *reached}
    for node in reached:  # which grows meanwhile
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                reached.append(following)
    return reached


def consumers(outputs: Tensor) -> dict[Node, list[Consumer]]:
    """Return, for each node of the graph in the order of `nodes`, the operations that take its results."""
    takers: dict[Node, list[Consumer]] = {node: [] for node in nodes(outputs)}
    for node in takers:
        for slot, (following, result) in enumerate(node.next_functions):
            if following is not None:
                takers[following].append(Consumer(node, slot, result))
    return takers


def is_leaf(node: Node) -> bool:
    """Return whether a node stands for a tensor at which the graph ends."""
    return isinstance(node, _Leaf)


def leaves(outputs: Tensor) -> list[Tensor]:
    """Return the tensors at which the graph ends, each once."""
    if outputs.grad_fn is None:
        return [outputs] if outputs.requires_grad else []
    return [node.variable for node in nodes(outputs) if is_leaf(node)]


def result_bytes(outputs: Tensor) -> int:
    """Return the bytes of the results of all operations in the graph."""
    results = [result for node in nodes(outputs) for result in node._input_metadata]
    return sum(math.prod(result.shape) * result.dtype.itemsize for result in results)
