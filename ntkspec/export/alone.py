"""Comparisons of a batch with its samples one by one, on which its outputs and gradients must not depend."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor

from ntkspec.errors import ExportError
from ntkspec.export.compute import not_finite, or_rounding
from ntkspec.export.evaluation import evaluate
from ntkspec.export.forms import survey
from ntkspec.export.gradients import Gradients, gradients_of, random_cotangents, require_gradient
from ntkspec.export.layout import Choices
from ntkspec.export.prepare import Prepared
from ntkspec.export.replan import Replan
from ntkspec.export.tolerance import Difference, Tolerance, largest


def compares_alone(prepared: Prepared, x: Tensor, tables: Collection[str]) -> bool:
    """Compare the batch with its samples one by one; return whether only single precision agrees.

    Gradients of `tables`, which are used by lookups alone, are computed as sparse vectors.

    Raises:
        ExportError: they do not agree at all.
    """
    outputs = evaluate(prepared.model, x)
    v = random_cotangents(outputs)
    together = _gradients(prepared, outputs, v, tables)
    total = {name: torch.zeros_like(g) for name, g in together.items() if g is not None}
    scale = {name: torch.zeros_like(g) for name, g in total.items()}
    changes = []
    for i in range(len(x)):
        alone = _alone(prepared, x[i : i + 1])
        changes.append(Difference.from_tensors(alone[0] - outputs[i], outputs))
        if not alone.requires_grad:
            continue
        for name, gradient in _gradients(prepared, alone, v[i : i + 1], tables).items():
            if gradient is not None and not math.isfinite(largest([gradient])):
                raise not_finite(name, x[i : i + 1])
            if gradient is not None and name in total:
                total[name] = total[name] + gradient
                scale[name] = scale[name] + gradient.abs()
    whole = largest(together.values())
    errors = [
        Difference.from_tensors((total[n] - g), scale[n], whole) for n, g in together.items() if g is not None
    ]
    return _verdict(prepared, x, changes, errors)


def check_alone(prepared: Prepared, choices: Choices, x: Tensor, outputs: Tensor, whole: float) -> None:
    """Compare the largest outputs at a chunk with those of their sample alone.

    The probe has seen few sizes of batches, and a model may compute another function at this one. Gradients
    and other samples are not compared.

    Args:
        prepared: the model.
        choices: what was planned.
        x: (m, d).
        outputs: (m, c), of the model at x.
        whole: the largest output seen so far: outputs near zero are rounded as larger ones are.

    Raises:
        Replan: they agree to single precision alone, which was not expected.
        ExportError: they do not agree at all.
    """
    if len(x) > 1:
        i = int(outputs.abs().amax(1).argmax())
        change = Difference.from_tensors(_alone(prepared, x[i : i + 1])[0] - outputs[i], outputs, whole)
        if _verdict(prepared, x, [change], []) and not choices.single and prepared.dtype == torch.float64:
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


def _gradients(prepared: Prepared, outputs: Tensor, v: Tensor, tables: Collection[str]) -> Gradients:
    """Return autograd's gradients, as sparse vectors for `tables`."""
    reads = survey(outputs, prepared.trainable).reads
    gradients = gradients_of(prepared, outputs, v, {name: reads[name] for name in tables if name in reads})
    return {
        name: gradient.flatten().to_sparse()
        if gradient is not None and name in tables and not gradient.is_sparse
        else gradient
        for name, gradient in gradients.items()
    }


def _verdict(prepared: Prepared, x: Tensor, changes: list[Difference], errors: list[Difference]) -> bool:
    """Return whether only single precision explains what changes in outputs and gradients at x (n, d)."""
    dtype = prepared.dtype
    limit = Tolerance.from_dtype(dtype, Choices()).dense
    if not limit.worst(changes + errors):
        return dtype == torch.float32
    if not Tolerance.from_dtype(dtype, Choices(single=True)).dense.worst(changes + errors):
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
        remedy="remove attention, normalisation or statistics across the batch, what depends on its size, "
        "and half-precision casts" + or_rounding(dtype),
    )
