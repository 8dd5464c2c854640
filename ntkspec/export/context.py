"""The settings of torch while a model is evaluated for its Jacobian."""

from __future__ import annotations

import contextlib
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint
from torch import Tensor

from ntkspec.nets.devices import full_float32


@contextlib.contextmanager
def evaluation(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Set gradients on, autocast and TF32 off, and `dtype` as default.

    The global generators of random numbers, PyTorch's, NumPy's and Python's, are restored. Warnings of
    torch.func are hidden. Compiled functions run uncompiled, and reentrant checkpoints as if there were none.
    Backward hooks that are registered for all modules are not run.
    """
    default = torch.get_default_dtype()
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        full_float32(),
        torch.random.fork_rng(devices=cuda),
        _generators_kept(),
        _saved_as_they_are(),
        warnings.catch_warnings(),
        _without_compiler(),
        _without_checkpoints(),
        _without_backward_hooks(),
    ):
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


@contextlib.contextmanager
def _generators_kept() -> Iterator[None]:
    """Restore the global generators of Python and NumPy, from which a forward pass may draw."""
    python = random.getstate()
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002  # models draw from it, though we do not
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002  # as above


@contextlib.contextmanager
def _saved_as_they_are() -> Iterator[None]:
    """Keep exact what is saved for a backward pass: hooks of the caller may compress it."""
    active, graph = False, torch.autograd.graph
    try:
        with graph.disable_saved_tensors_hooks("none may be active"):
            pass
    except RuntimeError:
        active = True
    # Of several pairs of hooks the innermost counts. Without any, torch.func is faster.
    with graph.saved_tensors_hooks(lambda x: x, lambda x: x) if active else contextlib.nullcontext():
        yield


def backward_hooks_of_all_modules() -> tuple[dict[int, Any], ...]:
    """Return torch's own records of the backward hooks, and of those before, that hold for every module."""
    module: Any = torch.nn.modules.module
    return module._global_backward_hooks, module._global_backward_pre_hooks


@contextlib.contextmanager
def _without_backward_hooks() -> Iterator[None]:
    records = backward_hooks_of_all_modules()
    kept = [dict(record) for record in records]
    for record in records:
        record.clear()
    try:
        yield
    finally:
        for record, hooks in zip(records, kept, strict=True):
            record.update(hooks)


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    """Run compiled functions uncompiled: compiled ones allow one backward pass, no hooks and no vmap."""
    if "torch._dynamo" in sys.modules:  # else nothing is compiled, and the import would take seconds
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


class _Uncheckpointed:
    """A stand-in for torch's reentrant checkpoints, which torch.autograd.grad refuses."""

    @staticmethod
    def apply(function: Callable[..., object], preserve_rng_state: bool, *args: object) -> object:
        """Call the function; as in torch, its result has a gradient only if one of the arguments has one."""
        connected = any(isinstance(argument, Tensor) and argument.requires_grad for argument in args)
        with torch.set_grad_enabled(connected and torch.is_grad_enabled()):
            return function(*args)


@contextlib.contextmanager
def _without_checkpoints() -> Iterator[None]:
    module: Any = torch.utils.checkpoint
    original = getattr(module, "CheckpointFunction", None)
    module.CheckpointFunction = _Uncheckpointed
    try:
        yield
    finally:
        module.CheckpointFunction = original
