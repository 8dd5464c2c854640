"""Backends, which run the arithmetic on the CPU or on a GPU; `select` returns one by name."""

from __future__ import annotations

from typing import Literal, get_args

from ntkspec.backend.arrays import Array
from ntkspec.backend.base import Backend, BackendName
from ntkspec.backend.cpu import CpuBackend
from ntkspec.errors import BackendError, not_one_of
from ntkspec.jacobian import Precision

Choice = Literal["auto", "cpu", "gpu"]


def select(choice: Choice | Backend = "auto") -> Backend:
    """Return a backend by name; "auto" stands for the GPU if it can be used, otherwise for the CPU.

    If `choice` is a backend already, return it unchanged.

    Raises:
        BackendError: `choice` is "gpu", and the GPU cannot be used; the message says why.
    """
    if not isinstance(choice, str):
        if getattr(choice, "name", None) not in get_args(BackendName):
            raise not_one_of("backend", choice, get_args(Choice))
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
