"""A deep copy of a model, with all its tensors in another precision, wherever the model keeps them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ntkspec._io import type_and_line
from ntkspec.errors import ExportError
from ntkspec.export.reach import reach

_COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}


def deep_copy(model: nn.Module) -> tuple[nn.Module, tuple[Tensor, ...], list[Tensor]]:
    """Return a deep copy, the copied tensors that lost their history, and all copied tensors.

    Tensors with a history, which an earlier forward pass left on the model, and sparse tensors are copied
    beforehand, since copy.deepcopy refuses them.
    """
    tensors = [value for _, value in reach(model) if isinstance(value, Tensor)]
    with_history = [tensor for tensor in tensors if not tensor.is_leaf]
    derived = tuple(tensor.detach().clone().requires_grad_() for tensor in with_history)
    memo: dict[int, Any] = dict(zip(map(id, with_history), derived, strict=True))
    for tensor in tensors:
        if tensor.is_leaf and tensor.layout != torch.strided:
            values = tensor.detach().clone()
            wrapped = nn.Parameter(values) if isinstance(tensor, nn.Parameter) else values
            memo[id(tensor)] = wrapped.requires_grad_(tensor.requires_grad)
    try:
        clone = copy.deepcopy(model, memo)
    except Exception as error:
        raise ExportError(
            "model",
            expected="one that copy.deepcopy can copy",
            got=type_and_line(error),
            remedy="keep open files, locks and graph tensors off the module, or give it a __deepcopy__",
        ) from error
    if not {id(p) for p in model.parameters()}.isdisjoint({id(p) for p in clone.parameters()}):
        raise ExportError(
            "model",
            expected="a __deepcopy__ that copies the parameters",
            got="one that shares them with its copy",
            remedy="pass the memo on: copy.deepcopy(parameter, memo)",
        )
    # These rewrite gradients, while the Jacobian is the function's own. A parameter's are not copied at all.
    for module in clone.modules():
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
    return clone, derived, [value for value in memo.values() if isinstance(value, Tensor)]


def convert(clone: nn.Module, copied: list[Tensor], dtype: torch.dtype) -> None:
    """Convert parameters, buffers and all other tensors of `clone` to `dtype`, wherever they are kept."""

    def cast(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(_COMPLEX[dtype])
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    trained = {name for name, buffer in clone.named_buffers() if buffer.requires_grad}
    clone._apply(cast)  # type: ignore[no-untyped-call]  # unlike .to(dtype), it keeps complex buffers
    for name, buffer in clone.named_buffers():
        buffer.requires_grad_(name in trained)
    for tensor in copied:
        tensor.data = cast(tensor.data)
