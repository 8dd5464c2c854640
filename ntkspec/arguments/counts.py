"""Check numbers of Python, NumPy or torch that callers pass."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import SupportsIndex

import numpy as np

from ntkspec.errors import UsageError, shown

LARGEST = 2**63 - 1  # the largest that a signed number of 64 bits can be


def whole_number(value: object, name: str, least: int) -> int:
    """Return a whole number as an `int`, from an integer of any kind or a float such as 1000.0.

    Args:
        value: what a caller gave.
        name: what the number is for, for the message.
        least: the smallest number that is allowed; the largest is `LARGEST`.

    Raises:
        UsageError: it is not a whole number in this range; True and False are not accepted.

    Example:
        >>> whole_number(1000.0, "step", 0)
        1000
    """
    number = _whole(value)
    if number is None or not least <= number <= LARGEST:
        expected = f"a whole number from {least} to 2^63 - 1"
        raise UsageError(name, expected=expected, got=shown(value), remedy=f"e.g. {max(least, 1)}")
    return number


def positive_number(value: object, name: str, remedy: str) -> float:
    """Return a positive, finite number as a `float`.

    Args:
        value: what a caller gave.
        name: what the number is for, for the message.
        remedy: for the message.

    Raises:
        UsageError: it is none; True and False are not accepted.

    Example:
        >>> positive_number(np.float32(0.5), "rate", "give another")
        0.5
    """
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not 0 < number < math.inf:
        raise UsageError(name, expected="a positive, finite number", got=shown(value), remedy=remedy)
    return number


def _whole(value: object) -> int | None:
    """Return the value as an `int`, or None if it is no whole number."""
    if isinstance(value, bool | np.bool_) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool"):
        return None
    if isinstance(value, float | np.floating):
        return int(value) if value.is_integer() else None
    return as_index(value)


def as_index(value: object) -> int | None:
    """Return an integer of any kind as an `int`, or None if it is none; True and False are none.

    Example:
        >>> as_index(np.int64(3)), as_index(3.0)
        (3, None)
    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return None
    try:
        return operator.index(value)
    except Exception:  # whatever __index__ raises
        return None
