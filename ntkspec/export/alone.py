"""Comparisons of a batch with its samples one by one, on which its outputs and gradients must not depend."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ntkspec.errors import ExportError
from ntkspec.export.compute import Chunk, not_finite
from ntkspec.export.evaluation import evaluate, spread
from ntkspec.export.gradients import Gradients, gradients_at, random_cotangents
from ntkspec.export.plans import Choices, Replan
from ntkspec.export.precisions import dependent_samples
from ntkspec.export.prepare import Prepared
from ntkspec.export.tolerance import Difference, Tolerance, largest

SEARCHED = 256  # samples, spread over the data, for the scale of outputs near zero
WITH_OUTPUTS, WITH_GRADIENTS = 8, 4  # samples of a chunk that are compared
BESIDE = 16  # samples beside one at a kink


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
    total: dict[str, Tensor] = {}
    changes = []
    for i in range(len(x)):
        alone = _alone(prepared, x[i : i + 1])
        changes.append(Difference.from_tensors(alone[0] - outputs[i], outputs))
        for name, gradient in _gradients_alone(prepared, x[i : i + 1], alone, v[i : i + 1], tables).items():
            total[name] = total[name] + gradient if name in total else gradient
    if Tolerance.from_dtype(prepared.dtype).dense.worst(changes):
        whole = _largest_output(prepared, spread(others, SEARCHED), len(x))
        changes = [replace(change, whole=max(change.whole, whole)) for change in changes]
    whole = largest(together.values())
    errors = [_difference(total.get(name), together[name], whole) for name in together]
    if Tolerance.from_dtype(prepared.dtype, single=True).dense.worst(errors):
        each = range(len(x))
        errors = [error for i in each for error in _errors_of_one(prepared, x, i, tables, whole)]
    return _verdict(prepared, x, changes, errors)


def check_alone(prepared: Prepared, choices: Choices, x: Tensor, chunk: Chunk, whole: float) -> None:
    """Compare some samples of a chunk with what the model gives for each alone: outputs, and a few Jacobians.

    The probe has seen few sizes of batches. A model may compute another function at this one, drop some of
    its samples, or cut off their gradients.

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
    tables = {block.plan.owned[0].name for block in chunk.blocks if block.plan.kind == "rows"}
    changes: list[Difference] = []
    errors: list[Difference] = []
    for count, i in enumerate(_picked(chunk.outputs)):
        alone = _alone(prepared, x[i : i + 1])
        changes.append(Difference.from_tensors(alone[0] - chunk.outputs[i], chunk.outputs, whole))
        if count < WITH_GRADIENTS:
            compare = partial(_row_errors, prepared, choices, chunk, i)
            errors += _at_or_beside(prepared, x, i, alone, tables, compare)
    if _verdict(prepared, x, changes, errors) and not choices.single and prepared.dtype == torch.float64:
        raise Replan(replace(choices, single=True))


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


def _errors_of_one(
    prepared: Prepared, x: Tensor, i: int, tables: Collection[str], whole: float
) -> list[Difference]:
    """Compare the gradients of the outputs of sample i of x (m, d), in this batch and alone."""
    outputs = evaluate(prepared.model, x)
    v = torch.zeros_like(outputs)
    v[i : i + 1] = random_cotangents(outputs[i : i + 1])
    together = gradients_at(prepared, outputs, v, tables)

    def compare(gradients: dict[str, Tensor]) -> list[Difference]:
        return [_difference(gradients.get(name), together[name], whole) for name in together]

    return _at_or_beside(prepared, x, i, _alone(prepared, x[i : i + 1]), tables, compare)


def _at_or_beside(
    prepared: Prepared,
    x: Tensor,
    i: int,
    alone: Tensor,
    tables: Collection[str],
    compare: Callable[[dict[str, Tensor]], list[Difference]],
) -> list[Difference]:
    """Compare the gradients of sample i of x (m, d) with those of its outputs alone (1, c).

    Rounding may put a sample at a kink, such as a ReLU's, on either side of it. Its gradients in the batch
    are then those of a sample beside it.
    """

    def errors(x: Tensor, alone: Tensor) -> list[Difference]:
        return compare(_gradients_alone(prepared, x, alone, random_cotangents(alone), tables))

    at, limit = errors(x[i : i + 1], alone), Tolerance.from_dtype(prepared.dtype, single=True).dense
    if limit.worst(at):
        for moved in _beside(x, i):
            with contextlib.suppress(ExportError):  # the model may not be defined there
                beside = errors(moved, _alone(prepared, moved))
                if not limit.worst(beside):
                    return beside
    return at


