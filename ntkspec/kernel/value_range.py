"""Refuse kernels whose entries are too close to overflow or underflow.

Near both ends errors cannot be stated (`check_range`); still smaller entries cannot be formed
(`check_formable`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.problem import Kernel


def check_range(kernel: Kernel, where: str = "kernel") -> None:
    """Raise `UsageError` if the kernel's entries are too close to overflow or underflow.

    Errors are stated relative to the largest entries, which is valid only far from these limits. The check
    uses the kernel of absolute values, because numbers that cancel contribute to rounding errors, too.

    Args:
        kernel: any.
        where: what the message calls it.
    """
    single = kernel.precision == "float32"
    low, high = (1e-22, 1e30) if single else (1e-200, 1e200)
    largest = float(kernel.absolute_diagonal.max())
    if not math.isfinite(largest):
        raise overflow(where, kernel.precision)
    if low < largest < high or not any(term.nonzero for term in kernel.terms):
        return
    raise UsageError(
        where,
        expected=f"entries between {low:.0e} and {high:.0e} in {kernel.precision}",
        got=said_of_largest(largest),
        remedy="use ⟦--precision=float64⟧"
        if single and 1e-200 < largest < 1e200
        else "rescale the model's outputs",
    )


def check_formable(kernel: Kernel, where: str = "kernel") -> None:
    """Raise `UsageError` if products of a kernel that is not zero are lost to underflow, or are not finite.

    An entry between two sets of samples is at most the product of the lengths of two rows of J; only that it
    is not too small is checked there. Absolute values are compared: where colliding entries cancel, J is
    small or zero, but nothing underflows.

    Args:
        kernel: any, also one between two sets of samples.
        where: what the message calls it.
    """
    own = [kernel] if kernel.columns is None else [_of_one_set(kernel, side) for side in kernel.sides]
    sizes = [float(side.absolute_diagonal.max()) for side in own]
    largest, least = sizes[0], _least_entry(kernel)
    if kernel.columns is not None:  # a side may overflow alone, where the other is small or orthogonal
        largest = math.prod(math.sqrt(max(size, math.ulp(0.0))) for size in sizes)
    elif not math.isfinite(largest):
        raise overflow(where, kernel.precision)
    if not largest < least or not all(any(term.nonzero for term in side.terms) for side in own):
        return
    raise UsageError(
        where,
        expected=f"entries of {least:.0e} or more in {kernel.precision}",
        got=said_of_largest(largest),
        remedy="use ⟦--precision=float64⟧"
        if largest > _least_entry(kernel.in_float64)
        else "rescale the model's outputs",
    )


def check_formed(kernel: Kernel, formed: NDArray[Any], where: str) -> None:
    """Raise `UsageError` if a kernel that was formed is zero, or nearly so, because of underflow.

    Args:
        kernel: the description of it.
        formed: its entries.
        where: what the message calls it.
    """
    largest = formed.diagonal().max() if kernel.columns is None else max(formed.max(), -formed.min())
    if largest < _least_entry(kernel):
        check_formable(kernel, where)


def overflow(where: str, precision: str) -> UsageError:
    """Return the `UsageError` to raise for a kernel of entries that are not finite in its precision."""
    return UsageError(
        where,
        expected=f"entries that {precision} can hold",
        got="an overflow, or factors with NaN",
        remedy="rescale the model's outputs, use float64, or see that the network did not diverge",
    )


def _least_entry(kernel: Kernel) -> float:
    """Return how large the largest entry must be for what underflows to be far below all rounding."""
    limits = np.finfo(kernel.dtype)
    return float(limits.tiny / limits.eps**2)


def _of_one_set(kernel: Kernel, side: Jacobian) -> Kernel:
    return kernel.replaced(rows=side, columns=None)


def said_of_largest(entry: float) -> str:
    """Return the largest entry of a kernel that is not zero in words, for messages."""
    return f"{entry:.0e} where they are largest" if entry else "gradients too small to be squared"


def in_range(kernels: Mapping[str, Kernel], where: str) -> tuple[dict[str, Kernel], list[str]]:
    """Return the kernels whose entries are in range, and a line for each of the others, which says why.

    Args:
        kernels: of sums of blocks, by name; "total" is that of all of them.
        where: what stands before the name of the total kernel in a message.

    Raises:
        UsageError: the total kernel is out of range.
    """
    check_range(kernels["total"], f"{where}kernel total")
    kept, left_out = {}, []
    for name, kernel in kernels.items():
        try:
            check_range(kernel, f"kernel {name}")
        except UsageError as error:
            left_out.append(f"left out {error.fault}")
        else:
            kept[name] = kernel
    return kept, left_out


def sums_in_range(
    kernel: Kernel, parts: Mapping[str, Jacobian], where: str
) -> tuple[dict[str, Jacobian], list[str]]:
    """Return the sums of blocks whose kernels are in range, and lines on the others; see `in_range`."""
    kept, left_out = in_range({name: kernel.only(part) for name, part in parts.items()}, where)
    return {name: parts[name] for name in kept}, left_out
