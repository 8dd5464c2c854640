"""Devices, which no test sees unless it is marked gpu: what is left to "auto" runs on the CPU elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from ntkspec.backend import gpu
from ntkspec.errors import BackendError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Hide all CUDA devices, from this process and from those that it starts.

    CUDA reads the variable when it starts. In this process it may have started for a test marked gpu, so that
    what asks for a device here, our CuPy backend and PyTorch, is answered besides.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VISIBLE, "")
        patch.setattr(gpu, "_cupy", _none)
        torch = _torch()
        if torch is not None:
            patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


def missing() -> str:
    """Say why there is no device to run on; empty where there is one."""
    try:
        gpu.GpuBackend()
    except BackendError as error:
        return str(error)
    return ""


def _torch() -> Any:
    """PyTorch, if it is installed: though imported later, it would find CUDA started with devices."""
    if "torch" not in sys.modules and find_spec("torch") is not None:
        import_module("torch")
    return sys.modules.get("torch")


def _none() -> Any:
    got = "none: hidden from tests that are not marked gpu"
    raise BackendError("backend gpu", expected="a CUDA device", got=got, remedy="use ⟦--backend=cpu⟧")
