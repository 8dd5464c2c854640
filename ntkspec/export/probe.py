"""A few samples computed before all others, to find the number of outputs and a plan that holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from ntkspec.arguments.roles import Roles
from ntkspec.export.alone import compares_alone
from ntkspec.export.budget import Budget, saved_bytes
from ntkspec.export.chunk_blocks import ProductBlock, RowsBlock
from ntkspec.export.compute import Chunk, compute
from ntkspec.export.dense import mostly_zero
from ntkspec.export.evaluation import evaluate, spread
from ntkspec.export.examine import examine
from ntkspec.export.factored import rank_one_limit
from ntkspec.export.forms import Form
from ntkspec.export.plans import Choices, Replan, lay_out
from ntkspec.export.prepare import Prepared
from ntkspec.export.rank_one import MOST_LEVELS, find_layout
from ntkspec.export.sparse_rows import SparseRows
from ntkspec.export.steady import Start
from ntkspec.export.tolerance import largest

PROBES = 7  # samples, spread over the data
LARGE = 100_000  # numbers of a parameter whose rows are searched for zeros
SPARSE = 1 / 16  # share of nonzero numbers up to which rows are stored without zeros

_T = TypeVar("_T")


@dataclass(frozen=True)
class Probed:
    """The results of the probe."""

    choices: Choices
    budget: Budget
    largest: float  # output of these samples, by its absolute value
    sparse: frozenset[str]  # dense parameters whose rows are mostly zero, as an encoding's are
    start: Start


def probe(prepared: Prepared, x: Tensor, roles: Roles, memory: int) -> Probed:
    """Find choices that hold on a few of the samples x (n, d), in two batch sizes; chunks may take `memory`.

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
    saved = saved_bytes(prepared.model, batch, memory)
    budget = Budget(memory, c, len(x), prepared.dtype.itemsize, saved)
    choices, chunk = _settle(prepared, batch, choices, roles, budget, {})
    choices = choices.with_forms(_seen_forms(chunk, choices, several))
    half = batch[: max(len(batch) // 2, 1)]
    choices, _ = _settle(prepared, half, choices, roles, budget, chunk.read)
    return Probed(choices, budget, largest([chunk.outputs]), _mostly_zero(chunk), start)


def _seen_forms(chunk: Chunk, choices: Choices, several: bool) -> dict[str, Form]:
    """Return how the rows of tables are stored in the least room.

    Args:
        chunk: the Jacobian of some samples.
        choices: what was planned.
        several: they are not one sample repeated, of which nobody knows what another would read.
    """
    forms = {}
    for block in chunk.blocks:
        if isinstance(block, RowsBlock):
            (owned,), form = block.plan.owned, block.plan.form
            levels = _levels_to_try(owned.shape, chunk.lookups.get(owned.name, ()))
            layout = find_layout(block.rows, owned.shape, levels, rank_one_limit(block.rows, choices))
            forms[owned.name] = replace(form, layout=layout, varies=form.varies or not several)
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


def _settle(
    prepared: Prepared,
    x: Tensor,
    choices: Choices,
    roles: Roles,
    budget: Budget,
    read: Mapping[str, Tensor],
) -> tuple[Choices, Chunk]:
    """Find choices that hold at x (m, d); `read`: of samples before, as in `compute`."""

    def attempt(choices: Choices) -> Chunk:
        plans = lay_out(prepared, choices, roles)
        return compute(prepared, plans, choices, x[: budget.dense(plans)], read, probing=True)

    return until_it_holds(prepared, x, choices, attempt)


def until_it_holds(
    prepared: Prepared, x: Tensor, choices: Choices, attempt: Callable[[Choices], _T]
) -> tuple[Choices, _T]:
    """Call `attempt` with choices, and again with better ones as long as it raises `Replan`.

    Args:
        prepared: the model.
        x: samples (n, d), of which a few are looked at where large parameters have become dense.
        choices: to begin with.
        attempt: what the choices are for.

    Returns:
        The choices that hold, and what `attempt` returned for them.
    """
    while True:
        choices = _scan_large(prepared, x, choices)
        try:
            return choices, attempt(choices)
        except Replan as replan:
            choices = replan.choices


def _scan_large(prepared: Prepared, x: Tensor, choices: Choices) -> Choices:
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
