"""Devices by name, and arithmetic in full float32 on them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ntkspec._io import first_line
from ntkspec.errors import UsageError

if TYPE_CHECKING:
    import torch

DEVICES = "auto|cpu|cuda[:N]"
Answer = TypeVar("Answer")

OPTION = "option ⟦--device⟧"
_NAME = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")


def check_device(name: str) -> str:
    """Return the name of a device if it is well formed, whether there is such a device or not.

    Raises:
        UsageError: it is not "auto", "cpu", "cuda" or "cuda:N".
    """
    if not _NAME.fullmatch(name):
        raise UsageError(OPTION, expected=DEVICES, got=repr(name), remedy="e.g. cuda:0, or leave it out")
    return name


def find_device(name: str) -> torch.device:
    """Return the device of a name, with its number if it has one, after a trial computation on it.

    Args:
        name: "cpu", "cuda" (the first), "cuda:N", or "auto": the first CUDA device if PyTorch sees one, else
            the CPU.

    Raises:
        UsageError: it is not there, or cannot be used.
    """
    import torch

    check_device(name)
    count = _cuda_devices()
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    device = torch.device("cuda", 0 if name == "auto" else torch.device(name).index or 0)
    if device.index >= count:
        raise UsageError(
            OPTION,
            expected=f"one of {count} CUDA devices, from 0" if count else "cpu, since no CUDA device is here",
            got=name,
            remedy="see nvidia-smi, and torch.version.cuda for what PyTorch was built with",
        )
    _try_out(device)
    return device


def described(device: torch.device | str) -> str:
    """Describe a device for people, as "cpu" or "cuda:0, NVIDIA H200"."""
    import torch

    if torch.device(device).type != "cuda":
        return str(device)
    return f"{device}, {torch.cuda.get_device_name(device)}"


def _cuda_devices() -> int:
    """Count the CUDA devices that PyTorch sees, and hide its warnings about old drivers."""
    import torch

    return _quietly(lambda: torch.cuda.device_count() if torch.cuda.is_available() else 0)


def _try_out(device: torch.device) -> None:
    import torch

    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:  # a device too old for this PyTorch, full, or another process's alone
        raise UsageError(
            OPTION,
            expected=f"{device} to take a number",
            got=first_line(error),
            remedy="see nvidia-smi, or give ⟦--device=cpu⟧",
        ) from error


def _quietly(function: Callable[..., Answer], *arguments: object) -> Answer:
    """Call a function without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 numbers in float32, not in TF32 or bfloat16; afterwards restore the settings.

    TF32 has 10 bits of the 23 and is the default for convolutions on a CUDA device. Reduced precision of sums
    is not changed: it concerns float16 and bfloat16, in which no model here computes.

    PyTorch has two sets of switches, and refuses to read the older one where they disagree, which a model may
    do in its forward pass: so both are set. Where a caller has set the newer alone, the older cannot be read,
    and is left as it is.
    """
    import torch

    of: Any = torch.backends  # whose types leave some out
    switches = (of.cuda.matmul, of.cudnn.conv, of.cudnn.rnn, of.mkldnn.matmul, of.mkldnn.conv)
    with ExitStack() as stack:
        for switch in switches:  # restored last, since the older set writes to the newer
            stack.callback(setattr, switch, "fp32_precision", switch.fp32_precision)
        older: tuple[tuple[Callable[[Any], None], Callable[[], Any], Any], ...] = (
            (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision, "highest"),
            (lambda allowed: setattr(of.cudnn, "allow_tf32", allowed), lambda: of.cudnn.allow_tf32, False),
        )
        for put, get, full in older:  # some versions warn of them
            with suppress(RuntimeError):
                stack.callback(_quietly, put, _quietly(get))
                _quietly(put, full)
        for switch in switches:
            switch.fp32_precision = "ieee"
        yield
