"""Bounds on the eigenvalues of a snapshot's kernels, and checks of our own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ntkspec.backend.cpu import countable
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.kernel.enclosure import enclosure_of, in_ieee_arithmetic
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.value_range import check_range
from ntkspec.spectral import bounds, consistency
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.bounds.rigorous import certified_upper_of
from ntkspec.spectral.bounds.schur import schur_product_of
from ntkspec.spectral.bounds.statement import computed_from
from ntkspec.spectral.choose import solve
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.record import Spectrum

CHEAP = 4096  # rows; beyond, eigenvalues of further kernels would take as long as those of the total


@dataclass(frozen=True)
class Verification:
    """The bounds and the checks of one snapshot."""

    bounds: tuple[CheckedBound, ...] = ()
    checks: tuple[Check, ...] = ()
    left_out: str = ""  # what was not done, and why


def verify(
    kernels: Mapping[str, Kernel], spectra: Mapping[str, Spectrum], *, thorough: bool = False
) -> Verification:
    """Compare bounds with the spectra of the total and of the grid, if complete, and check all spectra.

    Args:
        kernels: name -> kernel of a sum of blocks; "total" is that of all of them.
        spectra: name -> spectrum of that kernel.
        thorough: compute kernels and spectra in a second way, too.
    """
    checks = [
        check for name, spectrum in spectra.items() for check in consistency.of_spectrum(name, spectrum)
    ]
    if not all(spectrum.complete for spectrum in spectra.values()):
        return Verification(checks=tuple(checks))
    checked, left_out = list(_from_spectra(spectra)), ""
    try:
        for name in ("total", "grid"):
            if name in kernels:
                more = _of_kernel(name, kernels[name], spectra[name], thorough)
                checked += more.bounds
                checks += more.checks
                left_out = left_out or more.left_out
        checked += _from_parts(kernels["total"], spectra["total"])
    except MemoryBudgetError as error:
        missing = "bounds from the kernel's entries" + (", and checks of it" if thorough else "")
        return Verification(tuple(checked), tuple(checks), f"{missing}: {error.fault}")
    return Verification(tuple(checked), tuple(checks), left_out)


def _from_spectra(spectra: Mapping[str, Spectrum]) -> Iterator[CheckedBound]:
    """Yield the bounds on the total that follow from the spectra of its parts."""
    total = spectra["total"]
    for name, kept in spectra.items():
        if name not in ("total", "grid"):
            for theorem in computed_from("blocks"):
                yield CheckedBound.from_bound(theorem(kept), "total", total, (name,))
    if {"no_grid", "grid"} <= set(spectra):  # a block that is called "grid" may have been dropped by name
        pair = spectra["no_grid"], spectra["grid"]
        for theorem in computed_from("halves"):
            yield CheckedBound.from_bound(theorem(*pair), "total", total, ("no_grid", "grid"))


def _of_kernel(name: str, kernel: Kernel, spectrum: Spectrum, thorough: bool) -> Verification:
    """Compute the bounds from the kernel's matrix, and check it; for the grid the certified bounds alone.

    The matrix is formed on the host, since certified bounds and checks need it there. A kernel that is too
    large for them is formed where solvers form it.
    """
    kernel = kernel.in_float64
    on_host = countable(kernel.size) or thorough
    if name != "total" and not on_host:
        return Verification()
    exact = in_ieee_arithmetic(kernel) if on_host else kernel  # one for both bounds: facts are found once
    checked: list[CheckedBound] = []
    checks: list[Check] = []
    left_out = ""
    try:
        enclosure = enclosure_of(exact, beside=2 if thorough else 0)
    except MemoryBudgetError as error:
        if not thorough:
            raise
        enclosure, thorough = enclosure_of(exact), False
        left_out = f"checks of a second kernel and spectrum: {error.fault}"
    if countable(enclosure.size):
        positive = bounds.positivity(enclosure)
        lower = bounds.certified_lower(enclosure, positive)
        upper = certified_upper_of(exact, positive.vector)
        checked += [CheckedBound.from_bound(bound, name, spectrum) for bound in (lower, upper)]
        checks += [consistency.of_kernel(name, positive), *consistency.of_zeros(name, lower, spectrum)]
    if name == "total":
        checked += [
            CheckedBound.from_bound(theorem(enclosure), name, spectrum) for theorem in computed_from("kernel")
        ]
    if thorough:
        checks += consistency.second_kernels(name, enclosure, kernel)
        checks += consistency.second_route(name, spectrum, kernel)
    return Verification(tuple(checked), tuple(checks), left_out)


def _from_parts(kernel: Kernel, spectrum: Spectrum) -> Iterator[CheckedBound]:
    """Yield the bounds on the total from kernels of factors and of some samples, where these cost little."""
    kernel = kernel.in_float64
    samples = kernel.rows.samples
    if spectrum.size <= CHEAP:
        yield CheckedBound.from_bound(schur_product_of(kernel), "total", spectrum)
    if samples > 1:
        nested_samples = min(samples, max(CHEAP * samples // spectrum.size, 2)) // 2
        part = kernel.load(0, nested_samples)
        try:
            check_range(part)
        except UsageError:  # these samples alone have numbers too small to square
            return
        nested = solve(part, "gram")
        source = ("half the samples" if nested_samples == samples // 2 else f"{nested_samples} samples",)
        for theorem in computed_from("samples"):
            yield CheckedBound.from_bound(theorem(nested, spectrum.size), "total", spectrum, source)
