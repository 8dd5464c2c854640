"""The working copy of a model, in double precision and eval mode, and its parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ntkspec.display import listed
from ntkspec.errors import ExportError, require_one_of
from ntkspec.export.context import backward_hooks_of_all_modules
from ntkspec.export.copying import convert, deep_copy
from ntkspec.export.evaluation import GIVE_NUMBERS
from ntkspec.export.reach import reach
from ntkspec.jacobian import Precision as Precision

REGISTER = (
    "register it by nn.ModuleList, nn.ModuleDict, nn.ParameterDict or nn.Parameter, "
    "or set requires_grad_(False) if it is not trained"
)
NAMED = 3  # modules and parameters that a note names
_STATEFUL = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


class ExportWarning(UserWarning):
    """A warning about an export; the same text is in the snapshot's notes.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", ExportWarning)  # here it would be an exception
    """


@dataclass(frozen=True)
class Owned:
    """A trainable parameter, the module that holds it, and its position."""

    name: str
    module: str  # path of the first module that holds it; "" is the model itself
    attribute: str
    parameter: nn.Parameter
    order: int  # position among all parameters
    shared: tuple[str, ...]  # its names in other modules that hold it too

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape in real numbers: that of a complex parameter ends in an axis of length two."""
        shape = tuple(self.parameter.shape)
        return (*shape, 2) if self.parameter.is_complex() else shape

    @property
    def size(self) -> int:
        """Return the number of real numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A copy of a model that may be evaluated, differentiated and hooked."""

    source: nn.Module  # the caller's, to be read only
    model: nn.Module
    dtype: torch.dtype
    device: torch.device
    trainable: tuple[Owned, ...]
    frozen: tuple[str, ...]
    derived: tuple[Tensor, ...]  # copies without the history that the originals have
    notes: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Return the bytes of the copy's parameters and buffers; of sparse ones, those of their values."""
        return sum(_values(tensor).nbytes for tensor in (*self.model.parameters(), *self.model.buffers()))


def prepare(model: nn.Module, precision: Precision) -> Prepared:
    """Copy `model` into the given precision and eval mode; the caller's model is only read.

    Raises:
        ExportError: it cannot be copied, holds numbers that are not finite, or has nothing to train.
    """
    require_one_of("precision", precision, get_args(Precision))
    if not isinstance(model, nn.Module):
        raise ExportError(
            "model", expected="a torch.nn.Module", got=type(model).__name__, remedy="wrap it in a module"
        )
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ExportError(
            "model",
            expected="a module that runs in Python",
            got="one compiled by torch.jit",
            remedy="export it as it was before torch.jit.script or torch.jit.trace",
        )
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    _check_sizes(model)
    dtype = torch.float64 if precision == "float64" else torch.float32
    with torch.inference_mode(False), torch.no_grad():
        clone, derived, copied = deep_copy(model)
        convert(clone, copied, dtype)
    clone.eval()
    named = dict(clone.named_parameters())
    frozen = tuple(name for name, parameter in named.items() if not parameter.requires_grad)
    for parameter in named.values():
        if not parameter.numel():
            parameter.requires_grad_(False)  # without numbers it has no columns
    trainable = _owned(clone)
    if not trainable:
        raise _nothing_to_train(clone, len(named))
    _check_parameters(named, trainable)
    return Prepared(
        source=model,
        model=clone,
        dtype=dtype,
        device=next(owned.parameter.device for owned in trainable if not owned.parameter.is_meta),
        trainable=trainable,
        frozen=frozen,
        derived=derived,
        notes=_mode_notes(model) + _hook_notes(model),
    )


def to_tensor(array: NDArray[np.floating], prepared: Prepared) -> Tensor:
    """Return inputs in the precision and on the device of the working copy.

    Raises:
        ExportError: they are too large for its precision.
    """
    x = torch.from_numpy(array).to(device=prepared.device, dtype=prepared.dtype, copy=True)
    if not torch.isfinite(x).all():
        raise ExportError(
            "inputs",
            expected="numbers that float32 can hold",
            got=f"{np.abs(array).max():.1e}",
            remedy="scale them, or export with precision='float64'",
        )
    return x


