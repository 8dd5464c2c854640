"""Remedies for a model that does not map one tensor (n, d) to one tensor (n, c)."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from enum import Enum

from torch import Tensor, nn

from ntkspec.export.graph import leaves

_PRE_HOOK = "model.register_forward_pre_hook(lambda module, args"
_HOOK = "model.register_forward_hook(lambda module, args, outputs"
_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def for_inputs(model: nn.Module, error: Exception) -> str:
    """Return the lines to write where a forward pass fails because of its inputs; "" if none would help."""
    message = str(error)
    if isinstance(error, TypeError) and re.search(r"missing \d+ required (positional|keyword-only)", message):
        return _of_several_inputs(model)
    key = _key_asked_for(error)
    missing = re.search(r"'Tensor' object has no attribute '(\w+)'", message)
    if key or (missing and hasattr(MutableMapping, missing[1])):
        return (
            "if the model takes a mapping, make it of the tensor: "
            f"{_PRE_HOOK}: ({{{key or 'x'!r}: args[0]}},))" + ("" if key else ", with your key for 'x'")
        )
    if missing:
        return (
            f"if the model takes an object that has .{missing[1]}, make it of the tensor: "
            f"{_PRE_HOOK}: (make(args[0]),)), with your function for make"
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
    """Return the key that the line which failed looks for in an input, as in batch["x"]; "" without one."""
    lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, (TypeError, IndexError, KeyError)):
        subscript = re.search(r"""\[\s*(['"])(\w+)\1\s*\]""", lines[-1] if lines else "")
        return subscript[2] if subscript else ""
    if "Tensor.__contains__" in str(error):  # which fails within torch
        asked = [re.search(r"""(['"])(\w+)\1 (not )?in """, line) for line in lines]
        return next((found[2] for found in reversed(asked) if found), "")
    return ""


def for_outputs(outputs: object, samples: int) -> str:
    """Return the line to write where a model returns several things, to keep one with a row a sample.

    One that a trained parameter has a part in is preferred, since models return their inputs, too; then one
    of shape (n, c).
    """
    parts = {
        place: part
        for place, part in _tensors(outputs)
        if part.shape[:1] == (samples,) or part.shape[:2] == (1, samples)
    }
    if not parts:
        return "wrap the model so that it returns one tensor"

    def suits(place: str) -> tuple[bool, bool]:
        trained = any(isinstance(leaf, nn.Parameter) for leaf in leaves(parts[place]))
        return trained, parts[place].ndim == 2

    return f"{_HOOK}: outputs{max(parts, key=suits)}) takes one of them"


def for_shape(shape: tuple[int, ...], samples: int) -> str:
    """Return the line to write where a model returns a tensor with more than two axes."""
    if len(shape) > 2 and shape[0] == samples:
        return f"{_HOOK}: outputs.flatten(1)) puts all outputs of a sample along the second axis"
    if len(shape) > 2 and shape[:2] == (1, samples):
        return f"{_HOOK}: outputs[0]) leaves out the first axis"
    return "return one row a sample, with all outputs along the second axis"


def _tensors(outputs: object, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """Iterate over the tensors in nested mappings and sequences, each with the subscripts that lead to it."""
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(outputs, Tensor):
        yield place, outputs
    elif isinstance(outputs, Mapping):
        parts = outputs.items()
    elif isinstance(outputs, Sequence) and not isinstance(outputs, str):
        parts = enumerate(outputs)
    for key, part in parts:
        name = f"{type(key).__name__}.{key.name}" if isinstance(key, Enum) else repr(key)
        yield from _tensors(part, f"{place}[{name}]")
