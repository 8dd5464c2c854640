"""Targets and outputs of a model in the rows of a kernel, centred and scaled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntkspec.arguments.real_arrays import as_floats
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs, check_outputs

Vector = NDArray[np.float64]


def check_targets(
    targets: ArrayLike, outputs_of_model: ArrayLike | None, jacobian: Jacobian, outputs: Outputs
) -> tuple[Vector, Vector | None]:
    """Return the centred targets and the residual in the rows of a kernel, both (N, columns), up to factors.

    The residual is None where there are no outputs of the model, or they equal the targets.

    Raises:
        UsageError: they have another shape, are not finite, or the targets are the same at every sample.
    """
    n, c = jacobian.samples, jacobian.outputs
    mode = check_outputs(outputs, c)
    y = _columns(_array("targets", targets, n, c), mode)
    # Halves do not overflow; less those of the first sample, equal targets become exact zeros.
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


def _array(name: str, values: ArrayLike, n: int, c: int) -> Vector:
    """Return the numbers (n, c) in double precision, or raise `UsageError` for anything else."""
    array = as_floats(values, name)
    if array.shape == (n,) and c == 1:
        array = array[:, None]
    if array.shape != (n, c):
        raise UsageError(
            name,
            expected=f"finite numbers ({n}, {c}), a row a sample and a column an output",
            got=f"shape {array.shape}",
            remedy="give those of the Jacobian's samples",
        )
    return array.astype(np.float64, copy=False)


def _columns(values: Vector, mode: Outputs) -> Vector:
    """Return the outputs (n, columns) that an output mode takes."""
    return values if isinstance(mode, str) else values[:, [mode]]


def _rows(values: Vector, mode: Outputs) -> Vector:
    """Return the rows of the kernel (N, columns): in mode "full" one for every output of a sample."""
    return values.reshape(-1, 1) if mode == "full" else values


def _scaled(values: Vector) -> Vector:
    """Return the numbers divided by the largest magnitude, so that no square overflows."""
    largest = float(np.abs(values).max())
    return values / largest if largest else values
