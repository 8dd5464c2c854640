"""Checks of our own numbers: the same thing computed twice, held against what rounding allows.

A check that fails means a fault in this program, in a library under it or in the machine; rounding alone
cannot break those of kernels (see `ntkspec.kernel.enclosure`), nor, with the margin described in
docs/method.md, the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import MemoryBudgetError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.enclosure import TINIEST, KernelEnclosure
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.certificate import CholeskyCertificate
from ntkspec.spectral.eigenvalues import Spectrum
from ntkspec.spectral.rank import rank_of
from ntkspec.spectral.regions import regions_of
from ntkspec.spectral.solvers import SOLVERS

PANEL = 256  # rows of two kernels that are compared at once
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Check:
    """Something that must be so, and how far it is."""

    name: str
    statement: str
    of: str  # name of the kernel
    worst: float  # largest departure, as a share of what rounding allows; more than 1 fails

    @property
    def holds(self) -> bool:
        """Whether the departure is within what rounding allows."""
        return self.worst <= 1


def of_spectrum(name: str, found: Spectrum) -> Iterator[Check]:
    """A spectrum against its trace and against what is known of its rank and of its regions."""
    if found.complete:
        apart = abs(float(found.eigenvalues.sum()) - found.trace)
        allowed = float(found.error.sum()) + found.size * EPS * found.trace + found.trace_error
        said = "the eigenvalues add up to the trace of the factors"
        yield Check("trace", said, name, _share(apart, allowed))
    if found.rank is not None and found.rank.at_most < found.size:
        said = f"at most {found.rank.at_most} eigenvalues are not zero ({found.rank.reason})"
        yield Check("rank", said, name, _share(int(np.count_nonzero(found.lower)), found.rank.at_most))
    known = found.regions
    if known is not None and known.independent < len(found.eigenvalues):
        said = f"eigenvalues beyond {known.independent} are at most {known.rest:.1e} ({known.reason})"
        yield Check("regions", said, name, _share(float(found.lower[known.independent]), known.rest))


def of_kernel(name: str, certificate: CholeskyCertificate) -> Check:
    """Whether a formed kernel is positive semidefinite but for rounding."""
    said = "the kernel is positive semidefinite down to rounding"
    return Check("semidefinite", said, name, 0.0 if certificate.semidefinite else float("inf"))


def of_zeros(name: str, lower: Bound, found: Spectrum) -> Iterator[Check]:
    """Whether the certified lower bound is above what else is known of the smallest eigenvalue."""
    proved = float(lower.values[0])
    if found.singular:
        said = "a kernel that is called singular is not proved to be definite"
        yield Check("zeros", said, name, _share(proved, 0.0))
    elif found.regions is not None and found.regions.independent < found.size:
        said = "the smallest eigenvalue is not proved to be larger than what regions leave of it"
        yield Check("zeros", said, name, _share(proved, found.regions.rest))


def second_kernels(name: str, enclosure: KernelEnclosure, kernel: Kernel) -> Iterator[Check]:
    """The kernel block by block, with its samples reversed, and in other tiles. Memory: two kernels."""
    total = np.zeros_like(enclosure.kernel)
    for block in kernel.rows:
        total += _assembled(kernel.only(Jacobian((block,))))
    said = "the blocks' kernels add up to it"
    yield Check("additivity", said, name, _departure(enclosure, total))
    del total
    order = np.arange(kernel.rows.samples)[::-1]
    reverse = _assembled(kernel.replaced(rows=kernel.rows.rows(order)))
    said = "row i times row j is row j times row i, computed apart"
    yield Check("symmetry", said, name, _departure(enclosure, _restored(reverse, kernel)))
    del reverse
    tile = max(min(kernel.backend.tile, kernel.size) // 3, 1)
    other = _assembled(kernel, tile)
    yield Check("tiles", f"tiles of {tile} rows give the same", name, _departure(enclosure, other))


def _assembled(kernel: Kernel, tile: int | None = None) -> NDArray[np.float64]:
    return kernel.backend.get(Assembly.from_kernel(kernel, tile=tile).assemble()["total"])


def second_route(name: str, found: Spectrum, kernel: Kernel) -> Iterator[Check]:
    """The spectrum by another solver, if one fits the memory budget."""
    for method, solver in SOLVERS.items():
        if method == found.method or not solver.complete:
            continue
        try:
            second = solver.solve(kernel)
        except MemoryBudgetError:
            continue
        if second is None:
            continue
        second = second.knowing(kernel.fact(rank_of), kernel.fact(regions_of))
        apart = np.abs(second.eigenvalues - found.eigenvalues)
        worst = float(np.max([*map(_share, apart.tolist(), (second.error + found.error).tolist())]))
        said = f"{found.method} and {method} agree within their stated errors"
        yield Check("routes", said, name, worst)
        return


def _share(apart: float, allowed: float) -> float:
    if apart == 0:
        return 0.0
    return apart / allowed if allowed > 0 else float("inf")


def _departure(enclosure: KernelEnclosure, other: NDArray[np.float64]) -> float:
    """The largest |formed - other| in units of what two roundings of the same kernel can differ by."""
    worst = 0.0
    for start in range(0, enclosure.size, PANEL):
        rows = slice(start, start + PANEL)
        allowed = 2 * (
            enclosure.gamma * np.outer(enclosure.weights[rows], enclosure.weights) + enclosure.underflow
        )
        allowed += TINIEST
        shares = np.abs(enclosure.kernel[rows] - other[rows]) / allowed
        worst = float(np.maximum(worst, np.max(shares)))  # which, other than Python's max, keeps NaN
    return worst


def _restored(reverse: NDArray[np.float64], kernel: Kernel) -> NDArray[np.float64]:
    """The kernel of reversed samples in the order of the samples; rows of one sample keep theirs."""
    samples, repeat = kernel.rows.samples, kernel.repeat
    cells = reverse.reshape(samples, repeat, samples, repeat)[::-1, :, ::-1, :]
    return cells.reshape(reverse.shape)
