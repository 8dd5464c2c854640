"""The Jacobian on one chunk of samples, every block checked against plain autograd.

The check: for random cotangents v, sum_io v_io J[i, o, :] must equal autograd's gradient of sum_io v_io f_io
for every trainable parameter. It costs one backward pass. A wrong row, a use that was missed or a row of
another sample changes that sum, and so any error in a block is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from numpy.typing import DTypeLike
from torch import Tensor

from ntkspec._io import first_line, type_and_line
from ntkspec.errors import ExportError, MemoryBudgetError
from ntkspec.export.chunk_blocks import ChunkBlock, ProductBlock
from ntkspec.export.dense import by_loop, by_vmap, sparse_by_loop
from ntkspec.export.evaluation import BackwardError, evaluate, out_of_memory
from ntkspec.export.factored import Factored, factored, not_as_declared, rows_block
from ntkspec.export.forms import first_forms, survey
from ntkspec.export.gradients import gradients_of, random_cotangents
from ntkspec.export.graph import result_shape
from ntkspec.export.plans import BlockPlan, Choices, Replan
from ntkspec.export.precisions import dependent_samples
from ntkspec.export.prepare import Prepared
from ntkspec.export.registered import UnregisteredError
from ntkspec.export.tolerance import Difference, Tolerance, largest
from ntkspec.export.uses.reads import read_alike
from ntkspec.jacobian import Jacobian

DECLARE = "declare the rows and weights that forward reads"


@dataclass(frozen=True, eq=False)
class Chunk:
    """The outputs and blocks of some samples, in torch."""

    outputs: Tensor  # (m, c)
    blocks: tuple[ChunkBlock, ...]
    scale: float  # the largest number in autograd's gradients, by which the blocks were checked
    lookups: Mapping[
        str, Sequence[torch.Size]
    ]  # of each table that is read, the shapes of the lookups' results
    read: Mapping[str, Tensor]  # of each table that all samples so far read alike, the positions (k,) read

    def to_jacobian(self, dtype: DTypeLike) -> Jacobian:
        """Convert the blocks to NumPy, in the type in which they are stored."""
        return Jacobian(tuple(stored for block in self.blocks for stored in block.to_numpy(dtype)))


def compute(
    prepared: Prepared,
    plans: Sequence[BlockPlan],
    choices: Choices,
    x: Tensor,
    read: Mapping[str, Tensor],
    *,
    probing: bool = False,
) -> Chunk:
    """Compute the Jacobian at x (m, d) and check it.

    Args:
        prepared: the model.
        plans: of all blocks.
        choices: what was planned.
        x: the samples.
        read: as in `Chunk`, of the samples before.
        probing: see `factored`.

    Raises:
        Replan: a choice does not hold on these samples.
        ExportError: the Jacobian is not finite, or no route gives what autograd gives.
    """
    tolerance = Tolerance.from_dtype(prepared.dtype, single=choices.single)
    try:
        done = factored(prepared, plans, choices, x, probing=probing)
    except (Replan, UnregisteredError, MemoryBudgetError):
        raise
    except Exception as error:  # of the passes for factors, which not every model allows, or our own
        raise out_of_memory(error) or _without_factors(prepared, plans, choices, x, error) from error
    gradients, v = done.gradients, done.v
    _check_unused(done, choices)
    read = _read_alike(plans, choices, done, read)
    _check_finite(done.blocks, x)
    wrong: dict[str, tuple[str, str]] = {}
    whole = largest(gradients.values())
    for block in done.blocks:
        worst = tolerance.factors.worst(block.differences(gradients, v, whole))
        if worst:
            why = f"its factors differ from autograd by {worst:.1e}, relative"
            wrong |= dict.fromkeys([owned.name for owned in block.plan.owned], (block.plan.kind, why))
    if wrong:
        raise Replan(_without(choices, wrong, done))
    others = [*_dense(prepared, plans, choices, done, x), *_scanned(prepared, plans, choices, done, x)]
    _check_finite(others, x)
    differences = [difference for block in others for difference in block.differences(gradients, v, whole)]
    if tolerance.dense.worst(differences):
        raise _dense_failure(differences, choices, prepared, x)
    blocks = {block.plan.name: block for block in (*done.blocks, *others)}
    lookups = {name: [result_shape(read.node) for read in reads] for name, reads in done.usage.reads.items()}
    return Chunk(done.outputs, tuple(blocks[plan.name] for plan in plans), whole, lookups, read)


def _without_factors(
    prepared: Prepared, plans: Sequence[BlockPlan], choices: Choices, x: Tensor, error: Exception
) -> Exception:
    """Return the exception to raise where the passes for factors failed.

    If one backward pass through the model works, the export is planned anew without factors.
    """
    many = ("linear", "pairs", "lookup", "rows")
    more = [owned.name for plan in plans if plan.kind in many for owned in plan.owned]
    if not more:
        return error
    outputs = evaluate(prepared.model, x)
    gradients_of(prepared, outputs, random_cotangents(outputs))
    why = f"it cannot be followed ({first_line(error)})"
    if isinstance(error, BackwardError):
        why = f"a second backward pass through the model fails ({first_line(error)})"
    return Replan(choices.demote(dict.fromkeys(more, why)))


def _without(choices: Choices, wrong: Mapping[str, tuple[str, str]], done: Factored) -> Choices:
    """Return choices without the forms that were wrong.

    The most similar form is tried instead, if there is one; else the parameter becomes dense.
    """
    retried, demoted = {}, {}
    for name, (kind, why) in wrong.items():
        if kind == "linear":  # the rows may be another sample's
            retried[name] = replace(choices.forms[name], kind="pairs", reason=why, entries=1)
        elif kind == "lookup" and name in done.usage.forms:  # declared wrongly, but seen
            why = f"its lookup is not as declared: {why}"
            retried[name] = not_as_declared(done.usage.forms[name], why, DECLARE)
        else:
            demoted[name] = why
    return choices.with_forms(retried).demote(demoted)


def _dense(
    prepared: Prepared, plans: Sequence[BlockPlan], choices: Choices, done: Factored, x: Tensor
) -> list[ChunkBlock]:
    dense = [plan for plan in plans if plan.kind == "dense"]
    owned, c = [p for plan in dense for p in plan.owned], done.outputs.shape[1]
    if not owned:
        return []
    if choices.loop:
        jacobians = by_loop(prepared.model, owned, x, c)
    else:
        try:
            jacobians = by_vmap(prepared.model, owned, x, c)
        except Exception as error:
            why = type_and_line(error)
            raise out_of_memory(error) or Replan(replace(choices, loop=why)) from error
    by_name = dict(zip([p.name for p in owned], jacobians, strict=True))
    return [
        ProductBlock(plan, None, torch.cat([by_name.pop(p.name) for p in plan.owned], dim=2), {})
        for plan in dense
    ]


def _scanned(
    prepared: Prepared, plans: Sequence[BlockPlan], choices: Choices, done: Factored, x: Tensor
) -> list[ChunkBlock]:
    scanned = [plan for plan in plans if plan.kind == "scanned"]
    if not scanned:
        return []
    owned = [plan.owned[0] for plan in scanned]
    by_parameter = sparse_by_loop(prepared.model, owned, x, done.outputs.shape[1])
    return [
        rows_block(plan, entries, choices, done.outputs)
        for plan, entries in zip(scanned, by_parameter, strict=True)
    ]


def _check_unused(done: Factored, choices: Choices) -> None:
    def used(name: str) -> bool:
        gradient = done.gradients[name]
        return gradient is not None and largest([gradient]) != 0

    forms = {name: done.usage.forms[name] for name in choices.unused if used(name)}
    if forms:
        raise Replan(choices.with_forms(forms))


def _read_alike(
    plans: Sequence[BlockPlan], choices: Choices, done: Factored, before: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return `Chunk.read`; raise `Replan` if samples, or those before, read a table otherwise."""
    tables = [plan.owned[0].name for plan in plans if plan.kind == "rows" and not plan.form.varies]
    found = {name: read_alike(done.usage.reads.get(name, ()), len(done.outputs)) for name in tables}
    alike = {
        name: read
        for name, read in found.items()
        if read is not None and torch.equal(before.get(name, read), read)
    }
    varying = {name: replace(choices.forms[name], varies=True) for name in found if name not in alike}
    if varying:
        raise Replan(choices.with_forms(varying))
    return alike


