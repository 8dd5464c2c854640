"""Scale blocks by learning rates: rate s turns J into sqrt(s) J, and the kernel J J^T into s J J^T."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import positive_number
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian.block import Block
from ntkspec.jacobian.factor import Factor

REMEDY = "give the learning rate relative to that of the other blocks"


def check_rates(rates: object) -> dict[str, float]:
    """Return the rates of blocks or roles by name; raise `UsageError` unless they are positive and finite."""
    if not isinstance(rates, Mapping):
        expected = "a mapping of blocks or roles to learning rates"
        raise UsageError("rates", expected=expected, got=shown(rates), remedy="e.g. {'grid': 10.0}")
    return {name: positive_number(rate, f"rate of {name}", REMEDY) for name, rate in rates.items()}


def with_rate(block: Block, rate: float) -> Block:
    """Multiply a block by the square root of a learning rate.

    One factor is loaded and scaled, the right one if it is stored; it keeps its precision.

    Raises:
        UsageError: the scaled numbers leave the range of that precision.
    """
    if rate == 1:
        return block
    if block.right.arrays:
        return replace(block, right=_times(block.right, math.sqrt(rate), block.name))
    return replace(block, left=_times(block.left, math.sqrt(rate), block.name))


def _times(factor: Factor, number: float, name: str) -> Factor:
    """Return the factor times a number, in its own precision.

    Raises:
        UsageError: the products leave the range of that precision.
    """

    def times(values: NDArray[Any]) -> NDArray[Any]:
        """Round each product once, and none to zero: a zero would count as one where ranks are counted."""
        limits = np.finfo(values.dtype)
        with np.errstate(over="ignore", under="ignore"):
            scaled: NDArray[Any] = np.multiply(values, number, dtype=np.float64).astype(values.dtype)
        lost = (scaled == 0) & (values != 0)
        scaled[lost] = np.copysign(limits.smallest_subnormal, values[lost])
        largest = float(np.abs(scaled).max(initial=0))
        # What lies below `tiny` has fewer digits. Beside a number of this size that is less than rounding.
        if largest == math.inf or (number < 1 and 0 < largest < limits.tiny / limits.eps):
            expected = f"one that keeps the block's numbers in {values.dtype}"
            raise UsageError(f"rate of {name}", expected=expected, got=f"{number**2:.0e}", remedy=REMEDY)
        return scaled

    return factor.map(times)
