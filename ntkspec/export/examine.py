"""The first passes through a model, and the errors of a model that fails them.

An error advises the other precision, or backward(), only if the model was found to work in that way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ntkspec.errors import ExportError
from ntkspec.export.evaluation import (
    GIVE_NUMBERS,
    BackwardError,
    ForwardError,
    evaluate,
    in_real_numbers,
)
from ntkspec.export.forms import Form, first_forms, survey
from ntkspec.export.gradients import Gradients, gradients_of, random_cotangents
from ntkspec.export.precisions import in_other_precision
from ntkspec.export.prepare import Prepared
from ntkspec.export.registered import require_registered
from ntkspec.export.tolerance import Difference, Tolerance, largest
from ntkspec.export.uses.reads import Read


def examine(prepared: Prepared, x: Tensor) -> tuple[int, frozenset[str], dict[str, Form]]:
    """Return the number of outputs at x (n, d), the parameters without a use, and the others' forms.

    Raises:
        ExportError: outputs that are unfit, differ the second time or depend on what is no parameter, or
            gradients that autograd does not give.
    """
    outputs = _first_outputs(prepared, x)
    require_registered(prepared, x, outputs)
    _require_repeatable(prepared, x, outputs)
    usage = survey(outputs, prepared.trainable)  # while the graph still has what it saved
    forms = first_forms(prepared, usage)
    gradients = _first_gradients(prepared, x, outputs, usage.reads)
    for name in _require_visible(prepared, x, gradients):
        forms[name] = Form("dense", "what its lookups give is not its gradient")
    unused = frozenset(name for name, gradient in gradients.items() if gradient is None)
    if len(unused) == len(gradients):
        raise ExportError(
            "model",
            expected="outputs that depend on trainable parameters",
            got="outputs that depend on none of them",
            remedy="remove detach(), no_grad(), inference_mode() or .data from forward",
        )
    return outputs.shape[1], unused, forms


def _first_outputs(prepared: Prepared, x: Tensor) -> Tensor:
    try:
        return evaluate(prepared.model, x)
    except ForwardError as error:
        place = _unusual(prepared.model)
        if place:
            raise error.but(remedy=place) from error
        other = _try_other_precision(prepared, x)
        if not other:
            raise
        raise error.but(
            remedy="replace hard-coded casts such as x.float() by x.to(self.weight.dtype), "
            f"or export with precision={other!r}"
        ) from error


def _unusual(model: nn.Module) -> str:
    """Return a remedy for tensors or modules that are known to fail in a forward pass; "" without any."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    on_meta = [name for name, tensor in tensors if tensor.is_meta]
    if on_meta:
        return f"{GIVE_NUMBERS} ({on_meta[0]} is on the meta device)"
    devices = sorted({str(tensor.device) for _, tensor in tensors})
    if len(devices) > 1:
        return f"move the model to one device, it is on {', '.join(devices)}"
    for name, module in model.named_modules():
        if ".quantized" in type(module).__module__:
            return f"export the model as it was before {name} ({type(module).__name__}) was quantised"
    return ""


def _try_other_precision(prepared: Prepared, x: Tensor) -> str | None:
    """Return the other precision, if the model runs in it; else None.

    Raises:
        ExportError: the model runs in it, but depends on a trainable tensor that is not among its parameters.
    """
    with in_other_precision(prepared, x) as (copied, values):
        try:
            outputs = evaluate(copied.model, values)
        except ExportError:
            return None
        require_registered(copied, values, outputs)
    return str(copied.dtype).removeprefix("torch.")


def _require_repeatable(prepared: Prepared, x: Tensor, outputs: Tensor) -> None:
    again = evaluate(prepared.model, x)
    limit = Tolerance.from_dtype(outputs.dtype).dense
    if again.shape != outputs.shape or not limit.holds(Difference.from_tensors(again - outputs, outputs)):
        raise ExportError(
            "model",
            expected="the same outputs for the same inputs",
            got="others the second time",
            remedy="remove random numbers and state from the forward pass in eval mode",
        )


def _first_gradients(
    prepared: Prepared, x: Tensor, outputs: Tensor, reads: Mapping[str, Sequence[Read]]
) -> Gradients:
    try:
        return gradients_of(prepared, outputs, random_cotangents(outputs), reads)
    except BackwardError as error:
        try:
            evaluate(prepared.model, x).sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch
        except Exception:  # backward() fails, too: the first reason stands
            raise error from None
        raise error.but(
            remedy="let torch.autograd.grad differentiate it, as backward() does: no autograd function that "
            "calls backward() by itself; checkpoint(..., use_reentrant=False)"
        ) from error


def _require_visible(prepared: Prepared, x: Tensor, gradients: Gradients) -> list[str]:
    """Refuse gradients that bypass autograd's graph, as hand-made checkpoints make them.

    Returns:
        Tables whose gradients are not those of their lookups, for instance because a hook changes them.
    """
    limit = Tolerance.from_dtype(prepared.dtype, single=True).dense
    whole = largest(gradients.values())

    def apart(added: Tensor, by_graph: Tensor | None) -> bool:
        own = largest([added])
        difference = added if by_graph is None else _less(added, by_graph)
        # Numbers that are not finite are refused later, with their sample.
        return math.isfinite(own) and not limit.holds(Difference(largest([difference]), own, whole))

    differing = [name for name, added in _by_backward(prepared, x).items() if apart(added, gradients[name])]
    if not differing:
        return []
    outputs = evaluate(prepared.model, x)
    plain = gradients_of(prepared, outputs, random_cotangents(outputs))
    added = _by_backward(prepared, x)
    for name in differing:
        if apart(added[name], plain[name]):
            raise ExportError(
                f"parameter {name}",
                expected="the gradient that backward() adds to it to come by autograd's graph",
                got="an autograd function that calls backward() by itself",
                remedy="use checkpoint(..., use_reentrant=False), or make the parameter an argument of the "
                "function, whose backward returns its gradient",
            )
    return differing


def _less(added: Tensor, subtracted: Tensor) -> Tensor:
    """Subtract a gradient, which may be a sparse vector, from `added` in place, and return it flat."""
    flat = added.view(-1)
    if subtracted.is_sparse:  # torch's dense.add_(sparse) writes past the end of a view
        return flat.index_add_(0, subtracted.indices()[0], subtracted.values(), alpha=-1)
    return flat.sub_(subtracted.reshape(-1))


def _by_backward(prepared: Prepared, x: Tensor) -> dict[str, Tensor]:
    """Return the parameters' gradients as backward() accumulates them, for the same cotangents.

    The result is empty if backward() raises.
    """
    outputs = evaluate(prepared.model, x)
    parameters = {owned.name: owned.parameter for owned in prepared.trainable}
    try:
        torch.autograd.backward(outputs, random_cotangents(outputs))
        added = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        return {name: in_real_numbers(gradient).contiguous() for name, gradient in added.items()}
    except Exception:  # a Jacobian can do without
        return {}
    finally:
        for parameter in parameters.values():
            parameter.grad = None
