"""Compute the numbers of a kernel that are worth a curve over training steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ntkspec.errors import UsageError, shown
from ntkspec.kernel.problem import Kernel
from ntkspec.machine.memory import budget_bytes, format_bytes
from ntkspec.qualities import stored
from ntkspec.spectral.choose import solve_all
from ntkspec.spectral.distance import Reference
from ntkspec.store.snapshot_reader import Snapshot

Log = Callable[[dict[str, float], int], object]  # called with the numbers by name, and the step


def kernel_numbers(snapshot: Snapshot, first: Reference) -> dict[str, float]:
    """Return the numbers of the kernel of all blocks, without those that are not known.

    They are computed on the CPU: a GPU is left to the training. The first snapshot is not computed again for
    its own distance; for later ones, its kernel is formed in tiles and not kept.

    Args:
        snapshot: whose kernel it is.
        first: the first snapshot, from whose kernel the distance is measured.

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
        ...     snapshot = run.snapshot("init")
        ...     numbers = kernel_numbers(snapshot, Reference(snapshot.id, {"total": snapshot.jacobian}))
        >>> numbers["ntk/resolved"], numbers["ntk/kernel_distance"]
        (40.0, 0.0)
    """
    kernels = {"total": Kernel.from_jacobian(snapshot.jacobian, backend="cpu")}
    spectrum = solve_all(kernels)["total"]
    moved = first.distances(snapshot.id, kernels)["total"]
    zero = kernels["total"].trace == 0
    numbers = {
        "lambda_max": 0.0 if zero else spectrum.lambda_max,
        "lambda_min": spectrum.lambda_min,
        "lambda_min_at_most": spectrum.smallest_at_most if spectrum.lambda_min is None else None,
        "resolved": float(spectrum.resolved),
        "effective_rank": spectrum.effective_rank,
        "kernel_distance": moved.value,
    }
    return {f"ntk/{name}": value for name, value in numbers.items() if value is not None}


def to_compare_with(first: Snapshot) -> Reference:
    """Return the first snapshot, for distances from its kernel; its Jacobian is read once if it is small."""
    return Reference.from_snapshot(first.id, first.jacobian, (), budget_bytes())


def cost_of_log(samples: int) -> str:
    """Say that the numbers of a kernel cost more than the snapshot, and that only its size is known before.

    Example:
        >>> cost_of_log(1000)
        'log= takes more, which is not estimated: the eigenvalues of a kernel of 7.63 MiB, on the CPU'
    """
    kernel = format_bytes(8 * samples**2)
    return f"log= takes more, which is not estimated: the eigenvalues of a kernel of {kernel}, on the CPU"


def numbers_by_name(metrics: object) -> Mapping[str, Any]:
    """Return a mapping, an empty one for None; raise `UsageError` for anything else."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise UsageError(
            "metrics", expected="numbers by name", got=shown(metrics), remedy="e.g. {'loss': loss}"
        )
    return metrics


def finite(metrics: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """Return the metrics that are finite numbers, and a line for each of the others, which are left out.

    A PSNR that is infinite is kept as its flag, see `ntkspec.qualities.stored`.

    Example:
        >>> finite({"loss": torch.tensor(0.5), "psnr_db": math.inf, "ratio": math.inf})
        ({'loss': 0.5, 'psnr_db_infinite': 1.0}, ['metric ratio is left out: no finite number'])
    """
    numbers = stored({name: as_number(value) for name, value in metrics.items()})
    kept = {name: number for name, number in numbers.items() if math.isfinite(number)}
    others = [name for name in numbers if name not in kept]
    return kept, [f"metric {name} is left out: no finite number" for name in others]


def as_number(value: Any) -> float:
    """Return a number, a tensor or an array with one number as a float; NaN for anything else.

    Example:
        >>> as_number(torch.tensor(0.5, requires_grad=True)), as_number(np.ones((1, 1))), as_number("0.5 dB")
        (0.5, 1.0, nan)
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())  # NumPy converts no other shape
    try:
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return math.nan
