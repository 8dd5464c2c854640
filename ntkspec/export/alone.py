"""Comparisons of a batch with its samples one by one, on which its outputs and gradients must not depend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor

from ntkspec.errors import ExportError
from ntkspec.export.compute import Chunk, not_finite, or_rounding
from ntkspec.export.evaluation import evaluate, spread
from ntkspec.export.forms import survey
from ntkspec.export.gradients import Gradients, gradients_of, random_cotangents, require_gradient
from ntkspec.export.layout import Choices
from ntkspec.export.prepare import Prepared
from ntkspec.export.replan import Replan
from ntkspec.export.tolerance import Difference, Limit, Tolerance, largest

SEARCHED = 256  # samples, spread over the data, for the scale of outputs near zero
WITH_OUTPUTS, WITH_GRADIENTS = 8, 4  # samples of a chunk that are compared


def compares_alone(prepared: Prepared, x: Tensor, tables: Collection[str], others: Tensor) -> bool:
    """Compare the batch with its samples one by one; return whether only single precision agrees.

    Args:
        prepared: the model.
        x: the batch, (m, d).
        tables: names of tables that are used by lookups alone; their gradients are sparse vectors.
        others: all samples, (n, d), looked at where the outputs at x seem to be rounding errors.

    Raises:
        ExportError: they do not agree at all.
    """
    outputs = evaluate(prepared.model, x)
    v = random_cotangents(outputs)
    together = gradients_at(prepared, outputs, v, tables)
    total = {name: torch.zeros_like(g) for name, g in together.items() if g is not None}
    scale = {name: torch.zeros_like(g) for name, g in total.items()}
    changes = []
    for i in range(len(x)):
        alone = _alone(prepared, x[i : i + 1])
        changes.append(Difference.from_tensors(alone[0] - outputs[i], outputs))
        for name, gradient in _gradients_alone(prepared, alone, v[i : i + 1], tables).items():
            if not math.isfinite(largest([gradient])):
                raise not_finite(name, x[i : i + 1])
            total[name] = total[name] + gradient if name in total else gradient
            scale[name] = scale[name] + gradient.abs() if name in scale else gradient.abs()
    if _limit(prepared).worst(changes):
        whole = _largest_output(prepared, spread(others, SEARCHED), len(x))
        changes = [replace(change, whole=max(change.whole, whole)) for change in changes]
    whole = largest(together.values())
    errors = [
        Difference.from_tensors(_less(total[name], together[name]), scale[name], whole) for name in total
    ]
    return _verdict(prepared, x, changes, errors)


def check_alone(prepared: Prepared, choices: Choices, x: Tensor, chunk: Chunk, whole: float) -> None:
    """Compare some samples of a chunk with what the model gives for each alone: outputs, and a few Jacobians.

    The probe has seen few sizes of batches. A model may compute another function at this one, drop some of
    its samples, or cut off their gradients. Rounding in single precision may put a sample on the other side
    of a ReLU's kink, so there a Jacobian that differs counts only if another one does, too.

    Args:
        prepared: the model.
        choices: what was planned.
        x: (m, d).
        chunk: the outputs and the Jacobian at x.
        whole: the largest output seen so far: outputs near zero are rounded as larger ones are.

    Raises:
        Replan: they agree to single precision alone, which was not expected.
        ExportError: they do not agree at all.
    """
    if len(x) < 2:
        return
    changes: list[Difference] = []
    errors: list[list[Difference]] = []
    for i in _picked(chunk.outputs):
        alone = _alone(prepared, x[i : i + 1])
        changes.append(Difference.from_tensors(alone[0] - chunk.outputs[i], chunk.outputs, whole))
        if len(errors) < WITH_GRADIENTS:
            errors.append(_row_errors(prepared, choices, chunk, i, alone))
    single = choices.single or prepared.dtype == torch.float32
    counted = sorted(errors, key=_limit(prepared).worst)[-2] if single else [*itertools.chain(*errors)]
    if _verdict(prepared, x, changes, counted) and not choices.single and prepared.dtype == torch.float64:
        raise Replan(replace(choices, single=True))


def gradients_at(prepared: Prepared, outputs: Tensor, v: Tensor, tables: Collection[str]) -> Gradients:
    """Return autograd's gradients of sum v * outputs, as sparse vectors for `tables`."""
    reads = survey(outputs, prepared.trainable).reads
    gradients = gradients_of(prepared, outputs, v, {name: reads[name] for name in tables if name in reads})
    return {
        name: gradient.flatten().to_sparse()
        if gradient is not None and name in tables and not gradient.is_sparse
        else gradient
        for name, gradient in gradients.items()
    }


