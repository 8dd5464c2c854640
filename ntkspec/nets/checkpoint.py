"""Checkpoints: a network's numbers and config in one file that executes nothing when it is loaded."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.checkpoint"):
    import torch
    from torch import Tensor

from ntkspec._io import first_line, replacing
from ntkspec.errors import UsageError, named_path
from ntkspec.nets.build import build_model
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.mlp import CoordinateNetwork
from ntkspec.store.disk import writing


def save_checkpoint(path: str | Path, config: TrainConfig, step: int, state: Mapping[str, Tensor]) -> None:
    """Write a checkpoint under a temporary name, and rename it when it is complete.

    Args:
        path: the file, by convention `<label>.pt`; an existing one is replaced.
        config: what `build_model` needs.
        step: of the training.
        state: the network's parameters and buffers by name.

    Raises:
        OutputError: it cannot be written.
    """
    path = named_path(path, "a checkpoint")
    content = io.BytesIO()  # torch does not say that a disk is full
    torch.save({"config": config.to_json(), "step": step, "state": dict(state)}, content)
    with writing(path), replacing(path) as part:
        part.write_bytes(content.getbuffer())


def load_checkpoint(path: str | Path) -> tuple[CoordinateNetwork, TrainConfig, int]:
    """Read a checkpoint: the network, its config and its step. Nothing in the file is executed.

    Raises:
        UsageError: it is not a checkpoint that `save_checkpoint` wrote.
    """
    content = _load(named_path(path, "a checkpoint"))
    try:
        config = TrainConfig.from_dict(json.loads(content["config"]), where=f"{path}, config")
        step = content["step"]
        if type(step) is not int or step < 0:
            raise ValueError(f"step {step!r}")
        model = build_model(config)
        _require_kinds(model.state_dict(), content["state"])
        model.load_state_dict(content["state"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _foreign(path, f"a file without them ({first_line(error)})") from error
    return model, config, step


def kind_of(tensor: Tensor) -> str:
    """Return which numbers a tensor holds: "floating-point", "complex" or "whole" ones.

    A tensor of another form is "meta", "nested", "quantised" or of a sparse layout, such as "sparse_coo".
    """
    kinds = {
        "meta": tensor.is_meta,
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        str(tensor.layout).removeprefix("torch."): tensor.layout != torch.strided,
        "complex": tensor.is_complex(),
        "floating-point": tensor.is_floating_point(),
    }
    return next((kind for kind, held in kinds.items() if held), "whole")


def can_hold(tensor: Tensor, other: Tensor) -> bool:
    """Return whether a model's tensor holds numbers of the kind of a checkpoint's `other`, of the same shape.

    PyTorch would convert one kind into another without a word. Whole numbers may be stored as
    floating-point ones, as where all tensors of a checkpoint were converted to save space, and in more bits.
    """
    if kind_of(tensor) == "whole" and kind_of(other) in ("whole", "floating-point"):
        with contextlib.suppress(RuntimeError):  # PyTorch's, of types in which it cannot compute
            return torch.equal(other, other.to(tensor.dtype).to(other.dtype))
    return kind_of(tensor) == kind_of(other)


def _require_kinds(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise `ValueError` where a tensor of the model cannot hold the numbers that the state has for it."""
    for name in wanted.keys() & state.keys():
        if not can_hold(wanted[name], state[name]):
            raise ValueError(f"{kind_of(state[name])} numbers in {name}")


def _load(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _foreign(path, error.strerror or first_line(error)) from error
    except Exception as error:  # whatever a damaged or hostile file makes the unpickler raise
        raise _foreign(path, f"what torch refuses to load ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise _foreign(path, f"a file that holds a {type(content).__name__}")
    return content


def _foreign(path: str | Path, got: str) -> UsageError:
    return UsageError(
        str(path),
        expected="a checkpoint with config, step and state",
        got=got,
        remedy="give a .pt file from a folder that ntkspec.train wrote",
    )
