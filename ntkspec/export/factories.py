"""Build a model by the name of its factory, as `package.module:factory`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ntkspec._io import type_and_line
from ntkspec.errors import UsageError
from ntkspec.export.precisions import AGREE
from ntkspec.export.tolerance import largest
from ntkspec.nets.options import nearest

OPTION = "⟦--model⟧"
TRIED = 16  # samples


@dataclass(frozen=True)
class Factory:
    """A function that makes a model, with its name and arguments."""

    name: str
    make: Callable[..., Any]
    arguments: Sequence[Any] | Mapping[str, Any] = ()

    def build(self) -> nn.Module:
        """Make a model, in eval mode.

        Raises:
            UsageError: the factory fails, or makes something else.
        """
        arguments = self.arguments
        try:
            model = self.make(**arguments) if isinstance(arguments, Mapping) else self.make(*arguments)
        except Exception as error:
            raise UsageError(
                f"{OPTION} {self.name}",
                expected="a factory that makes the model",
                got=type_and_line(error),
                remedy="mend it, or give it arguments by ⟦--model-args⟧",
            ) from error
        while (inner := _inside(model)) is not None:
            model = inner
        if not isinstance(model, nn.Module):
            raise UsageError(
                f"{OPTION} {self.name}",
                expected="a factory that returns a torch.nn.Module",
                got=f"something of type {type(model).__name__}",
            )
        return model.eval()


def find_factory(name: str, arguments: Sequence[Any] | Mapping[str, Any] = ()) -> Factory:
    """Import a factory: a function or class that makes a model, or a model itself.

    Args:
        name: module and attribute, as "package.module:factory".
        arguments: of the factory.

    Raises:
        UsageError: there is none of that name, or its module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    parts = [*module_name.split("."), *attribute.split(".")]
    if not all(part.isidentifier() for part in parts) or module_name.endswith(".py"):
        raise UsageError(
            OPTION,
            expected="package.module:factory",
            got=repr(name),
            remedy="e.g. field:make for the function make of field.py",
        )
    factory: Any = _import(module_name)
    for part in attribute.split("."):
        if not hasattr(factory, part):
            near = nearest(part, [public for public in dir(factory) if not public.startswith("_")])
            raise UsageError(
                f"{OPTION} {name}",
                expected=f"a factory in {getattr(factory, '__file__', None) or module_name}",
                got=f"no {part!r} there",
                remedy=f"did you mean {near}?" if near else "check its name",
            )
        factory = getattr(factory, part)
    if isinstance(factory, nn.Module):
        return Factory(name, lambda: factory)
    if not callable(factory):
        raise UsageError(
            f"{OPTION} {name}",
            expected="a function that makes the model",
            got=f"something of type {type(factory).__name__}",
        )
    return Factory(name, factory, arguments)


@contextmanager
def imports_from_here() -> Iterator[None]:
    """Let modules of the current directory be imported, as `python -m` does."""
    directory = os.getcwd()
    if directory in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        if directory in sys.path:
            sys.path.remove(directory)


def check_same(model: nn.Module, again: nn.Module, inputs: NDArray[np.floating], name: str) -> None:
    """Raise `UsageError` where two models of one factory and one checkpoint differ.

    Then something that the factory draws, such as frequencies of an encoding, is in no checkpoint, and the
    kernel would be another network's. A model that cannot be evaluated is left to the exporter.
    """
    first, second = (_outputs(made, inputs) for made in (model, again))
    if first is None or second is None or first.shape != second.shape:
        return
    difference = largest([(first - second).abs()])
    if difference > AGREE * largest([first.abs()]):
        raise UsageError(
            f"{OPTION} {name}",
            expected="a model that the checkpoint determines",
            got=f"two of them whose outputs differ by {difference:.1e}",
            remedy="what the factory draws at random must be a registered buffer or be seeded",
        )


def output_columns(model: nn.Module, inputs: NDArray[np.floating]) -> int | None:
    """Count the model's outputs; None where it cannot be evaluated, or gives no (n, c)."""
    outputs = _outputs(model, inputs)
    return outputs.shape[1] if outputs is not None and outputs.ndim == 2 else None


@contextmanager
def keeping(model: nn.Module, columns: tuple[int, ...] | None) -> Iterator[None]:
    """Make the model return only some columns of its outputs (n, c); all of them if `columns` is None.

    A hook does it: in a module around the model, its parameters would have other names.
    """
    if columns is None:
        yield
        return
    handle = model.register_forward_hook(_Keep(columns))
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class _Keep:
    """A forward hook that keeps some columns of the outputs; the exporter copies it with the model."""

    columns: tuple[int, ...]

    def __call__(self, model: nn.Module, inputs: object, outputs: object) -> object:
        """Return these columns of outputs (n, c); anything else as it is."""
        if isinstance(outputs, Tensor) and outputs.ndim == 2:
            return outputs[:, list(self.columns)]
        return outputs


def _inside(model: object) -> object:
    """Return the module that DataParallel or torch.compile has wrapped; None where neither has."""
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return model.module
    return getattr(model, "_orig_mod", None)


def _outputs(model: nn.Module, inputs: NDArray[np.floating]) -> Tensor | None:
    """Return the outputs at the first samples, in the model's own precision; None where it fails."""
    numbers = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), None)
    if numbers is None:
        return None
    try:
        with torch.no_grad():
            outputs = model(torch.as_tensor(inputs[:TRIED]).to(numbers.device, numbers.dtype))
    except Exception:  # whatever the model raises; the exporter, which evaluates it again, says what
        return None
    return outputs.detach() if isinstance(outputs, Tensor) else None


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise UsageError(
                f"{OPTION} {module_name}",
                expected="a module that can be imported",
                got=f"no module named {error.name!r} in {os.getcwd()} or where Python looks",
                remedy="run this in its folder, or set PYTHONPATH",
            ) from error
        raise _not_imported(module_name, error) from error
    except (Exception, SystemExit) as error:
        raise _not_imported(module_name, error) from error


def _not_imported(module_name: str, error: BaseException) -> UsageError:
    return UsageError(
        f"{OPTION} {module_name}",
        expected="a module that can be imported",
        got=type_and_line(error),
        remedy='mend it; what it does as a script belongs under if __name__ == "__main__"',
    )