def _alone(prepared: Prepared, x: Tensor) -> Tensor:
    """Return the outputs at one sample x (1, d); outputs of the whole batch are known to be finite."""
    try:
        return evaluate(prepared.model, x, connected=False)
    except ExportError as error:
        if error.expected != "finite outputs":
            raise
        raise ExportError(
            "model",
            expected="samples of a batch that do not depend on each other",
            got=f"{error.got}, when one is evaluated alone",
            remedy="remove statistics across the batch, such as a standard deviation, which needs several",
        ) from error


def _gradients_alone(
    prepared: Prepared, alone: Tensor, v: Tensor, tables: Collection[str]
) -> dict[str, Tensor]:
    """Return the gradients of one sample's outputs (1, c), as far as they depend on parameters."""
    if not alone.requires_grad:
        return {}
    gradients = gradients_at(prepared, alone, v, tables)
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}


def _picked(outputs: Tensor) -> list[int]:
    """Return the samples to compare: that of the largest of the outputs (m, c), the last and some others."""
    largest_one, m = int(outputs.abs().amax(1).argmax()), len(outputs)
    between = spread(torch.arange(m), WITH_OUTPUTS - 1).tolist()
    return [*dict.fromkeys([largest_one, *reversed(between)])]


def _row_errors(
    prepared: Prepared, choices: Choices, chunk: Chunk, i: int, alone: Tensor
) -> list[Difference]:
    """Compare the rows of sample i in a chunk's blocks with the gradient of its outputs alone (1, c)."""
    tables = {block.plan.owned[0].name for block in chunk.blocks if block.plan.kind == "rows"}
    v = random_cotangents(alone)
    gradients = _gradients_alone(prepared, alone, v, tables)
    by_name: Gradients = {owned.name: gradients.get(owned.name) for owned in prepared.trainable}
    errors = [
        difference
        for block in chunk.blocks
        for difference in block.at(i).differences(by_name, v, chunk.scale)
    ]
    left_out = [gradients[name] for name in choices.unused if name in gradients]
    errors += [Difference.from_tensors(gradient, gradient, chunk.scale) for gradient in left_out]
    # Relative to the larger of both: rows that are cut off are zero.
    return [replace(error, own=max(error.own, error.error)) for error in errors]


def _less(total: Tensor, together: Tensor | None) -> Tensor:
    return total if together is None else total - together


def _largest_output(prepared: Prepared, x: Tensor, at_once: int) -> float:
    with torch.no_grad():
        return largest(evaluate(prepared.model, part, connected=False) for part in torch.split(x, at_once))


def _limit(prepared: Prepared) -> Limit:
    return Tolerance.from_dtype(prepared.dtype, Choices()).dense


def _verdict(prepared: Prepared, x: Tensor, changes: list[Difference], errors: list[Difference]) -> bool:
    """Return whether only single precision explains what changes in outputs and gradients at x (n, d)."""
    dtype, limit = prepared.dtype, _limit(prepared)
    if not limit.worst(changes + errors):
        return dtype == torch.float32
    if not Tolerance.from_dtype(dtype, Choices(single=True)).dense.worst(changes + errors):
        return True
    by_outputs, by_gradients = limit.worst(changes), limit.worst(errors)
    if not by_outputs:
        require_gradient(prepared, x)
    what, worst = ("outputs", by_outputs) if by_outputs else ("gradients", by_gradients)
    raise ExportError(
        "model",
        expected="samples of a batch that do not depend on each other",
        got=f"{what} that change by {worst:.1e} (relative) when a sample is evaluated alone",
        remedy="remove attention, normalisation or statistics across the batch, what depends on its size, "
        "and half-precision casts" + or_rounding(dtype),
    )
