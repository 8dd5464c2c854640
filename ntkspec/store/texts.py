"""Texts that HDF5 can hold: UTF-8 without NUL. Strings may be neither, such as bytes of a command line."""

from __future__ import annotations

import re
from typing import Any

from ntkspec.errors import UsageError

_UNSTORABLE = re.compile("[\ud800-\udfff\0]")


def storable(text: str) -> str:
    """The text with a replacement character for everything that cannot be stored; for labels."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def check_label(text: Any, where: str) -> str:
    """A label as it is stored; raise `UsageError` unless it is a string."""
    if not isinstance(text, str):
        raise _refused(where, "a string", text)
    return storable(text)


def check_name(text: Any, where: str) -> str:
    """A name by which something is found again, as it is; raise `UsageError` where it cannot be stored so."""
    if not isinstance(text, str) or _UNSTORABLE.search(text):
        raise _refused(where, "a string of UTF-8 without NUL", text)
    return text


def one_level(name: str) -> str:
    """The name without slashes, which would make groups within groups in HDF5."""
    return name.replace("/", "|")


def _refused(where: str, expected: str, text: Any) -> UsageError:
    return UsageError(where, expected=expected, got=repr(text)[:80])
