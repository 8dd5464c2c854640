"""Refuse kernels whose entries are too close to overflow or underflow for errors to be stated."""

from __future__ import annotations

from collections.abc import Mapping

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
    if low < largest < high or (largest == 0 and not any(term.nonzero for term in kernel.terms)):
        return
    raise UsageError(
        where,
        expected=f"entries between {low:.0e} and {high:.0e} in {kernel.precision}",
        got=said_of_largest(largest),
        remedy="use ⟦--precision=float64⟧"
        if single and 1e-200 < largest < 1e200
        else "rescale the model's outputs",
    )


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
