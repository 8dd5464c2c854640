"""Evaluate a model for its Jacobian: the state of torch meanwhile, and what outputs must look like."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ntkspec.errors import ExportError


class ForwardError(ExportError):
    """A forward pass that raised."""

    def instead(self, remedy: str) -> ExportError:
        """The same with another remedy."""
        return ExportError(self.where, expected=self.expected, got=self.got, remedy=remedy)


@contextlib.contextmanager
def evaluation(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Gradients on, autocast off, `dtype` the default, random numbers and warnings of torch.func kept in."""
    default = torch.get_default_dtype()
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.random.fork_rng(devices=cuda),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def evaluate(model: nn.Module, x: Tensor, *, connected: bool = True) -> Tensor:
    """The outputs (n, c) at x (n, d), connected to the parameters unless that is not asked for.

    Raises:
        ExportError: the forward pass fails, or its result is not a finite, differentiable (n, c).
    """
    try:
        outputs = model(x.detach().clone())  # which the model may change, or ask for a gradient
    except Exception as error:
        raise _forward_error(error, x) from error
    return _checked(outputs, x, connected)


def differentiate(
    outputs: Tensor, tensors: Sequence[Tensor], cotangents: Tensor | None = None, *, retain: bool = False
) -> tuple[Tensor | None, ...]:
    """Plain autograd: the gradients of `outputs` at `tensors`, None where nothing connects them.

    Raises:
        ExportError: the backward pass fails.
    """
    try:
        found = torch.autograd.grad(outputs, tensors, cotangents, retain_graph=retain, allow_unused=True)
        # nn.Embedding(sparse=True) gives sparse gradients
        return tuple(g.to_dense() if g is not None and g.layout != torch.strided else g for g in found)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ExportError(
            "model",
            expected="a backward pass through the model in eval mode",
            got=f"{type(error).__name__}: {first_line(error)}",
            remedy="check that outputs.sum().backward() runs in eval mode",
        ) from error


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _forward_error(error: Exception, x: Tensor) -> ForwardError:
    return ForwardError(
        "model",
        expected=f"a forward pass on {_name(x.dtype)} inputs of shape {tuple(x.shape)}",
        got=f"{type(error).__name__}: {first_line(error)}",
        remedy="check that the model in eval mode maps (n, d) to (n, c) for any n, one sample included",
    )


def _checked(outputs: object, x: Tensor, connected: bool) -> Tensor:
    expected, n = "outputs of shape (n, c)", len(x)
    if not isinstance(outputs, Tensor):
        got, remedy = f"a {type(outputs).__name__}", "wrap the model so that it returns one tensor"
    elif outputs.layout != torch.strided:
        got, remedy = f"a sparse tensor ({outputs.layout})", "append .to_dense() in forward"
    elif outputs.ndim == 1 and len(outputs) == n:
        got, remedy = f"shape ({n},)", "append .unsqueeze(-1) in forward: (n, 1)"
    elif outputs.ndim != 2 or len(outputs) != n or not outputs.shape[1]:
        got = f"shape {tuple(outputs.shape)} for {n} samples"
        remedy = "return one row a sample, with all outputs along the second axis"
    elif outputs.dtype not in (torch.float32, torch.float64):
        expected, got = "outputs in float64 or float32", _name(outputs.dtype)
        remedy = "return floating-point numbers, without casting to half precision, integers or complex"
    elif connected and not outputs.requires_grad:
        expected, got = "outputs that depend on trainable parameters", "outputs without a gradient"
        remedy = "remove detach(), no_grad() or .data from forward"
    elif not torch.isfinite(outputs).all():
        rows = (~torch.isfinite(outputs).all(dim=1)).nonzero().flatten().tolist()
        expected, got = "finite outputs", f"NaN or Inf for {len(rows)} of {n} samples"
        remedy = "did training diverge? check the parameters and the inputs"
    else:
        return outputs
    raise ExportError("model", expected=expected, got=got, remedy=remedy)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
