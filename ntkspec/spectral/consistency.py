"""Checks of our own numbers: the same thing is computed twice, and may differ by what rounding allows.

A check that fails means a fault in this program, in a library under it or in the machine. Rounding alone
cannot break the checks of kernels (see `ntkspec.kernel.enclosure`); the other checks have the margin that is
described in docs/method.md.
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
from ntkspec.spectral.rank import rank_of
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.regions import regions_of
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.words import sci_up

PANEL = 256  # rows of two kernels that are compared at once
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Check:
    """A statement that must be true, and how far the numbers are from it."""

    name: str
    statement: str
    of: str  # name of the kernel
    worst: float  # largest departure, as a share of what rounding allows; more than 1 fails

    @property
    def holds(self) -> bool:
        """Return whether the departure is within what rounding allows."""
        return self.worst <= 1


def of_spectrum(name: str, spectrum: Spectrum) -> Iterator[Check]:
    """Check a spectrum against its trace and against what is known of its rank and its regions."""
    if spectrum.complete:
        apart = abs(float(spectrum.eigenvalues.sum()) - spectrum.trace)
        allowed = float(spectrum.error.sum()) + spectrum.size * EPS * spectrum.trace + spectrum.trace_error
        statement = "the eigenvalues add up to the trace of the factors"
        yield Check("trace", statement, name, _share(apart, allowed))
    if spectrum.rank is not None and spectrum.rank.at_most < spectrum.size:
        statement = f"at most {spectrum.rank.at_most} eigenvalues are not zero ({spectrum.rank.reason})"
        nonzero = int(np.count_nonzero(spectrum.lower))
        yield Check("rank", statement, name, _share(nonzero, spectrum.rank.at_most))
    regions = spectrum.regions
    if regions is not None and regions.independent < len(spectrum.eigenvalues):
        first, rest = regions.independent, regions.rest
        statement = f"eigenvalues beyond {first} are at most {sci_up(rest)} ({regions.reason})"
        yield Check("regions", statement, name, _share(float(spectrum.lower[first]), rest))


def of_kernel(name: str, certificate: CholeskyCertificate) -> Check:
    """Check that a computed kernel is positive semidefinite but for rounding."""
    statement = "the kernel is positive semidefinite down to rounding"
    return Check("semidefinite", statement, name, 0.0 if certificate.semidefinite else float("inf"))


def of_zeros(name: str, lower: Bound, spectrum: Spectrum) -> Iterator[Check]:
    """Check that the certified lower bound is not above what else is known of the smallest eigenvalue."""
    proved = float(lower.values[0])
    if spectrum.singular:
        statement = "a kernel that is called singular is not proved to be definite"
        yield Check("zeros", statement, name, _share(proved, 0.0))
    elif spectrum.regions is not None and spectrum.regions.independent < spectrum.size:
        statement = "the smallest eigenvalue is not proved to be larger than what regions leave of it"
        yield Check("zeros", statement, name, _share(proved, spectrum.regions.rest))


def second_kernels(name: str, enclosure: KernelEnclosure, kernel: Kernel) -> Iterator[Check]:
    """Check a kernel against itself block by block, with reversed samples, and in other tiles.

    This takes the memory of two further kernels.
    """
    total = np.zeros_like(enclosure.kernel)
    for block in kernel.rows:
        total += _assembled(kernel.only(Jacobian((block,))))
    statement = "the blocks' kernels add up to it"
    yield Check("additivity", statement, name, _departure(enclosure, total))
    del total
    order = np.arange(kernel.rows.samples)[::-1]
    reverse = _assembled(kernel.replaced(rows=kernel.rows.rows(order)))
    statement = "row i times row j is row j times row i, computed apart"
    yield Check("symmetry", statement, name, _departure(enclosure, _restored(reverse, kernel)))
    del reverse
    tile = max(min(kernel.backend.tile, kernel.size) // 3, 1)
    other = _assembled(kernel, tile)
    yield Check("tiles", f"tiles of {tile} rows give the same", name, _departure(enclosure, other))


def _assembled(kernel: Kernel, tile: int | None = None) -> NDArray[np.float64]:
    return kernel.backend.get(Assembly.from_kernel(kernel, tile=tile).assemble()["total"])


def second_route(name: str, spectrum: Spectrum, kernel: Kernel) -> Iterator[Check]:
    """Check a spectrum against that of another solver, if one fits the memory budget."""
    for method, solver in SOLVERS.items():
        if method == spectrum.method or not solver.complete:
            continue
        try:
            second = solver.solve(kernel)
        except MemoryBudgetError:
            continue
        if second is None:
            continue
        second = second.knowing(kernel.fact(rank_of), kernel.fact(regions_of))
        apart = np.abs(second.eigenvalues - spectrum.eigenvalues)
        worst = float(np.max([*map(_share, apart.tolist(), (second.error + spectrum.error).tolist())]))
        statement = f"{spectrum.method} and {method} agree within their stated errors"
        yield Check("routes", statement, name, worst)
        return


def _share(apart: float, allowed: float) -> float:
    """Return a departure as a share of what is allowed; infinity where nothing is allowed."""
    if apart == 0:
        return 0.0
    return apart / allowed if allowed > 0 else float("inf")


def _departure(enclosure: KernelEnclosure, other: NDArray[np.float64]) -> float:
    """Return the largest |K_ij - other_ij| as a share of what rounding allows between two such kernels."""
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
    """Put a kernel of reversed samples into the order of the samples; a sample's own rows keep theirs."""
    samples, repeat = kernel.rows.samples, kernel.repeat
    cells = reverse.reshape(samples, repeat, samples, repeat)[::-1, :, ::-1, :]
    return cells.reshape(reverse.shape)
