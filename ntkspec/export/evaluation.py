"""Forward and backward passes through a model, and the checks of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from ntkspec._io import first_line, type_and_line
from ntkspec.errors import ExportError, MemoryBudgetError
from ntkspec.export import wrappers

GIVE_NUMBERS = (
    "give the model numbers: model.to_empty(device='cpu'), then load_state_dict"  # on the meta device
)


class ForwardError(ExportError):
    """The error of a forward pass that raised."""


class BackwardError(ExportError):
    """The error of a backward pass that raised."""


def spread(x: Tensor, count: int) -> Tensor:
    """Return at most `count` of the samples x (n, ...), from the first to the last, at equal distances."""
    places = torch.linspace(0, len(x) - 1, min(len(x), count), dtype=torch.float64, device=x.device)
    return x[places.long()]


def evaluate(model: nn.Module, x: Tensor, *, connected: bool = True) -> Tensor:
    """Return the outputs (n, c) at x (n, d); they must have a gradient, unless `connected` is False.

    Raises:
        ExportError: the forward pass fails, or its result is not a finite, differentiable (n, c).
    """
    try:
        outputs = model(x.detach().clone())  # the model may change it, or require its gradient
    except Exception as error:
        raise out_of_memory(error) or _forward_error(model, error, x) from error
    return _checked(outputs, x, connected)


def differentiate(
    outputs: Tensor,
    tensors: Sequence[Tensor | GradientEdge],
    cotangents: Tensor | None = None,
    *,
    retain: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `outputs` at tensors and edges of the graph; None if not connected.

    Raises:
        ExportError: the backward pass fails.
    """
    at: Any = tensors  # torch takes both kinds together, though its types say otherwise
    try:
        gradients = torch.autograd.grad(outputs, at, cotangents, retain_graph=retain, allow_unused=True)
    except Exception as error:
        raise out_of_memory(error) or _backward_error(error) from error
    return tuple(None if gradient is None else in_real_numbers(gradient) for gradient in gradients)


def in_real_numbers(gradient: Tensor) -> Tensor:
    """Return a gradient in dense layout and real numbers.

    nn.Embedding(sparse=True) gives sparse gradients; a complex one, df/dRe + i df/dIm, becomes pairs of real
    numbers.
    """
    gradient = gradient if gradient.layout == torch.strided else gradient.to_dense()
    return torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient


def out_of_memory(error: Exception) -> MemoryBudgetError | None:
    """Return the error to raise if `error` says that the host or device has no memory left; else None."""
    known_type = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    if not known_type and "can't allocate memory" not in str(error):  # torch has no type for it on the CPU
        return None
    return MemoryBudgetError(
        "model",
        expected="enough memory for a pass through it",
        got=first_line(error),
        remedy="free memory, or give a smaller memory budget",
    )


def _backward_error(error: Exception) -> BackwardError:
    return BackwardError(
        "model",
        expected="a backward pass through the model in eval mode",
        got=type_and_line(error),
        remedy="check that outputs.sum().backward() runs in eval mode, also a second time: keep no result of "
        "an earlier forward pass",
    )


def _forward_error(model: nn.Module, error: Exception, x: Tensor) -> ForwardError:
    return ForwardError(
        "model",
        expected=f"a forward pass on {_name(x.dtype)} inputs of shape {tuple(x.shape)}",
        got=type_and_line(error),
        remedy=wrappers.for_inputs(model, error)
        or "check that model(inputs) runs in eval mode for (n, d) with any n, one sample included",
    )


def _checked(outputs: object, x: Tensor, connected: bool) -> Tensor:
    expected, n = "outputs of shape (n, c)", len(x)
    if not isinstance(outputs, Tensor):
        got, remedy = f"a {type(outputs).__name__}", wrappers.for_outputs(outputs, n)
    elif outputs.is_nested:
        got, remedy = "a nested tensor", "return one row a sample, all of the same length"
    elif outputs.is_meta:
        got, remedy = "a tensor on the meta device", GIVE_NUMBERS
    elif outputs.layout != torch.strided:
        got, remedy = f"a sparse tensor ({outputs.layout})", "append .to_dense() in forward"
    elif outputs.ndim == 1 and len(outputs) == n:
        got, remedy = f"shape ({n},)", "append .unsqueeze(-1) in forward: (n, 1)"
    elif outputs.ndim != 2 or len(outputs) != n or not outputs.shape[1]:
        got = f"shape {tuple(outputs.shape)} for {n} samples"
        remedy = wrappers.for_shape(outputs.shape, n)
    elif outputs.dtype not in (torch.float32, torch.float64):
        expected, got = "outputs in float64 or float32", _name(outputs.dtype)
        remedy = "return floating-point numbers, without casting to half precision, integers or complex"
    elif connected and not outputs.requires_grad:
        expected, got = "outputs that depend on trainable parameters", "outputs without a gradient"
        remedy = "remove detach(), no_grad(), inference_mode(), .data and NumPy from forward"
    elif not torch.isfinite(outputs).all():
        rows = (~torch.isfinite(outputs).all(dim=1)).nonzero().flatten().tolist()
        expected, got = "finite outputs", f"NaN or Inf for {len(rows)} of {n} samples"
        remedy = "did training diverge? check the parameters and the inputs"
    else:
        return outputs
    raise ExportError("model", expected=expected, got=got, remedy=remedy)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
