"""How many samples are computed at a time: the memory that a chunk of them takes, and that it may take."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ntkspec.export.evaluation import evaluate
from ntkspec.export.graph import result_bytes
from ntkspec.export.plans import WORKING_COPIES, BlockPlan
from ntkspec.machine.memory import GIB, available_bytes, budget_bytes, format_bytes, require

CHUNK_SHARE, CHUNK_LIMIT = 0.25, GIB // 4  # of the free memory, and bytes; a chunk takes the smaller
SCANNED_AT_ONCE = 32  # samples, so that progress is seen


def chunk_bytes(memory: float | None, device: torch.device) -> int:
    """Return the bytes that a chunk may take, on the device and on the host, to which it is copied.

    Args:
        memory: GiB, if the caller gave a limit.
        device: where the model is evaluated.
    """
    if memory is not None:
        return budget_bytes(memory)
    free = available_bytes()
    if device.type == "cuda":
        # What torch has reserved for later tensors is free, too.
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = min(free, torch.cuda.mem_get_info(device)[0] + reserved)
    return int(min(CHUNK_SHARE * free, CHUNK_LIMIT))


@dataclass(frozen=True)
class Budget:
    """The memory that a chunk may take, and the sizes of the export."""

    bytes: int
    outputs: int  # c
    samples: int  # n, of the whole export
    itemsize: int  # bytes of a number while it is computed
    saved: int  # bytes a sample that a forward pass keeps for its backward pass

    def stored(self, plans: Sequence[BlockPlan]) -> int:
        """Return the bytes of one sample in all blocks."""
        return sum(plan.bytes_a_sample(self.outputs, self.itemsize) for plan in plans)

    def working(self, plans: Sequence[BlockPlan]) -> int:
        """Return the bytes that one sample takes while its blocks are computed."""
        return 2 * self.saved + sum(plan.working_bytes(self.outputs, self.itemsize) for plan in plans)

    def dense(self, plans: Sequence[BlockPlan]) -> int:
        """Return how many samples' dense blocks fit; at least one.

        Raises:
            MemoryBudgetError: none does.
        """
        dense = [plan for plan in plans if plan.kind == "dense"]
        need = sum(plan.width for plan in dense) * self.outputs * self.itemsize * WORKING_COPIES
        if need > self.bytes:
            widest = max(dense, key=lambda plan: plan.width)
            whole = format_bytes(self.samples * self.stored(plans))
            why = f"most of it for {widest.name} ({widest.width} parameters), dense because: {widest.reason}"
            require(
                f"dense Jacobian of one sample, of {whole} for all {self.samples}, {why}",
                need,
                self.bytes,
                "; ".join(filter(None, [widest.form.remedy, "freeze it, or raise the memory budget"])),
            )
        return self.bytes // need if need else sys.maxsize

    def chunk(self, plans: Sequence[BlockPlan]) -> int:
        """Return how many samples are computed at a time.

        Raises:
            MemoryBudgetError: not even one sample's dense blocks fit.
        """
        fitting = min(self.dense(plans), self.bytes // max(self.working(plans), 1), self.samples)
        if any(plan.kind == "scanned" for plan in plans):
            fitting = min(fitting, SCANNED_AT_ONCE)
        return max(fitting, 1)


def saved_bytes(model: nn.Module, x: Tensor, budget: int) -> int:
    """Return the bytes a sample that autograd keeps between a forward and a backward pass at x (m, d).

    Two batches are compared, since what is kept once, such as a copy of a table, belongs to no sample. Where
    neither way to count works, the budget is divided by the samples, so that chunks are small.
    """
    few = x[: max(len(x) // 2, 1)]
    for count in (_kept_bytes, _result_bytes):
        with contextlib.suppress(Exception):
            more, fewer = count(model, x), count(model, few)
            return -(-(more - fewer) // (len(x) - len(few))) if more > fewer else -(-more // len(x))
    return budget // len(x)


def _kept_bytes(model: nn.Module, x: Tensor) -> int:
    """Count the bytes that autograd keeps; raises within torch.func and for sparse tensors."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        if tensor.untyped_storage().data_ptr() not in parameters:
            total += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        evaluate(model, x)
    return total


def _result_bytes(model: nn.Module, x: Tensor) -> int:
    """Return twice the bytes of the results of all operations in autograd's graph."""
    return 2 * result_bytes(evaluate(model, x))
