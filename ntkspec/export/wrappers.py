"""Remedies for a model that does not map one tensor (n, d) to one tensor (n, c)."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def for_inputs(model: nn.Module, error: Exception) -> str:
    """Return the lines to write where a forward pass fails because of its inputs; "" if none would help."""
    message = str(error)
    if isinstance(error, TypeError) and re.search(r"missing \d+ required (positional|keyword-only)", message):
        return _of_several_inputs(model)
    key = _key_asked_for(error)
    if key or (isinstance(error, AttributeError) and "'Tensor' object has no attribute" in message):
        return (
            "if the model takes a mapping, make it of the tensor: "
            f"model.register_forward_pre_hook(lambda module, args: ({{{key or 'x'!r}: args[0]}},))"
            + ("" if key else ", with your key for 'x'")
        )
    if "scalar types: Long" in message:
        return "inputs become floating-point numbers: write .long() in forward where they are indices"
    return ""


def _of_several_inputs(model: nn.Module) -> str:
    parameters = inspect.signature(model.forward).parameters.items()
    needed = {
        name: parameter for name, parameter in parameters if parameter.default is inspect.Parameter.empty
    }
    placed = [name for name, parameter in needed.items() if parameter.kind in _PLACED]
    named = [name for name, parameter in needed.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    if len(placed) + len(named) < 2:
        return ""
    widths = ", ".join(f"{name}.shape[1]" for name in placed + named)
    parts, how = f"args[0].split([{widths}], 1)", ""
    hook = f"lambda module, args: {parts}"
    if named:
        keywords = ", ".join(f"{name!r}: parts[{len(placed) + k}]" for k, name in enumerate(named))
        chosen = f"lambda parts: (parts[:{len(placed)}], {{{keywords}}})"
        hook, how = f"lambda module, args, kwargs: ({chosen})({parts})", ", with_kwargs=True"
    return (
        f"give all inputs in one array: inputs = torch.cat([{', '.join(placed + named)}], 1); "
        f"model.register_forward_pre_hook({hook}{how})"
    )


def _key_asked_for(error: Exception) -> str:
    """Return the key by which the line that failed reads an input, as in batch["x"]; "" without one."""
    frames = traceback.extract_tb(error.__traceback__)
    line = frames[-1].line if frames else ""
    subscript = re.search(r"""\[\s*(['"])(\w+)\1\s*\]""", line or "")
    return subscript[2] if subscript and isinstance(error, (TypeError, IndexError, KeyError)) else ""


def for_outputs(outputs: object, samples: int) -> str:
    """Return the line to write where a model returns several things, to keep one with a row a sample."""
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
