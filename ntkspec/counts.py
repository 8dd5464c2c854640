"""Whole numbers as callers give them: of Python, NumPy or torch."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ntkspec.errors import UsageError, shown

LARGEST = 2**63 - 1  # that 64 bits can hold


def whole_number(value: Any, name: str, least: int) -> int:
    """Take a whole number, least to LARGEST, from an integer of any kind or a float such as 1000.0.

    Raises:
        UsageError: it is none; True and False are none.
    """
    number = _whole(value)
    if number is None or not least <= number <= LARGEST:
        expected = f"a whole number from {least} to 2^63 - 1"
        raise UsageError(name, expected=expected, got=shown(value), remedy=f"e.g. {max(least, 1)}")
    return number


def _whole(value: Any) -> int | None:
    if isinstance(value, bool | np.bool_) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool"):
        return None
    if isinstance(value, float | np.floating):
        return int(value) if value.is_integer() else None
    try:
        return operator.index(value)
    except Exception:  # whatever __index__ raises
        return None
