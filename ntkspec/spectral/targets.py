"""Targets and outputs of a model as a kernel's output mode takes them: centred, scaled, by rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs, check_outputs

Vector = NDArray[np.float64]


def check_targets(
    targets: ArrayLike, outputs_of_model: ArrayLike | None, jacobian: Jacobian, outputs: Outputs
) -> tuple[Vector, Vector | None]:
    """Return the centred targets and the residual (N, columns) as an output mode takes them, up to a factor.

    Raises:
        UsageError: they have another shape, are not finite, or the targets are the same at every sample.
    """
    n, c = jacobian.samples, jacobian.outputs
    mode = check_outputs(outputs, c)
    y = _columns(_array("targets", targets, n, c), mode)
    # Halves, lest they overflow; from the first sample's, so that equal targets leave exact zeros.
    apart = _scaled(y / 2 - y[0] / 2)
    target = apart - apart.mean(axis=0)
    if not target.any():
        raise UsageError(
            "targets",
            expected="numbers that differ from sample to sample",
            got="the same at every sample",
            remedy="a constant has no share in any mode; give other targets, or leave them out",
        )
    if outputs_of_model is None:
        return _rows(target, mode), None
    residual = _scaled(y / 2 - _columns(_array("outputs of the model", outputs_of_model, n, c), mode) / 2)
    return _rows(target, mode), _rows(residual, mode) if residual.any() else None


def _array(what: str, values: ArrayLike, n: int, c: int) -> Vector:
    """The numbers (n, c) in double precision."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):  # texts, or lists of several lengths
        found = np.full((0,), np.nan)
    if found.shape == (n,) and c == 1:
        found = found[:, None]
    if found.shape != (n, c) or not np.isfinite(found).all():
        got = "NaN or infinity" if found.shape == (n, c) else f"shape {np.shape(found)}"
        raise UsageError(
            what,
            expected=f"finite numbers ({n}, {c}), a row a sample and a column an output",
            got=got,
            remedy="give those of the Jacobian's samples",
        )
    return found


def _columns(values: Vector, mode: Outputs) -> Vector:
    """The outputs that a mode takes."""
    return values if isinstance(mode, str) else values[:, [mode]]


def _rows(values: Vector, mode: Outputs) -> Vector:
    """Rows as the kernel has them: in mode "full" one for every output of a sample."""
    return values.reshape(-1, 1) if mode == "full" else values


def _scaled(values: Vector) -> Vector:
    """The same numbers with a largest of 1, so that no square overflows."""
    largest = float(np.abs(values).max())
    return values / largest if largest else values
