"""Factors of a block on some samples, still in torch, and their capture by hooks.

A Linear layer used once a sample has dJ/dW = input (x) gradient at its output, a table lookup has
(indices, weights) (x) gradient at its features. The gradient at the output comes from a delta: a zero
tensor that the hook adds to the output, so that whatever is done to the output in place cannot disturb it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ntkspec.export.layout import BlockPlan
from ntkspec.jacobian import Block, DenseFactor, Parameter, SparseFactor
from ntkspec.nets.lookup import TableLookup


@dataclass(frozen=True)
class SparseRows:
    """A sparse left factor."""

    indices: Tensor  # (n, k) int64
    weights: Tensor  # (n, k)
    columns: int


@dataclass(frozen=True)
class Piece:
    """One block on the samples of one chunk: J[i, o] = left[i] (x) right[i, o]."""

    plan: BlockPlan
    left: Tensor | SparseRows | None  # (n, a); None: ones of width 1
    right: Tensor  # (n, c, b)

    def contract(self, v: Tensor, *, absolute: bool = False) -> Tensor:
        """sum_io v[i, o] J[i, o] as (a*b,), or the same sum of absolute values."""
        right, left = self.right, self.left
        if absolute:
            v, right = v.abs(), right.abs()
        weighted = torch.einsum("no,nob->nb", v.to(right.dtype), right)
        if left is None:
            return weighted.sum(dim=0)
        if isinstance(left, SparseRows):
            weights = left.weights.abs() if absolute else left.weights
            entries = weights[:, :, None] * weighted[:, None, :]
            total = torch.zeros(left.columns, right.shape[2], dtype=entries.dtype, device=entries.device)
            return total.index_add_(0, left.indices.flatten(), entries.flatten(0, 1)).flatten()
        return ((left.abs() if absolute else left).T @ weighted).flatten()

    def bad_rows(self) -> Tensor:
        """Which samples have a NaN or an Inf: bool (n,)."""
        finite = torch.isfinite(self.right).flatten(1).all(dim=1)
        if self.left is not None:
            values = self.left.weights if isinstance(self.left, SparseRows) else self.left
            finite = finite & torch.isfinite(values).all(dim=1)
        return ~finite

    def to_block(self, dtype: np.dtype[Any]) -> Block:
        """The block in NumPy, as it is stored."""
        n, c, _ = self.right.shape
        left: DenseFactor | SparseFactor | None = None
        if isinstance(self.left, SparseRows):
            kind = np.int32 if self.left.columns <= np.iinfo(np.int32).max else np.int64
            indices = _numpy(self.left.indices, np.dtype(kind))
            left = SparseFactor(indices, _numpy(self.left.weights, dtype)[:, None], self.left.columns)
        elif self.left is not None:
            left = DenseFactor(_numpy(self.left, dtype)[:, None])
        parameters = tuple(Parameter(o.name, tuple(o.parameter.shape)) for o in self.plan.owned)
        right = DenseFactor(_numpy(self.right, dtype))
        return Block(self.plan.name, self.plan.role, n, c, left, right, self.plan.order, parameters)


def flat_gradient(plan: BlockPlan, gradients: dict[str, Tensor | None]) -> Tensor:
    """Gradients of the block's parameters as one vector in the block's own order (see run-format)."""
    parts = []
    for owned in plan.owned:
        gradient = gradients[owned.name]
        if gradient is None:
            gradient = torch.zeros_like(owned.parameter)
        transposed = plan.kind == "linear" and owned.attribute == "weight"
        parts.append((gradient.T if transposed else gradient).flatten())
    return torch.cat(parts)


@dataclass
class Capture:
    """What a hook saw of one module during one forward pass."""

    plan: BlockPlan
    calls: int = 0
    problem: str = ""
    input: Tensor | None = None
    delta: Tensor | None = None
    sparse: SparseRows | None = None
    closed: bool = field(default=False)  # the forward pass is over; a checkpoint may run it once more

    def hook(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        """A forward hook: keep the input, add the delta to the output."""
        if not self.closed:
            self.calls += 1
        if self.problem or self.calls > 1:
            return output
        if self.closed:
            return output if self.delta is None else output + self.delta
        given = [*args, *kwargs.values()]
        if len(given) != 1 or not isinstance(given[0], Tensor) or not isinstance(output, Tensor):
            self.problem = "called with other than one tensor"
        elif given[0].ndim != 2 or output.ndim != 2 or len(given[0]) != len(output):
            self.problem = f"called on shape {tuple(given[0].shape)}, not (n, in)"
        else:
            try:
                return self._keep(module, given[0].detach(), output)
            except Exception as error:  # the hook's own, which must not look like the model's
                self.problem = f"called where no hook can follow ({type(error).__name__})"
        return output

    def _keep(self, module: nn.Module, x: Tensor, output: Tensor) -> Tensor:
        x.data_ptr(), output.data_ptr()  # raises for what torch.func puts in a tensor's place
        self.input = x
        if isinstance(module, TableLookup):
            with torch.no_grad():
                indices, weights = module.lookup(x)
            self.sparse = SparseRows(indices.long(), weights, len(module.table))
        self.delta = torch.zeros_like(output, requires_grad=True)
        return output + self.delta

    def usable(self, n: int) -> str:
        """Why there are no factors for n samples; empty if there are."""
        if self.problem:
            return self.problem
        if self.calls != 1:
            return f"called {self.calls} times in one forward pass"
        if self.input is None or len(self.input) != n:
            rows = 0 if self.input is None else len(self.input)
            return f"called on {rows} rows for {n} samples"
        return ""

    def piece(self, right: Tensor) -> Piece:
        """The block's factors, given the gradient (n, c, out) at the module's output."""
        if self.plan.kind == "lookup":
            return Piece(self.plan, self.sparse, right)
        columns = []
        for owned in self.plan.owned:
            x = self.input
            assert x is not None  # usable() said so
            columns.append(x if owned.attribute == "weight" else x.new_ones(len(x), 1))
        only_bias = [owned.attribute for owned in self.plan.owned] == ["bias"]
        return Piece(self.plan, None if only_bias else torch.cat(columns, dim=1), right)


@contextlib.contextmanager
def capturing(model: nn.Module, plans: Sequence[BlockPlan]) -> Iterator[list[Capture]]:
    """Hooks on the modules of all factored plans, in order, removed at the end."""
    captures = [Capture(plan) for plan in plans if plan.kind != "dense"]
    handles = [
        model.get_submodule(capture.plan.module).register_forward_hook(capture.hook, with_kwargs=True)
        for capture in captures
    ]
    try:
        yield captures
    finally:
        for handle in handles:
            handle.remove()


def _numpy(tensor: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=dtype)
