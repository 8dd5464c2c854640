"""Make and check texts that HDF5 can store: UTF-8 without NUL, and JSON. Command lines may hold others."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ntkspec._io import first_line
from ntkspec.errors import UsageError, shown

_UNSTORABLE = re.compile("[\ud800-\udfff\0]")


def storable(text: str) -> str:
    """Return a text with a replacement character for each character that cannot be stored; for labels."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def check_label(text: object, where: str) -> str:
    """Return a label as it can be stored; raise `UsageError` unless it is a string."""
    if not isinstance(text, str):
        raise _refused(where, "a string", text)
    return storable(text)


def check_name(text: object, where: str) -> str:
    """Return a name as it is; raise `UsageError` unless it is a string that can be stored unchanged."""
    if not isinstance(text, str) or _UNSTORABLE.search(text):
        raise _refused(where, "a string of UTF-8 without NUL", text)
    return text


def check_id(text: object, where: str) -> str:
    """Return a name as it is; raise `UsageError` unless it is one that a member of an HDF5 group can have."""
    name = check_name(text, where)
    if name in ("", ".", "..") or "/" in name:
        raise _refused(where, "a name without '/', and not '', '.' or '..'", name)
    return name


def one_level(name: str) -> str:
    """Return a name without slashes, which would make groups within groups in HDF5.

    Example:
        >>> one_level("encoder/table")
        'encoder|table'
    """
    return name.replace("/", "|")


def to_json(
    values: Mapping[str, object] | Sequence[object], name: str, kind: Callable[[Any], object] = dict
) -> str:
    """Return a mapping as JSON, or a list by kind=list; raise `UsageError` if it holds what JSON cannot."""
    try:
        return json.dumps(kind(values), allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            name,
            expected=f"a {'mapping' if kind is dict else 'list'} that JSON can hold",
            got=first_line(error),
            remedy="leave out what is not JSON",
        ) from None


def metrics_to_json(metrics: Mapping[str, object]) -> str:
    """Return metrics as JSON; raise `UsageError` unless all are numbers, or scalars of any array library."""
    if not isinstance(metrics, Mapping):
        raise _refused("metrics", "a mapping of numbers, by name", metrics)
    plain = {name: _of_scalar(value) for name, value in metrics.items()}
    for name, value in plain.items():
        if not is_metric(value):
            raise UsageError(
                "metrics",
                expected="finite numbers only",
                got=f"{shown(name)}: {shown(metrics[name])}",
                remedy="leave out what is not a number",
            )
    return to_json(plain, "metrics")


def is_metric(value: object) -> bool:
    """Return whether a value from JSON is a finite number, of a size that a float can have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # A longer integer would not fit a float, and Python compares it with one exactly.
    return abs(value) <= sys.float_info.max


def _of_scalar(value: Any) -> object:
    """Return the number in a scalar of NumPy, JAX or torch as one of Python; other values as they are."""
    scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if scalar and not np.ma.is_masked(value) else value


def _plain(value: object) -> object:
    """Convert a NumPy scalar to a Python one; raise `TypeError` for other values."""
    if isinstance(value, np.longdouble):  # its item() is a NumPy scalar, too
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refused(where: str, expected: str, text: object) -> UsageError:
    return UsageError(where, expected=expected, got=shown(text))
