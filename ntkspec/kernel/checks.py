"""Check that kernels are made of Jacobians, and of Jacobians of the same parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ntkspec.errors import UsageError, shown
from ntkspec.jacobian import Jacobian, require_jacobian


def check_jacobians(jacobians: Iterable[object]) -> None:
    """Raise `UsageError` unless all of these are Jacobians."""
    for jacobian in jacobians:
        require_jacobian(jacobian, "kernel")


def check_parts(parts: object) -> None:
    """Raise `UsageError` unless these are Jacobians by name."""
    if not isinstance(parts, Mapping):
        expected = "a mapping of names to Jacobians"
        raise UsageError("kernels", expected=expected, got=shown(parts), remedy="e.g. {'total': jac}")
    check_jacobians(parts.values())


def check_same_parameters(rows: Jacobian, columns: Jacobian, where: str) -> None:
    """Raise `UsageError` if two Jacobians have different parameters, judged by names and shapes.

    Args:
        rows, columns: the Jacobians of the kernel's rows and columns.
        where: what `columns` is called in the message.
    """
    of_rows, of_columns = _parameters(rows), _parameters(columns)
    differing = [name for name in of_rows | of_columns if of_rows.get(name) != of_columns.get(name)]
    if not differing:
        return
    name = min(differing)
    expected, got = (parameters.get(name, f"no block {name}") for parameters in (of_rows, of_columns))
    raise UsageError(
        where,
        expected=f"the parameters of its rows: {expected}",
        got=got,
        remedy="take both Jacobians from one model, with the same blocks and factors",
    )


def _parameters(jacobian: Jacobian) -> dict[str, str]:
    """Describe the columns of each block in words, by its name."""
    return {
        block.name: f"block {block.name}, {jacobian.outputs} outputs, widths {block.widths}, "
        + " ".join(f"{parameter.name} {parameter.shape}" for parameter in block.parameters)
        for block in jacobian
    }
