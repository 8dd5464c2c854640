"""Scale blocks by learning rates: rate s turns J into sqrt(s) J, and the kernel J J^T into s J J^T."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Real

import numpy as np

from ntkspec.errors import UsageError
from ntkspec.jacobian.block import Block
from ntkspec.jacobian.factor import Factor


def check_rate(name: str, rate: object) -> None:
    """Raise `UsageError` unless `rate` is a positive, finite number."""
    if not isinstance(rate, Real) or not 0 < float(rate) < math.inf:
        raise _bad_rate(name, "a positive, finite number", repr(rate))


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
    loaded, kind = factor.load(), factor.dtype
    with np.errstate(over="ignore", under="ignore"):
        scaled = loaded.map(lambda values: values * kind.type(number))
    largest = float(scaled.largest.max())
    if not math.isfinite(largest) or (largest == 0 and loaded.largest.any()):
        raise _bad_rate(name, f"one that keeps the block's numbers in {kind}", f"{number**2:.0e}")
    return scaled


def _bad_rate(name: str, expected: str, got: str) -> UsageError:
    remedy = "give the learning rate relative to that of the other blocks"
    return UsageError(f"rate of {name}", expected=expected, got=got, remedy=remedy)
