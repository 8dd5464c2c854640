"""What every route would take in memory, before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ntkspec.backend import Backend, Precision
from ntkspec.errors import MemoryBudgetError
from ntkspec.gram import Assembly, least_bytes
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.memory import format_bytes
from ntkspec.operator import operator_bytes
from ntkspec.spectral.lanczos import vector_bytes
from ntkspec.spectral.pivoted import largest_rank
from ntkspec.spectral.routes import LANCZOS_K, cholesky_bytes, dual_bytes, svd_bytes


@dataclass(frozen=True)
class RouteNeed:
    """The memory that a route needs at its peak."""

    route: str
    needed: int  # bytes
    fits: bool
    note: str  # what most of it is


def plan(
    jacobian: Jacobian, outputs: Outputs, precision: Precision, backend: Backend, budget: int
) -> tuple[RouteNeed, ...]:
    """Every route's need against the budget, both in bytes; the routes are those of `ntkspec.spectrum`."""
    return tuple(
        RouteNeed(route, needed, needed <= budget, note)
        for route, needed, note in _needs(jacobian, outputs, precision, backend, budget)
    )


def _needs(
    jacobian: Jacobian, outputs: Outputs, precision: Precision, backend: Backend, budget: int
) -> Iterator[tuple[str, int, str]]:
    size = jacobian.kernel_size(outputs)
    kernel = size**2 * np.dtype(precision).itemsize
    try:
        cut = Assembly.of({"total": jacobian}, outputs, precision, backend, budget)
        gram, held = cut.needed, cut.grid.panel
        note = f"the kernel {format_bytes(kernel)}, factors of {held} of {jacobian.samples} samples at a time"
    except MemoryBudgetError:
        gram, note = least_bytes(jacobian, kernel, precision), f"the kernel {format_bytes(kernel)}"
    yield "gram", gram, note
    yield "svd", svd_bytes(jacobian, size), f"a triangle of {size} rows and panels of J"
    yield "dual", dual_bytes(jacobian, outputs), "J and J^T J over the touched parameters"
    room = budget - cholesky_bytes(jacobian, 0, size)
    rank = largest_rank(size, size // jacobian.samples, room)
    rank = rank if rank > 0 else size // 2
    yield "cholesky", cholesky_bytes(jacobian, rank, size), f"{rank} rows of the kernel at most"
    lanczos = operator_bytes(jacobian) + vector_bytes(size, min(LANCZOS_K, size))
    yield "lanczos", lanczos, f"factors, and vectors for {LANCZOS_K} eigenvalues"


def lines(name: str, needs: tuple[RouteNeed, ...], budget: int) -> Iterator[str]:
    """For people: a line a route."""
    yield f"memory plan of {name}, budget {format_bytes(budget)}"
    for need in needs:
        verdict = "fits" if need.fits else "does not fit"
        yield f"  {need.route:<9}{format_bytes(need.needed):>9}  {verdict}: {need.note}"
