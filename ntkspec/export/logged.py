"""Compute the numbers of a kernel that are worth a curve over training steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ntkspec.errors import UsageError, shown
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.choose import solve_all
from ntkspec.spectral.distance import Reference

Log = Callable[[dict[str, float], int], object]  # called with the numbers by name, and the step


def kernel_numbers(jacobian: Jacobian, first: Jacobian) -> dict[str, float]:
    """Return the numbers of the kernel of all blocks, without those that are not known.

    They are computed on the CPU: a GPU is left to the training.

    Args:
        jacobian: of the snapshot.
        first: of the first snapshot, from whose kernel the distance is measured.

    Returns:
        ntk/lambda_max, ntk/lambda_min, ntk/lambda_min_at_most (an upper bound, in place of ntk/lambda_min
        where that is not resolved), ntk/resolved (how many eigenvalues are), ntk/effective_rank and
        ntk/kernel_distance; see `ntkspec.Spectrum` and `ntkspec.kernel_distance`.

    Raises:
        MemoryBudgetError: the kernel does not fit into memory.
        UsageError: the kernel overflows.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/mpe.h5") as run:
        ...     numbers = kernel_numbers(run.snapshot("init").jacobian, run.snapshot("init").jacobian)
        >>> numbers["ntk/resolved"], numbers["ntk/kernel_distance"]
        (40.0, 0.0)
    """
    kernels = {"total": Kernel.from_jacobian(jacobian, backend="cpu")}
    spectrum = solve_all(kernels)["total"]
    moved = Reference("first", {"total": first}).distances("now", kernels)["total"]
    numbers = {
        "lambda_max": spectrum.lambda_max,
        "lambda_min": spectrum.lambda_min,
        "lambda_min_at_most": spectrum.smallest_at_most if spectrum.lambda_min is None else None,
        "resolved": float(spectrum.resolved),
        "effective_rank": spectrum.effective_rank,
        "kernel_distance": moved.value,
    }
    return {f"ntk/{name}": value for name, value in numbers.items() if value is not None}


def numbers_by_name(metrics: object) -> Mapping[str, Any]:
    """Return a mapping, an empty one for None; raise `UsageError` for anything else."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise UsageError(
            "metrics", expected="numbers by name", got=shown(metrics), remedy="e.g. {'loss': loss}"
        )
    return metrics


def as_number(value: object) -> float:
    """Return a number, a tensor or an array with one number as a float; NaN for anything else.

    Example:
        >>> as_number(torch.tensor(0.5, requires_grad=True)), as_number("0.5 dB")
        (0.5, nan)
    """
    try:
        return float(value.detach() if isinstance(value, torch.Tensor) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        return math.nan
