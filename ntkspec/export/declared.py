"""The lookups that modules derived from `TableLookup` declare, recorded during one forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    calls: int = 0
    problem: str = ""
    left: SparseRows | None = None  # (n, 1, k)
    edge: GradientEdge | None = None  # at the features (n, F)

    def hook(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Record the lookup, and where its result is in the graph; called by torch as a forward hook."""
        self.calls += 1
        if self.problem or self.calls > 1:
            return
        arguments = [*args, *kwargs.values()]
        try:
            (x,) = arguments
            assert isinstance(module, TableLookup)
            x.data_ptr(), output.data_ptr()  # raises for what torch.func puts in a tensor's place
            with torch.no_grad():
                indices, weights = module.lookup(x.detach())
            self.edge = get_gradient_edge(output)
            self.left = SparseRows(indices.long(), weights[:, None], len(module.table))
        except Exception as error:  # the hook's own, which must not look like the model's
            self.problem = f"called where no hook can follow ({type(error).__name__})"

    def usable(self, samples: int) -> str:
        """Return "" if the module was called once, on `samples` rows; otherwise what was wrong."""
        if self.problem:
            return self.problem
        if self.left is None or self.calls != 1:
            return f"called {self.calls} times in a forward pass"
        if len(self.left.indices) != samples:
            return f"called on {len(self.left.indices)} rows for {samples} samples"
        return ""


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
