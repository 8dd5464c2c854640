"""Autograd's graph of some outputs: what it ends at, and what it has a record of."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_Leaf = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]  # untyped in torch


def nodes(outputs: Tensor) -> list[Any]:
    """The nodes of the graph, each once."""
    found: list[Any] = [] if outputs.grad_fn is None else [outputs.grad_fn]
    seen = {None, *found}
    for node in found:  # which grows meanwhile
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                found.append(following)
    return found


def leaves(outputs: Tensor) -> list[Tensor]:
    """The tensors that the graph ends at, each once."""
    if outputs.grad_fn is None:
        return [outputs] if outputs.requires_grad else []
    return [node.variable for node in nodes(outputs) if isinstance(node, _Leaf)]


def result_bytes(outputs: Tensor) -> int:
    """Bytes of the results of all operations in the graph."""
    results = [result for node in nodes(outputs) for result in node._input_metadata]
    return sum(math.prod(result.shape) * result.dtype.itemsize for result in results)