def _check_finite(blocks: Sequence[ChunkBlock], x: Tensor) -> None:
    for block in blocks:
        bad = block.bad_rows()
        if bad.any():
            raise not_finite(block.plan.name, x[bad])


def not_finite(name: str, x: Tensor) -> ExportError:
    """Return the error of a Jacobian of `name` that is not finite at x (m, d)."""
    return ExportError(
        f"Jacobian of {name}",
        expected="finite numbers",
        got=f"NaN or Inf for {len(x)} samples, the first at x = {x[0].tolist()}",
        remedy="look for sqrt, log, norm or division at zero in the forward pass",
    )


def _dense_failure(
    differences: list[Difference], choices: Choices, prepared: Prepared, x: Tensor
) -> Exception:
    """Return the exception to raise where the dense route differs from autograd at x (m, d).

    It is a `Replan` as long as there is another route to try.
    """
    worst = Tolerance.from_dtype(prepared.dtype, single=choices.single).dense.worst(differences)
    if not choices.loop:
        return Replan(replace(choices, loop=f"vmap differs from autograd by {worst:.1e}, relative"))
    wider = Tolerance.from_dtype(prepared.dtype, single=True)
    if not choices.single and not wider.dense.worst(differences):
        forms = first_forms(prepared, survey(evaluate(prepared.model, x), prepared.trainable))
        return Replan(replace(choices, forms=forms, loop="", full=frozenset(), single=True))
    return dependent_samples(
        prepared, x, f"a batch whose gradient differs from the sum of its samples' by {worst:.1e} (relative)"
    )
