"""A few samples computed before all others, to find the number of outputs and a plan that holds."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ntkspec.export.alone import compares_alone
from ntkspec.export.chunk import rank_one_limit
from ntkspec.export.chunk_blocks import ProductBlock, RowsBlock
from ntkspec.export.compute import Chunk, compute
from ntkspec.export.dense import mostly_zero
from ntkspec.export.evaluation import evaluate, spread
from ntkspec.export.examine import examine
from ntkspec.export.forms import Form
from ntkspec.export.graph import result_bytes
from ntkspec.export.layout import WORKING_COPIES, BlockPlan, Choices, lay_out
from ntkspec.export.prepare import Prepared
from ntkspec.export.rank_one import MOST_LEVELS, find_layout
from ntkspec.export.replan import Replan
from ntkspec.export.sparse_rows import SparseRows
from ntkspec.export.steady import Start
from ntkspec.export.tolerance import largest
from ntkspec.memory import format_bytes, require
from ntkspec.roles import Roles

PROBES = 7  # samples, spread over the data
LARGE = 100_000  # numbers of a parameter whose rows are searched for zeros
SPARSE = 1 / 16  # share of nonzero numbers up to which rows are stored without zeros


@dataclass(frozen=True)
class Probed:
    """The results of the probe."""

    choices: Choices
    outputs: int  # c
    largest: float  # output of these samples, by its absolute value
    saved: int  # bytes a sample that a forward pass keeps for its backward pass
    sparse: frozenset[str]  # dense parameters whose rows are mostly zero, as an encoding's are
    start: Start


def probe(prepared: Prepared, x: Tensor, roles: Roles, budget: int) -> Probed:
    """Find choices that hold on a few of the samples x (n, d), in two batch sizes.

    Raises:
        ExportError: outputs that are unfit, or that depend on other samples or on chance.
        MemoryBudgetError: not even one sample's dense Jacobian fits.
    """
    picked = spread(x, PROBES)
    batch = picked if len(picked) > 1 else picked.repeat(2, 1)
    c, unused, forms = examine(prepared, batch)
    tables = {name for name, form in forms.items() if form.kind == "rows"}
    start = Start.of(prepared, batch, tables)
    choices = Choices(forms, unused, single=compares_alone(prepared, batch, tables, x))
    several = len(picked) > 1
    room = Room(budget, c, len(x))
    choices, chunk = _settle(prepared, batch, choices, roles, room)
    choices = choices.with_forms(_seen_forms(chunk, choices, several))
    choices, _ = _settle(prepared, batch[: max(len(batch) // 2, 1)], choices, roles, room)
    saved = _saved_bytes(prepared.model, batch, budget)
    return Probed(choices, c, largest([chunk.outputs]), saved, _mostly_zero(chunk), start)


def _seen_forms(chunk: Chunk, choices: Choices, several: bool) -> dict[str, Form]:
    """Return how the rows of tables are stored in the least room, and whether samples differ in them.

    Args:
        chunk: the Jacobian of some samples.
        choices: what was planned.
        several: they are not one sample repeated.
    """
    forms = {}
    for block in chunk.blocks:
        if isinstance(block, RowsBlock):
            (owned,), form = block.plan.owned, block.plan.form
            levels = _levels_to_try(owned.shape, chunk.lookups.get(owned.name, ()))
            layout = find_layout(block.rows, owned.shape, levels, rank_one_limit(block.rows, choices))
            read = chunk.alike.get(owned.name)
            differ = form.varies if form.kind == "scanned" else read is None or not len(read)
            forms[owned.name] = replace(form, layout=layout, varies=differ or not several)
        elif isinstance(block, ProductBlock) and isinstance(block.left, SparseRows):
            forms[block.plan.owned[0].name] = replace(block.plan.form, entries=block.left.indices.shape[1])
    return forms


def _levels_to_try(shape: tuple[int, ...], lookups: Sequence[torch.Size]) -> set[int]:
    """Return how many levels a table may have.

    A number of levels is the product of the table's leading axes, an axis of a lookup's result, or a divisor
    of the number of lookups.
    """
    leading = {math.prod(shape[:axis]) for axis in range(1, len(shape))}
    axes = {size for result in lookups for size in result}
    divisors = {count for count in range(1, len(lookups) + 1) if len(lookups) % count == 0}
    return {count for count in leading | axes | divisors if 1 <= count <= MOST_LEVELS}


def _mostly_zero(chunk: Chunk) -> frozenset[str]:
    """Return the names of the dense parameters whose rows are mostly zero."""
    names = set()
    for block in chunk.blocks:
        if isinstance(block, ProductBlock) and block.plan.kind == "dense":
            parts = torch.split(block.right, [owned.size for owned in block.plan.owned], dim=2)
            for owned, rows in zip(block.plan.owned, parts, strict=True):
                if 0 < int((rows != 0).any(1).sum(1).max()) <= SPARSE * owned.size:
                    names.add(owned.name)
    return frozenset(names)


@dataclass(frozen=True)
class Room:
    """The memory that is available, and the sizes of the export."""

    budget: int  # bytes
    outputs: int  # c
    samples: int  # n, of the whole export

    def fit(self, plans: tuple[BlockPlan, ...], itemsize: int) -> int:
        """Return how many samples' dense blocks fit the budget; at least one.

        Raises:
            MemoryBudgetError: none does.
        """
        dense = [plan for plan in plans if plan.kind == "dense"]
        need = sum(plan.width for plan in dense) * self.outputs * itemsize * WORKING_COPIES
        if need > self.budget:
            widest = max(dense, key=lambda plan: plan.width)
            whole = self.samples * sum(plan.bytes_a_sample(self.outputs, itemsize) for plan in plans)
            why = f"most of it for {widest.name} ({widest.width} parameters), dense because: {widest.reason}"
            require(
                f"dense Jacobian of one sample, of {format_bytes(whole)} for all {self.samples}, {why}",
                need,
                self.budget,
                "; ".join(filter(None, [widest.form.remedy, "freeze it, or raise the memory budget"])),
            )
        return self.budget // need if need else sys.maxsize


def _settle(
    prepared: Prepared, x: Tensor, choices: Choices, roles: Roles, room: Room
) -> tuple[Choices, Chunk]:
    while True:
        choices = scan_large(prepared, x, choices)
        plans = lay_out(prepared, choices, roles)
        fit = room.fit(plans, prepared.dtype.itemsize)
        try:
            return choices, compute(prepared, plans, choices, x[:fit], probing=True)
        except Replan as replan:
            choices = replan.choices


def scan_large(prepared: Prepared, x: Tensor, choices: Choices) -> Choices:
    """Return choices in which large dense parameters are scanned, if a few rows are mostly zero."""
    large = [
        owned
        for owned in prepared.trainable
        if owned.size >= LARGE
        and owned.name not in choices.full
        and owned.name in choices.forms
        and choices.forms[owned.name].kind == "dense"
    ]
    if not large:
        return choices
    samples = spread(x, PROBES)
    outputs = evaluate(prepared.model, samples).shape[1]
    sparse = mostly_zero(prepared.model, large, samples, outputs, SPARSE)
    scanned = {
        name: replace(choices.forms[name], kind="scanned", entries=0, varies=varies)
        for name, varies in sparse.items()
    }
    full = choices.full | {owned.name for owned in large} - scanned.keys()
    return replace(choices.with_forms(scanned), full=full)


def _saved_bytes(model: nn.Module, x: Tensor, budget: int) -> int:
    """Return the bytes a sample that autograd keeps between a forward and a backward pass.

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
