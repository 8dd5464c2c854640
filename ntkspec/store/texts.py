"""Make and check texts that HDF5 can store: UTF-8 without NUL, and JSON. Command lines may hold others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np

from ntkspec.errors import UsageError

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


def one_level(name: str) -> str:
    """Return a name without slashes, which would make groups within groups in HDF5.

    Example:
        >>> one_level("encoder/table")
        'encoder|table'
    """
    return name.replace("/", "|")


def to_json(mapping: Mapping[str, object], name: str) -> str:
    """Return a mapping as JSON; raise `UsageError` where it holds anything that JSON cannot."""
    try:
        return json.dumps(dict(mapping), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise UsageError(
            name, expected="a mapping that JSON can hold", got=str(error), remedy="leave out what is not JSON"
        ) from None


def _plain(value: object) -> object:
    """Convert a NumPy scalar to a Python one; raise `TypeError` for other values."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refused(where: str, expected: str, text: object) -> UsageError:
    return UsageError(where, expected=expected, got=repr(text)[:80])
