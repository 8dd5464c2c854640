"""The lines to write around a model that does not map one tensor (n, d) to one tensor (n, c)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

_INDEXED_BY_NAME = ("data type 'str'", "'Tensor' object has no attribute")


def for_inputs(model: nn.Module, error: Exception) -> str:
    """What to write where a forward pass fails as it takes several tensors or a mapping; else nothing."""
    told = str(error)
    if isinstance(error, TypeError) and re.search(r"missing \d+ required positional argument", told):
        names = [name for name, p in inspect.signature(model.forward).parameters.items() if _required(p)]
        if len(names) > 1:
            widths = ", ".join(f"{name}.shape[1]" for name in names)
            return (
                f"give all inputs in one array: inputs = torch.cat([{', '.join(names)}], 1); "
                f"model.register_forward_pre_hook(lambda module, args: args[0].split([{widths}], 1))"
            )
    if isinstance(error, (TypeError, AttributeError)) and any(part in told for part in _INDEXED_BY_NAME):
        return (
            "if the model takes a mapping, make it of the tensor: "
            "model.register_forward_pre_hook(lambda module, args: ({'x': args[0]},)), with your key for 'x'"
        )
    return ""


def for_outputs(outputs: object, samples: int) -> str:
    """What to write where a model returns several things: take the first that has a row for each sample."""
    parts: list[tuple[object, object]] = []
    if isinstance(outputs, Mapping):
        parts = [*outputs.items()]
    elif isinstance(outputs, Sequence):
        parts = [*enumerate(outputs)]
    for key, part in parts:
        if isinstance(part, Tensor) and part.ndim == 2 and len(part) == samples:
            hook = f"lambda module, args, outputs: outputs[{key!r}]"
            return f"model.register_forward_hook({hook}) takes one of them"
    return "wrap the model so that it returns one tensor"


def _required(parameter: inspect.Parameter) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return parameter.kind in positional and parameter.default is inspect.Parameter.empty
