"""Check functions that callers pass to be called later, when much work may be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ntkspec.errors import UsageError, shown


def as_function(function: object, name: str) -> Callable[..., Any]:
    """Return a function that a caller gave, and for None one that does nothing.

    Args:
        function: what came.
        name: of the argument, for the message.

    Raises:
        UsageError: it is neither.

    Example:
        >>> as_function(print, "say")("a line"), as_function(None, "say")("another")
        a line
        (None, None)
    """
    if function is None:
        return lambda *_: None
    if not callable(function):
        remedy = "give one, such as print, or leave it out"
        raise UsageError(name, expected="a function", got=shown(function), remedy=remedy)
    return function
