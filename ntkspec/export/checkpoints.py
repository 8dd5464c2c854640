"""Read checkpoints of any training, without executing anything in them, and load them into a model."""

from __future__ import annotations

import contextlib
import errno
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ntkspec._io import first_line, type_and_line
from ntkspec.arguments.counts import LARGEST, whole_number
from ntkspec.display import listed
from ntkspec.errors import UsageError
from ntkspec.export.copying import convert
from ntkspec.nets.checkpoint import can_hold, kind_of

STATES = ("state_dict", "model_state_dict", "model", "state")  # where a checkpoint may hold the tensors
STEPS = ("step", "global_step", "iteration", "epoch")  # where it may have the training step
WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name
SAVE = "save its tensors alone: torch.save(model.state_dict(), FILE)"
DOUBLE = (torch.float64, torch.complex128)
NAMED = 3  # tensors that a message names


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The tensors of a model in a checkpoint, and the training step."""

    path: Path
    state: Mapping[str, Any]  # as of `nn.Module.state_dict`
    step: int | None  # as given, in the file, or at the end of its name


def read_checkpoint(path: Path, step: int | None = None) -> Checkpoint:
    """Read the tensors of a checkpoint; a file that would do anything else when unpickled is refused.

    Args:
        path: the file.
        step: the training step, where another one counts than that which the file gives.

    Raises:
        UsageError: the file is no checkpoint, or holds more than tensors, plain numbers and texts.
    """
    content = _load(path)
    if not isinstance(content, Mapping):
        raise _refused(path, f"a {type(content).__name__}", SAVE)
    keys = [name for name in STATES if _is_state(content.get(name))]
    if _is_state(content):
        return Checkpoint(path, content, _step({}, path) if step is None else step)
    if len(keys) != 1:
        names = ", ".join(map(repr, content)) or "nothing"
        got = f"one that holds {names[:120]}" if not keys else f"several: {', '.join(keys)}"
        raise _refused(path, got, f"save the tensors alone, or under {STATES[0]!r}")
    return Checkpoint(path, content[keys[0]], _step(content, path) if step is None else step)


def load_state(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint into a model: every tensor of the model, and no other.

    Raises:
        UsageError: tensors are missing, left over, of another shape or of another kind of numbers.
    """
    model_state = model.state_dict()
    state = _unwrapped(checkpoint.state, set(model_state))
    missing = [name for name in model_state if name not in state]
    left_over = [name for name in state if name not in model_state]
    if missing or left_over:
        words = (("no", missing), ("also", left_over))
        got = [f"{word} {listed([*map(repr, names)], NAMED)}" for word, names in words if names]
        raise UsageError(
            str(checkpoint.path),
            expected=f"the {len(model_state)} tensors of the model",
            got=" and ".join(got),
            remedy=_remedy(set(model_state), list(state)),
        )
    for name, tensor in model_state.items():
        other = state[name]
        if isinstance(tensor, Tensor) and isinstance(other, Tensor):
            _require_alike(tensor, other, f"{checkpoint.path}: {name}")
    if any(isinstance(value, Tensor) and value.dtype in DOUBLE for value in state.values()):
        convert(model, [], torch.float64)  # or the numbers would be rounded to the model's precision
    try:
        model.load_state_dict(state)
    except Exception as error:  # raised by a module that loads in its own way
        raise UsageError(
            str(checkpoint.path),
            expected="a checkpoint that the model loads",
            got=type_and_line(error),
            remedy="let the factory build the model that was trained",
        ) from error


def _require_alike(tensor: Tensor, other: Tensor, where: str) -> None:
    """Raise `UsageError` unless `other` has the kind of numbers of the model's `tensor` and its shape."""
    if not can_hold(tensor, other):  # first, since a nested tensor has no shape
        raise UsageError(
            where,
            expected=f"{kind_of(tensor)} numbers, as the model has them",
            got=f"{kind_of(other)} ones ({str(other.dtype).removeprefix('torch.')})",
            remedy="save the weights as they were trained, not converted, and make the model as it was then",
        )
    if not nn.parameter.is_lazy(tensor) and tensor.shape != other.shape:
        raise UsageError(
            where,
            expected=f"shape {tuple(tensor.shape)}, as the model has it",
            got=str(tuple(other.shape)),
            remedy="let the factory build the model that was trained; ⟦--model-args⟧ gives it arguments",
        )


def _load(path: Path) -> object:
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no such file" if not path.exists() else "a device or pipe"
        raise _refused(path, got, "name a file of torch.save" if path.exists() else "check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an error says the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.errno == errno.EINVAL:  # torch seeks past the end of a file that is cut off
            raise _refused(path, "a damaged one, perhaps cut off", "copy or save it again") from error
        raise _refused(path, error.strerror or first_line(error), "check the file") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes the unpickler raise
        raise _refused(path, *_why(path, str(error))) from error


def _why(path: Path, message: str) -> tuple[str, str]:
    """Return what torch refused, and a remedy."""
    if refused := re.search(r"GLOBAL (\S+)", message):
        return f"one that would run or hold {refused[1]}", SAVE
    if _is_safetensors(path):
        return "a safetensors file", "convert it: torch.save(safetensors.torch.load_file(FILE), OTHER)"
    if "TorchScript" in message:
        return "a TorchScript archive", SAVE
    if not path.stat().st_size:
        return "an empty file", "copy or save it again"
    if "zip archive" in message or "central directory" in message:
        return "a damaged one, perhaps cut off", "copy or save it again"
    return "a file that torch.save did not write, or a damaged one", SAVE


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors do: with the length of a header in JSON."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(9)
        return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 2**27
    return False


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and any(isinstance(content, Tensor) for content in value.values())
        and all(
            isinstance(name, str) and (isinstance(content, Tensor) or name.endswith("_extra_state"))
            for name, content in value.items()
        )
    )


def _step(content: Mapping[str, object], path: Path) -> int | None:
    """Return the training step that a checkpoint or its file's name gives; None if neither does.

    Raises:
        UsageError: what the checkpoint gives as its step is no whole number.
    """
    name = next((name for name in STEPS if content.get(name) is not None), None)
    if name is not None:
        value = content[name]
        value = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        try:
            return whole_number(value, f"{path}: {name}", 0)
        except UsageError as error:
            where, expected, got, _ = error.args
            remedy = "give the step of each checkpoint by ⟦--steps⟧"
            raise UsageError(where, expected=expected, got=got, remedy=remedy) from None
    digits = re.search(r"(?<!\d)\d{1,19}$", path.stem)
    step = int(digits[0]) if digits else None
    return None if step is None or step > LARGEST else step


def _unwrapped(state: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    """Return the tensors without the prefix of a wrapper, unless the model has it in its names, too."""
    bare = dict(state)
    while bare and set(bare) != wanted:
        prefix = next(
            (wrapper for wrapper in WRAPPERS if all(name.startswith(wrapper) for name in bare)), None
        )
        if prefix is None:
            break
        bare = {name.removeprefix(prefix): value for name, value in bare.items()}
    return bare


def _remedy(wanted: set[str], names: list[str]) -> str:
    """Return a remedy: most often, one of the two models is a part of the other."""
    prefix = names[0].partition(".")[0] + "." if names else "."
    if {name.removeprefix(prefix) for name in names} == wanted:
        return f"let the factory return a module that holds the model as {prefix[:-1]!r}"
    return "let the factory build the model that was trained; ⟦--model-args⟧ gives it arguments"


def _refused(path: Path, got: str, remedy: str) -> UsageError:
    return UsageError(str(path), expected="a checkpoint of tensors", got=got, remedy=remedy)