def _beside(x: Tensor, i: int) -> Iterator[Tensor]:
    """Yield samples (1, d) about as far from sample i of x (m, d) as rounding may move it.

    The last ones are as far as rounding in single precision, to which a model may cast, moves it.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    for dtype in dict.fromkeys([x.dtype, torch.float32]):
        for k in range(BESIDE):
            way = torch.randn(x.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(x)
            yield x[i : i + 1] + 2.0 ** (k % 8) * torch.finfo(dtype).eps * x.abs().amax(0) * way


def _gradients_alone(
    prepared: Prepared, x: Tensor, alone: Tensor, v: Tensor, tables: Collection[str]
) -> dict[str, Tensor]:
    """Return the gradients of the outputs (1, c) at x (1, d), as far as they depend on parameters."""
    if not alone.requires_grad:
        return {}
    found = gradients_at(prepared, alone, v, tables)
    gradients = {name: gradient for name, gradient in found.items() if gradient is not None}
    for name, gradient in gradients.items():
        if not math.isfinite(largest([gradient])):
            raise not_finite(name, x)
    return gradients


def _difference(alone: Tensor | None, together: Tensor | None, whole: float) -> Difference:
    """Compare two gradients relative to the larger one: a gradient that is cut off is zero."""
    own = largest([alone, together])
    if alone is None or together is None:
        return Difference(own, own, whole)
    difference = alone - together
    return Difference(largest([difference.coalesce() if difference.is_sparse else difference]), own, whole)


def _picked(outputs: Tensor) -> list[int]:
    """Return the samples to compare: that of the largest of the outputs (m, c), the last and some others."""
    largest_one, m = int(outputs.abs().amax(1).argmax()), len(outputs)
    between = spread(torch.arange(m, device="cpu"), WITH_OUTPUTS - 1).tolist()
    return [*dict.fromkeys([largest_one, *reversed(between)])]


def _row_errors(
    prepared: Prepared, choices: Choices, chunk: Chunk, i: int, gradients: dict[str, Tensor]
) -> list[Difference]:
    """Compare the rows of sample i in a chunk's blocks with the gradients of its outputs alone."""
    v = random_cotangents(chunk.outputs[:1])
    by_name: Gradients = {owned.name: gradients.get(owned.name) for owned in prepared.trainable}
    errors = [
        difference
        for block in chunk.blocks
        for difference in block.at(i).differences(by_name, v, chunk.scale)
    ]
    # Relative to the larger of both: rows that are cut off are zero.
    errors = [replace(error, own=max(error.own, error.error)) for error in errors]
    return errors + [_difference(by_name[name], None, chunk.scale) for name in choices.unused]


def _largest_output(prepared: Prepared, x: Tensor, at_once: int) -> float:
    with torch.no_grad():
        return largest(evaluate(prepared.model, part, connected=False) for part in torch.split(x, at_once))


def _verdict(prepared: Prepared, x: Tensor, changes: list[Difference], errors: list[Difference]) -> bool:
    """Return whether only single precision explains what changes in outputs and gradients at x (n, d)."""
    dtype, limit = prepared.dtype, Tolerance.from_dtype(prepared.dtype).dense
    if not limit.worst(changes + errors):
        return dtype == torch.float32
    if not Tolerance.from_dtype(dtype, single=True).dense.worst(changes + errors):
        return True
    by_outputs, by_gradients = limit.worst(changes), limit.worst(errors)
    what, worst = ("outputs", by_outputs) if by_outputs else ("gradients", by_gradients)
    got = f"{what} that change by {worst:.1e} (relative) when a sample is evaluated alone"
    raise dependent_samples(prepared, x, got)
