"""The factored and sparse blocks of one chunk of samples, from one forward pass and its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from ntkspec.export.chunk_blocks import ChunkBlock, ProductBlock, RowsBlock
from ntkspec.export.declared import Capture, capturing
from ntkspec.export.dense import Entries, joined
from ntkspec.export.evaluation import differentiate, evaluate
from ntkspec.export.forms import Form, Survey, survey
from ntkspec.export.gradients import Gradients, gradients_of, random_cotangents
from ntkspec.export.graph import is_complex, result_shape
from ntkspec.export.matrices import ROW_OF_ITS_OWN, used_once, used_several_times
from ntkspec.export.owners import owners
from ntkspec.export.plans import BlockPlan, Choices, Replan
from ntkspec.export.prepare import Prepared
from ntkspec.export.rank_one import Factors, factorise
from ntkspec.export.registered import require_registered
from ntkspec.export.sparse_rows import SparseRows, padded
from ntkspec.export.uses.reads import Read

CALL_ONCE = "call it on one row for each sample"
SOMETIMES = "some samples use it in another way"
FULL = 1 / 4  # a scanned row with a larger share of nonzero numbers is stored dense
ROOM = 1.25  # a factor for rows that are longer than those seen so far
RANK_ONE = {torch.float64: 1e-13, torch.float32: 1e-5}  # how far rounding takes a product, relative

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Factored:
    """The results of one forward pass and the backward passes through its graph."""

    outputs: Tensor  # (m, c), without its graph
    blocks: list[ChunkBlock]  # of all plans but the dense and scanned ones
    gradients: Gradients  # plain autograd's, of every trainable parameter for the cotangents v
    v: Tensor  # (m, c)
    usage: Survey  # how this forward pass uses the parameters


def factored(
    prepared: Prepared, plans: Sequence[BlockPlan], choices: Choices, x: Tensor, *, probing: bool
) -> Factored:
    """Compute outputs at x (m, d), factored and sparse blocks, and gradients for random cotangents.

    While probing, the gradient of a table is a sparse vector, computed from the gradients at its lookups: to
    form a large one takes longer than everything else. For chunks that are written it is formed in full.

    Raises:
        Replan: the parameters are used in another way than was planned.
    """
    with capturing(prepared.model, plans) as captured:
        outputs = evaluate(prepared.model, x)
    require_registered(prepared, x, outputs)
    usage = survey(outputs, prepared.trainable)
    captures = {capture.plan.name: capture for capture in captured}
    _require_planned(usage, plans, captures, choices, len(x))
    edges = {plan.name: _edges(plan, usage, captures) for plan in plans}
    at = _distributed(edges, _by_output(outputs, [edge for of_plan in edges.values() for edge in of_plan]))
    to_sort = {plan.name: edges[plan.name] for plan in plans if plan.kind in ("rows", "pairs")}
    samples = _samples(outputs, to_sort, at, plans, choices)
    v = random_cotangents(outputs)
    tables = {plan.owned[0].name for plan in plans if plan.kind == "rows"} & usage.reads.keys()
    sparsely = {name: usage.reads[name] for name in tables} if probing else {}
    gradients = gradients_of(prepared, outputs, v, sparsely)
    blocks: list[ChunkBlock] = []
    needed = choices
    for plan in plans:
        try:
            if plan.kind == "linear":
                blocks.append(used_once(plan, usage, at[plan.name], outputs))
            elif plan.kind == "pairs":
                uses = samples[plan.name], at[plan.name]
                blocks.append(used_several_times(plan, usage, *uses, needed, outputs))
            elif plan.kind == "lookup":
                blocks.append(_declared(plan, captures[plan.name], at[plan.name]))
            elif plan.kind == "rows":
                reads = usage.reads.get(plan.owned[0].name, ())
                terms = zip(reads, samples[plan.name], at[plan.name], strict=True)
                entries = joined([_entries(*term) for term in terms], outputs, outputs.shape[1])
                blocks.append(rows_block(plan, entries, needed, outputs))
        except Replan as replan:  # the others may need another plan, too: one new start for all
            needed = replan.choices
    if needed is not choices:
        raise Replan(needed)
    return Factored(outputs.detach(), blocks, gradients, v, usage)


def rows_block(plan: BlockPlan, entries: Entries, choices: Choices, outputs: Tensor) -> RowsBlock:
    """Build the sparse rows of one parameter, each padded to the planned number of entries.

    Raises:
        Replan: a row has more entries than planned, or the rows were planned as products and are none.
    """
    (owned,) = plan.owned
    n, (owner, position, values) = len(outputs), entries
    rows = padded(owner, position, values.to(outputs.dtype), n, owned.size)
    longest, form = rows.indices.shape[1], plan.form
    if longest > form.entries:
        # At least the average: some of these samples may have no gradient, and so no entries.
        even = -(-len(owner) // n)
        room = max(longest, even) if not form.entries else int(ROOM * longest)
        if form.kind == "scanned" and room > FULL * owned.size:
            full = Form("dense", form.reason, form.remedy)
            raise Replan(replace(choices.with_forms({owned.name: full}), full=choices.full | {owned.name}))
        raise Replan(choices.with_forms({owned.name: replace(form, entries=room)}))
    rows = rows.widened(form.entries)
    return RowsBlock(plan, rows, _levels(plan, rows, choices))


def _levels(plan: BlockPlan, rows: SparseRows, choices: Choices) -> list[Factors] | None:
    layout = plan.form.layout
    if layout is None:
        return None
    name, levels = plan.owned[0].name, factorise(rows, layout, rank_one_limit(rows, choices))
    if levels is None:
        raise Replan(choices.with_forms({name: replace(plan.form, layout=None)}))
    nodes = max(level.left.indices.shape[1] for level in levels)
    if nodes > layout.nodes:
        wider = replace(layout, nodes=int(ROOM * nodes))
        raise Replan(choices.with_forms({name: replace(plan.form, layout=wider)}))
    return [Factors(level.left.widened(layout.nodes), level.right) for level in levels]


def rank_one_limit(rows: SparseRows, choices: Choices) -> float:
    """Return the largest difference of rows from products that rounding explains, relative to the rows."""
    return RANK_ONE[torch.float32 if choices.single else rows.values.dtype]


def _require_planned(
    usage: Survey,
    plans: Sequence[BlockPlan],
    captures: Mapping[str, Capture],
    choices: Choices,
    samples: int,
) -> None:
    """Raise `Replan` if parameters are used in another way than planned; an unused one fits any plan."""
    forms = usage.forms
    changed: dict[str, Form] = {}
    for plan in plans:
        now = {owned.name: forms[owned.name] for owned in plan.owned if owned.name in forms}
        problem = captures[plan.name].usable(samples) if plan.kind == "lookup" else ""
        if problem:
            why = f"its declared lookup was {problem}"
            others = {owned.name: now.get(owned.name, Form("rows")) for owned in plan.owned}
            changed |= {name: not_as_declared(form, why, CALL_ONCE) for name, form in others.items()}
        elif plan.kind == "rows":
            changed |= {name: form for name, form in now.items() if form.kind != "rows"}
        elif plan.kind == "pairs" and now:
            sites = {usage.sites.get(owned.name) for owned in plan.owned}
            shifts_alone = all(owned.name in usage.shifts for owned in plan.owned)
            if None in sites or len(sites) > 1 or shifts_alone:
                why = "a shift of several products, in a role of its own" if shifts_alone else SOMETIMES
                changed |= {owned.name: Form("dense", why) for owned in plan.owned}
        elif plan.kind == "linear" and now:
            same = {(form.kind, form.site) for form in now.values()}
            kind = same.pop()[0] if len(same) == 1 else "dense"
            added = [now[owned.name].added for owned in plan.owned if owned.name in now]
            if kind == "pairs":  # as in a loop over pieces of the batch
                changed |= now
            elif kind != "linear" or added != [form.added for form in plan.forms]:
                other = Form("dense", SOMETIMES)
                seen = [form for form in now.values() if form.kind == "dense"]
                changed |= {owned.name: (seen or [other])[0] for owned in plan.owned}
    if changed:
        raise Replan(choices.with_forms(changed))


def not_as_declared(form: Form, why: str, remedy: str) -> Form:
    """Return the form of a table without its declared lookup; it may be read by another, that is seen."""
    return replace(form, reason=why, remedy=remedy) if form.kind == "dense" else form


def _edges(plan: BlockPlan, usage: Survey, captures: Mapping[str, Capture]) -> list[GradientEdge]:
    """Return the edges of the graph at which a plan needs gradients to make its block."""
    name = plan.owned[0].name
    if plan.kind == "lookup":
        return captures[plan.name].edges
    if plan.kind == "rows":
        return [GradientEdge(read.node, 0) for read in usage.reads.get(name, ())]
    if plan.kind in ("linear", "pairs"):
        shifts = [shift.node for shift in usage.shifts.get(name, ())]
        nodes = shifts if plan.is_shift else usage.sites.get(name, ())
        return [GradientEdge(node, 0) for node in nodes]
    return []


def _distributed(edges: Mapping[str, Sequence[GradientEdge]], values: Sequence[_T]) -> dict[str, list[_T]]:
    """Split the values at all edges into one list for each plan."""
    rest = iter(values)
    return {name: [next(rest) for _ in of_plan] for name, of_plan in edges.items()}


def _by_output(outputs: Tensor, edges: list[GradientEdge]) -> list[Tensor]:
    """Return the gradient of every output at every edge: (*result, c) each.

    One backward pass for each output serves all samples, which must not depend on each other.
    """
    at_edges: list[list[Tensor]] = [[] for _ in edges]
    for o in range(outputs.shape[1] if edges else 0):
        for gradients, gradient in zip(at_edges, _at(edges, outputs[:, o].sum(), None), strict=True):
            gradients.append(gradient)
    return [torch.stack(gradients, -1) for gradients in at_edges]


def _at(edges: list[GradientEdge], outputs: Tensor, v: Tensor | None) -> list[Tensor]:
    gradients = differentiate(outputs, edges, v, retain=True)
    pairs = zip(gradients, edges, strict=True)
    return [_zeros_at(edge, outputs) if gradient is None else gradient for gradient, edge in pairs]


def _zeros_at(edge: GradientEdge, outputs: Tensor) -> Tensor:
    """Return a gradient of zeros at an edge; if the result there is complex, as pairs of real numbers."""
    shape = result_shape(edge.node, edge.output_nr)
    parts = (2,) if is_complex(edge.node, edge.output_nr) else ()
    return outputs.new_zeros((*shape, *parts))


def _samples(
    outputs: Tensor,
    edges: Mapping[str, list[GradientEdge]],
    at: Mapping[str, Sequence[Tensor]],
    plans: Sequence[BlockPlan],
    choices: Choices,
) -> dict[str, list[Tensor]]:
    """Return the sample of each number that a lookup reads: for each plan, an int64 tensor for each lookup.

    Raises:
        Replan: a number belongs to several samples, or its gradient is outside the range of numbers.
    """
    every = [edge for of_plan in edges.values() for edge in of_plan]
    nonzero = [(gradient != 0).any(-1) for name in edges for gradient in at[name]]
    found = owners(outputs, lambda v: _at(every, outputs, v), nonzero) if every else []
    by_plan = _distributed(edges, found)
    shared = {
        owned.name: "a number of it serves several samples, or its gradient leaves the range of numbers"
        for plan in plans
        if any(samples is None for samples in by_plan.get(plan.name, ()))
        for owned in plan.owned
    }
    if shared:
        raise Replan(choices.demote(shared, ROW_OF_ITS_OWN))
    return {
        name: [samples for samples in of_plan if samples is not None] for name, of_plan in by_plan.items()
    }


def _entries(read: Read, samples: Tensor, gradients: Tensor) -> Entries:
    """Return the entries of one lookup in its table's rows: samples, positions and values.

    Args:
        read: the lookup.
        samples: of each number of its result (*result), -1 for none.
        gradients: at its result, (*result, c).
    """
    owner = samples[..., None].expand(read.positions.shape)
    kept = (owner >= 0) & (read.positions >= 0)
    return owner[kept], *read.terms(gradients, kept)


def _declared(plan: BlockPlan, capture: Capture, at: list[Tensor]) -> ProductBlock:
    """Build the block of a declared lookup: its weights, and the gradients at its features."""
    return ProductBlock(plan, capture.left, torch.cat(at).movedim(2, 1).contiguous(), {})
