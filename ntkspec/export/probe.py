"""A few samples, before the work: what the model's outputs are, what they depend on, and which plan holds."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ntkspec.errors import ExportError
from ntkspec.export.compute import Chunk, Replan, compute, not_finite, or_rounding
from ntkspec.export.evaluation import evaluate
from ntkspec.export.examine import examine
from ntkspec.export.factors import SparseRows
from ntkspec.export.gradients import gradients_of, random_cotangents, require_gradient
from ntkspec.export.graph import result_bytes
from ntkspec.export.layout import BlockPlan, Choices, Roles, lay_out
from ntkspec.export.prepare import Prepared
from ntkspec.export.tolerance import Difference, Tolerance, largest
from ntkspec.memory import require

PROBES = 7  # samples, spread over the data
WORKING_COPIES = 5  # of a dense chunk: rows, columns, their stack, the block, absolute values


@dataclass(frozen=True)
class Probed:
    """What the probe found."""

    choices: Choices
    outputs: int  # c
    saved: int  # bytes a sample that a forward pass keeps for its backward pass
    stored: int  # bytes a sample in all blocks


def probe(prepared: Prepared, x: Tensor, roles: Roles | None, budget: int) -> Probed:
    """Settle the choices on a few of the samples x (n, d), in two batch sizes.

    Raises:
        ExportError: outputs that are unfit, or that depend on other samples or on chance.
        MemoryBudgetError: not even one sample's dense Jacobian fits.
    """
    picked = x[torch.linspace(0, len(x) - 1, min(len(x), PROBES)).long()]
    batch = picked if len(picked) > 1 else picked.repeat(2, 1)
    c, unused = examine(prepared, batch)
    choices = Choices(unused=unused, single=_compares_alone(prepared, batch))
    stored = 0
    for part in (batch, batch[: max(len(batch) // 2, 1)]):
        choices, chunk = _settle(prepared, part, choices, roles, budget, c)
        stored = max(stored, _stored_bytes(chunk))
    return Probed(choices, c, _saved_bytes(prepared.model, batch, budget), stored)


def samples_that_fit(plans: tuple[BlockPlan, ...], c: int, itemsize: int, budget: int) -> int:
    """How many samples' dense blocks fit the budget; at least one.

    Raises:
        MemoryBudgetError: none does.
    """
    dense = [plan for plan in plans if plan.kind == "dense"]
    need = sum(plan.width for plan in dense) * c * itemsize * WORKING_COPIES
    if need > budget:
        largest = max(dense, key=lambda plan: plan.width)
        why = f"most of it for {largest.name} ({largest.width} parameters), dense because: {largest.reason}"
        require(
            f"dense Jacobian of one sample, {why}",
            need,
            budget,
            "raise the memory budget or freeze those parameters",
        )
    return budget // need if need else sys.maxsize


def _settle(
    prepared: Prepared, x: Tensor, choices: Choices, roles: Roles | None, budget: int, c: int
) -> tuple[Choices, Chunk]:
    while True:
        plans = lay_out(prepared, choices, roles)
        fit = samples_that_fit(plans, c, prepared.dtype.itemsize, budget)
        try:
            return choices, compute(prepared, plans, choices, x[:fit])
        except Replan as replan:
            choices = replan.choices


def _compares_alone(prepared: Prepared, x: Tensor) -> bool:
    """Compare the batch with its samples one by one; return whether only single precision agrees.

    Raises:
        ExportError: they do not agree at all.
    """
    outputs = evaluate(prepared.model, x)
    v = random_cotangents(outputs)
    together = gradients_of(prepared, outputs, v)
    total = {name: torch.zeros_like(g) for name, g in together.items() if g is not None}
    scale = {name: torch.zeros_like(g) for name, g in total.items()}
    changes = []
    for i in range(len(x)):
        alone = evaluate(prepared.model, x[i : i + 1], connected=False)
        changes.append(Difference.of(alone[0] - outputs[i], outputs))
        if not alone.requires_grad:
            continue
        for name, gradient in gradients_of(prepared, alone, v[i : i + 1]).items():
            if gradient is not None and not torch.isfinite(gradient).all():
                raise not_finite(name, x[i : i + 1])
            if gradient is not None and name in total:
                total[name] += gradient
                scale[name] += gradient.abs()
    whole = largest(together.values())
    errors = [Difference.of(total[n] - g, scale[n], whole) for n, g in together.items() if g is not None]
    return _verdict(prepared, x, changes, errors)


def _verdict(prepared: Prepared, x: Tensor, changes: list[Difference], errors: list[Difference]) -> bool:
    """Whether only single precision explains what changes in outputs and gradients at x (n, d)."""
    dtype = prepared.dtype
    limit = Tolerance.of(dtype, Choices()).dense
    if not limit.worst(changes + errors):
        return dtype == torch.float32
    if not Tolerance.of(dtype, Choices(single=True)).dense.worst(changes + errors):
        return True
    by_outputs, by_gradients = limit.worst(changes), limit.worst(errors)
    if not by_outputs:
        require_gradient(prepared, x)
    what = "outputs" if by_outputs >= by_gradients else "gradients"
    raise ExportError(
        "model",
        expected="samples of a batch that do not depend on each other",
        got=f"{what} that change by {max(by_outputs, by_gradients):.1e} (relative) "
        "when a sample is evaluated alone",
        remedy="remove attention, normalisation or statistics across the batch, and half-precision casts"
        + or_rounding(dtype),
    )


def _stored_bytes(chunk: Chunk) -> int:
    """Bytes a sample, rounded up."""
    total = 0
    for piece in chunk.pieces:
        tensors = [piece.right]
        if isinstance(piece.left, SparseRows):
            tensors += [piece.left.indices, piece.left.weights]
        elif piece.left is not None:
            tensors.append(piece.left)
        total += sum(tensor.nbytes for tensor in tensors)
    return -(-total // len(chunk.outputs))


def _saved_bytes(model: nn.Module, x: Tensor, budget: int) -> int:
    """Bytes a sample that autograd keeps between a forward and a backward pass: measured or estimated.

    Where neither can be done, which is no fault of the model, as many as allow a few samples at a time.
    """
    for count in (_kept_bytes, _result_bytes):
        with contextlib.suppress(Exception):
            return -(-count(model, x) // len(x))
    return budget // len(x)


def _kept_bytes(model: nn.Module, x: Tensor) -> int:
    """What autograd keeps, by its own account, which it refuses within torch.func and for sparse tensors."""
    parameters = {parameter.data_ptr() for parameter in model.parameters()}
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        if tensor.data_ptr() not in parameters:
            total += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        evaluate(model, x)
    return total


def _result_bytes(model: nn.Module, x: Tensor) -> int:
    """Twice the results of all operations that autograd has a record of."""
    return 2 * result_bytes(evaluate(model, x))