def _check_sizes(model: nn.Module) -> None:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    lazy = [name for name, tensor in tensors if nn.parameter.is_lazy(tensor)]
    if lazy:
        raise ExportError(
            f"parameter {lazy[0]}",
            expected="parameters and buffers with a shape",
            got="a lazy one",
            remedy="run the model once before the export",
        )


def _mode_notes(model: nn.Module) -> tuple[str, ...]:
    kinds = sorted({type(m).__name__ for m in model.modules() if isinstance(m, _STATEFUL) and m.training})
    return (f"{', '.join(kinds)} evaluated in eval mode, though training",) if kinds else ()


def _hook_notes(model: nn.Module) -> tuple[str, ...]:
    """Return a note that names the modules and parameters whose backward hooks the copy is without."""
    names = [
        f"module {name}" if name else "the model"
        for name, module in model.named_modules()
        if module._backward_hooks or module._backward_pre_hooks
    ]
    names += [f"parameter {name}" for name, tensor in model.named_parameters() if tensor._backward_hooks]
    names += ["all modules"] if any(backward_hooks_of_all_modules()) else []
    if not names:
        return ()
    return (
        f"backward hooks of {listed(names, NAMED)} are not run: the Jacobian is the derivative of "
        "the function; if they change gradients, training follows other gradients",
    )


def _owned(model: nn.Module) -> tuple[Owned, ...]:
    holders: dict[int, list[tuple[str, str]]] = {}
    for path, module in model.named_modules():
        for attribute, parameter in module._parameters.items():
            if parameter is not None:
                holders.setdefault(id(parameter), []).append((path, attribute))
    owned = []
    for order, (name, parameter) in enumerate(model.named_parameters()):
        (path, attribute), *others = holders[id(parameter)]
        if parameter.requires_grad:
            shared = tuple(f"{other}.{attr}".lstrip(".") for other, attr in others)
            owned.append(Owned(name, path, attribute, parameter, order, shared))
    return tuple(owned)


def _nothing_to_train(model: nn.Module, frozen: int) -> ExportError:
    got = f"{frozen} frozen parameters" if frozen else "no parameters"
    remedy = "set requires_grad_(True), or export the model as it was before quantisation"
    for place, value in reach(model):
        if isinstance(value, Tensor) and value.requires_grad:
            got = f"{got} but a tensor of shape {tuple(value.shape)} at {place} that is not registered"
            remedy = REGISTER
            break
    return ExportError("model", expected="at least one trainable parameter", got=got, remedy=remedy)


def _check_parameters(named: dict[str, nn.Parameter], trainable: tuple[Owned, ...]) -> None:
    if all(owned.parameter.is_meta for owned in trainable):
        raise ExportError(
            f"parameter {trainable[0].name}",
            expected="numbers",
            got="a shape alone, on the meta device",
            remedy=GIVE_NUMBERS,
        )
    for owned in trainable:
        if owned.parameter.layout != torch.strided:
            raise ExportError(
                f"parameter {owned.name}",
                expected="dense parameters",
                got=f"a sparse one ({owned.parameter.layout})",
                remedy="keep its values as a parameter and make the sparse tensor of them in forward",
            )
    for name, parameter in named.items():
        bad = 0 if parameter.is_meta else int((~torch.isfinite(_values(parameter))).sum())
        if bad:
            raise ExportError(
                f"parameter {name}",
                expected="finite numbers",
                got=f"NaN or Inf in {bad} of {math.prod(parameter.shape)} places",
                remedy="export a snapshot from before training diverged",
            )


def _values(parameter: Tensor) -> Tensor:
    """Return the numbers that are stored, which for a sparse tensor are few."""
    if parameter.layout == torch.strided:
        return parameter.detach()
    return parameter.detach().coalesce().values() if parameter.is_sparse else parameter.detach().values()
