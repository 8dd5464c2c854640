"""Find all objects that a model holds or uses, registered or not, and their paths in Python."""

from __future__ import annotations

import contextlib
import functools
import itertools
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

LIMIT = 100_000  # objects looked at: a model may hold its whole data set

_ITEMS = (list, tuple, set, frozenset, deque)
_REGISTERS = ("_parameters", "_buffers", "_modules")
_ATOMS = (str, bytes, int, float, complex, type(None), types.ModuleType, types.BuiltinFunctionType)

Named = tuple[str, Any]


def reach(root: object) -> Iterator[Named]:
    """Yield all objects that can be reached from `root`, breadth first, each once: (its path, the object).

    Paths lead through attributes, classes, lists, dicts and other objects, and for functions through the
    variables that they refer to.
    """
    seen = {id(root): root}  # the objects are kept, so that no new one gets the id of one that was freed
    waiting: deque[Named] = deque([("", root)])
    while waiting and len(seen) < LIMIT:
        path, value = waiting.popleft()
        yield path, value
        with contextlib.suppress(Exception):  # an object may do anything when it is asked for its parts
            for part in _parts(path, value):
                if not isinstance(part[1], _ATOMS) and id(part[1]) not in seen:
                    seen[id(part[1])] = part[1]
                    waiting.append(part)


def _parts(path: str, value: Any) -> Iterator[Named]:
    """Yield the parts of `value`, whose path is `path`."""
    match value:
        case Tensor() | type():
            return
        case nn.Module():
            for register in _REGISTERS:
                yield from ((_join(path, name), part) for name, part in getattr(value, register).items())
            yield from _attributes(path, value)
        case dict() | types.MappingProxyType():
            yield from ((f"{path}[{key!r}]", part) for key, part in value.items())
        case _ if isinstance(value, _ITEMS):
            yield from ((f"{path}[{i}]", part) for i, part in enumerate(value))
            yield from _attributes(path, value)
        case types.FunctionType():
            yield from _variables(value)
        case types.MethodType():
            yield from ((path, value.__self__), (path, value.__func__))
        case staticmethod() | classmethod():
            yield path, value.__func__
        case property():
            yield path, value.fget
        case functools.partial():
            yield from (
                (path, value.func),
                (f"{path}.args", value.args),
                (f"{path}.keywords", value.keywords),
            )
        case _:
            yield from _attributes(path, value)


def _attributes(path: str, value: Any) -> Iterator[Named]:
    """Yield attributes of an object and its class, without those of torch's and Python's classes."""
    own = getattr(value, "__dict__", {})
    yield from ((_join(path, name), part) for name, part in own.items() if name not in _REGISTERS)
    for cls in type(value).__mro__:
        if not _foreign(cls.__module__):
            slots = getattr(cls, "__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                yield _join(path, name), getattr(value, name, None)
            yield from ((_join(path, name), part) for name, part in vars(cls).items())


def _variables(function: types.FunctionType) -> Iterator[Named]:
    """Yield what a function refers to: variables around it, globals and default values."""
    if _foreign(function.__module__):
        return
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # not assigned yet
            yield f"closure variable {name}", cell.cell_contents
    for name in itertools.chain(code.co_names, *(inner.co_names for inner in _inner(code))):
        if name in function.__globals__:
            yield f"global variable {name}", function.__globals__[name]
    for part in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield f"default argument of {function.__name__}", part


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the code of functions defined within."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _inner(constant)


def _foreign(module: str | None) -> bool:
    return (module or "").split(".")[0] in ("torch", "builtins", "typing", "abc", "collections", "numpy")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
