"""What can be said of kernels beside their eigenvalues: bounds, and checks of our own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ntkspec.backend.cpu import countable
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.kernel.enclosure import KernelEnclosure, enclosure_of, in_ieee_arithmetic
from ntkspec.kernel.linear_operator import check_range
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral import bounds, consistency
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.bounds.rigorous import certified_upper_of
from ntkspec.spectral.bounds.schur import schur_product_of
from ntkspec.spectral.bounds.statement import computed_from
from ntkspec.spectral.choose import solve
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.eigenvalues import Spectrum

CHEAP = 4096  # rows: beyond, eigenvalues of further kernels would take as long as those of the total


@dataclass(frozen=True)
class Verification:
    """Bounds and checks of one snapshot."""

    bounds: tuple[CheckedBound, ...] = ()
    checks: tuple[Check, ...] = ()
    left_out: str = ""  # what was not done, and why


def verify(
    kernels: Mapping[str, Kernel], found: Mapping[str, Spectrum], *, thorough: bool = False
) -> Verification:
    """Hold bounds against the spectra of the total and of the grid, if they are complete, and check all.

    Args:
        kernels: name -> kernel of a sum of blocks; "total" is that of all of them.
        found: name -> its spectrum.
        thorough: compute kernels and spectra in a second way, too.
    """
    checks = [check for name, each in found.items() for check in consistency.of_spectrum(name, each)]
    if not all(spectrum.complete for spectrum in found.values()):
        return Verification(checks=tuple(checks))
    held, left_out = list(_from_spectra(found)), ""
    try:
        for name in ("total", "grid"):
            if name in kernels:
                more = _of_kernel(name, kernels[name], found[name], thorough)
                held += more.bounds
                checks += more.checks
                left_out = left_out or more.left_out
        held += _from_parts(kernels["total"], found["total"])
    except MemoryBudgetError as error:
        what = (
            "bounds from the kernel's entries, and checks of it"
            if thorough
            else "bounds from the kernel's entries"
        )
        return Verification(tuple(held), tuple(checks), f"{what}: {error}")
    return Verification(tuple(held), tuple(checks), left_out)


def _from_spectra(found: Mapping[str, Spectrum]) -> Iterator[CheckedBound]:
    """Bounds that the spectra of the parts set to the total's."""
    total = found["total"]
    for name, kept in found.items():
        if name not in ("total", "grid"):
            for theorem in computed_from("blocks"):
                yield CheckedBound.from_bound(theorem(kept), "total", total, (name,))
    if {"no_grid", "grid"} <= set(found):  # a block that is called "grid" may have been dropped by name
        pair = found["no_grid"], found["grid"]
        for theorem in computed_from("halves"):
            yield CheckedBound.from_bound(theorem(*pair), "total", total, ("no_grid", "grid"))


def _of_kernel(name: str, kernel: Kernel, found: Spectrum, thorough: bool) -> Verification:
    """Bounds from the formed kernel, and checks of it; of the grid's kernel the certified bounds alone.

    It is formed on the host, where certified bounds and checks need it; where it is too large for them, as
    solvers form it.
    """
    kernel = kernel.in_float64
    here = countable(kernel.size) or thorough
    if name != "total" and not here:
        return Verification()
    exact = in_ieee_arithmetic(kernel) if here else kernel  # one for both, so that its facts are found once
    held: list[CheckedBound] = []
    checks: list[Check] = []
    left_out = ""
    try:
        enclosure = enclosure_of(exact, beside=2 if thorough else 0)
    except MemoryBudgetError as error:
        if not thorough:
            raise
        enclosure, thorough = enclosure_of(exact), False
        left_out = f"checks of a second kernel and spectrum: {error}"
    if countable(enclosure.size):
        positive = bounds.positivity(enclosure)
        lower = bounds.certified_lower(enclosure, positive)
        upper = certified_upper_of(exact, positive.vector)
        held += [CheckedBound.from_bound(bound, name, found) for bound in (lower, upper)]
        checks += [consistency.of_kernel(name, positive), *consistency.of_zeros(name, lower, found)]
    if name == "total":
        held += _from_entries(enclosure, found)
    if thorough:
        checks += consistency.second_kernels(name, enclosure, kernel)
        checks += consistency.second_route(name, found, kernel)
    return Verification(tuple(held), tuple(checks), left_out)


def _from_entries(enclosure: KernelEnclosure, found: Spectrum) -> Iterator[CheckedBound]:
    """Bounds from the entries of the total kernel."""
    for theorem in computed_from("kernel"):
        yield CheckedBound.from_bound(theorem(enclosure), "total", found)


def _from_parts(kernel: Kernel, found: Spectrum) -> Iterator[CheckedBound]:
    """Bounds on the total from kernels of factors and of some of the samples, where these cost little."""
    kernel = kernel.in_float64
    samples = kernel.rows.samples
    if found.size <= CHEAP:
        yield CheckedBound.from_bound(schur_product_of(kernel), "total", found)
    if samples > 1:
        nested_samples = min(samples, max(CHEAP * samples // found.size, 2)) // 2
        part = kernel.load(0, nested_samples)
        try:
            check_range(part)
        except UsageError:  # these samples alone have numbers too small to square
            return
        nested = solve(part, "gram")
        source = ("half the samples" if nested_samples == samples // 2 else f"{nested_samples} samples",)
        for theorem in computed_from("samples"):
            yield CheckedBound.from_bound(theorem(nested, found.size), "total", found, source)
