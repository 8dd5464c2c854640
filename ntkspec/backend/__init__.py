"""Backends, which run the arithmetic: `select` one and pass it on."""

from __future__ import annotations

from typing import Literal, get_args

from ntkspec.backend.cpu import CpuBackend
from ntkspec.backend.protocol import Array, Backend, BackendName
from ntkspec.errors import BackendError, not_one_of
from ntkspec.jacobian import Precision

Choice = Literal["auto", "cpu", "gpu"]


def select(choice: Choice | Backend = "auto") -> Backend:
    """Return a backend by name; "auto" takes the GPU where CuPy sees one, else the CPU.

    A backend that is passed in place of a name is returned as it is.

    Raises:
        BackendError: "gpu" was asked for and cannot run here; the message says why.
    """
    if not isinstance(choice, str):
        return choice
    if choice == "cpu":
        return CpuBackend()
    if choice not in ("auto", "gpu"):
        raise not_one_of("backend", choice, get_args(Choice))
    try:
        from ntkspec.backend.gpu import GpuBackend

        return GpuBackend()
    except BackendError:
        if choice == "gpu":
            raise
        return CpuBackend()


__all__ = ["Array", "Backend", "BackendName", "Choice", "CpuBackend", "Precision", "select"]
