"""The lookups that modules derived from `TableLookup` declare, recorded during one forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ntkspec.export.plans import BlockPlan
from ntkspec.export.sparse_rows import SparseRows
from ntkspec.nets.lookup import TableLookup


@dataclass
class Capture:
    """The lookup of one module, as a hook records it during one forward pass."""

    plan: BlockPlan
    problem: str = ""
    lefts: list[SparseRows] = field(default_factory=list)  # of each call, (rows, 1, k)
    edges: list[GradientEdge] = field(default_factory=list)  # at the features (rows, F) of each call

    def hook(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Record the lookup, and where its result is in the graph; called by torch as a forward hook."""
        if self.problem:
            return
        arguments = [*args, *kwargs.values()]
        try:
            (x,) = arguments
            assert isinstance(module, TableLookup)
            x.data_ptr(), output.data_ptr()  # raises for what torch.func puts in a tensor's place
            if not output.requires_grad:
                return
            with torch.no_grad():
                indices, weights = module.lookup(x.detach())
            self.edges.append(get_gradient_edge(output))
            self.lefts.append(SparseRows(indices.long(), weights[:, None], len(module.table)))
        except Exception as error:  # the hook's own, which must not look like the model's
            self.problem = f"called where no hook can follow ({type(error).__name__})"

    @property
    def left(self) -> SparseRows:
        """Return the rows of all calls, one after another, as of a batch that is taken in pieces."""
        width = max(left.indices.shape[1] for left in self.lefts)
        lefts = [left.widened(width) for left in self.lefts]
        indices, values = (
            torch.cat([left.indices for left in lefts]),
            torch.cat([left.values for left in lefts]),
        )
        return SparseRows(indices, values, lefts[0].columns)

    def usable(self, samples: int) -> str:
        """Return "" if the module was called on `samples` rows in all; otherwise what was wrong."""
        rows = sum(len(left.indices) for left in self.lefts)
        return self.problem or ("" if rows == samples else f"called on {rows} rows for {samples} samples")


@contextlib.contextmanager
def capturing(model: nn.Module, plans: Sequence[BlockPlan]) -> Iterator[list[Capture]]:
    """Record the declared lookups of a forward pass by hooks, which are removed at the end of the context.

    Yields:
        One `Capture` for each plan of a declared lookup, in the order of the plans.
    """
    captures = [Capture(plan) for plan in plans if plan.kind == "lookup"]
    handles = [
        model.get_submodule(capture.plan.owned[0].module).register_forward_hook(
            capture.hook, with_kwargs=True
        )
        for capture in captures
    ]
    try:
        yield captures
    finally:
        for handle in handles:
            handle.remove()
