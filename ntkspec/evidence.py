"""What can be said of kernels beside their eigenvalues: bounds, and checks of our own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ntkspec.backend import Backend
from ntkspec.backend.cpu import countable
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.report.records import CheckedBound
from ntkspec.spectral import Spectrum, bounds, consistency, spectrum
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.formed import Formed, form

CHEAP = 4096  # rows: beyond, eigenvalues of further kernels would take as long as those of the total


@dataclass(frozen=True)
class Settings:
    """How the spectra were computed; evidence is gathered in the same way."""

    outputs: Outputs
    backend: Backend
    memory: float | None  # GiB
    thorough: bool = False  # compute kernels and spectra in a second way, too


@dataclass(frozen=True)
class Evidence:
    """Bounds and checks of one snapshot."""

    bounds: tuple[CheckedBound, ...] = ()
    checks: tuple[Check, ...] = ()
    left_out: str = ""  # what was not done, and why


def gather(parts: Mapping[str, Jacobian], found: Mapping[str, Spectrum], settings: Settings) -> Evidence:
    """Bounds on the total kernel and on the grid's, where all eigenvalues are there, and checks of all.

    Args:
        parts: name -> the blocks that were summed; "total" is all of them.
        found: name -> the spectrum of that sum.
        settings: as the spectra were computed.
    """
    checks = [check for name, each in found.items() for check in consistency.of_spectrum(name, each)]
    if not all(spectrum.complete for spectrum in found.values()):
        return Evidence(checks=tuple(checks))
    held = list(_from_spectra(found))
    try:
        for name in ("total", "grid"):
            if name in parts:
                more = _of_kernel(name, parts[name], found[name], settings)
                held += more.bounds
                checks += more.checks
        held += _from_parts(parts["total"], found["total"], settings)
    except MemoryBudgetError as error:
        return Evidence(tuple(held), tuple(checks), f"bounds from the kernel's entries: {error}")
    return Evidence(tuple(held), tuple(checks))


def _from_spectra(found: Mapping[str, Spectrum]) -> Iterator[CheckedBound]:
    """Bounds that the spectra of the parts set to the total's."""
    total = found["total"]
    for name, kept in found.items():
        if name not in ("total", "grid"):
            yield CheckedBound.held(bounds.theorem1(kept), "total", total, (name,))
    if {"no_grid", "grid"} <= set(found):  # a block that is called "grid" may have been dropped by name
        pair = found["no_grid"], found["grid"]
        for bound in (bounds.weyl_lower(*pair), bounds.weyl_upper(*pair)):
            yield CheckedBound.held(bound, "total", total, ("no_grid", "grid"))


def _of_kernel(name: str, part: Jacobian, found: Spectrum, settings: Settings) -> Evidence:
    """Bounds from the formed kernel, and checks of it; of the grid's kernel the certified bounds alone."""
    formed = form(part, settings.outputs, memory=settings.memory, beside=2 if settings.thorough else 0)
    held: list[CheckedBound] = []
    checks: list[Check] = []
    if countable(formed.size):
        positive = bounds.positivity(formed)
        lower = bounds.certified_lower(formed, positive)
        upper = bounds.certified_upper(part, positive.vector, settings.outputs)
        held += [CheckedBound.held(bound, name, found) for bound in (lower, upper)]
        checks += [consistency.of_kernel(name, positive), *consistency.of_zeros(name, lower, found)]
    if name == "total":
        held += _from_entries(formed, found)
    if settings.thorough:
        way = (settings.outputs, settings.backend, settings.memory)
        checks += consistency.second_kernels(name, formed, part, *way)
        checks += consistency.second_route(name, found, part, *way)
    return Evidence(tuple(held), tuple(checks))


def _from_entries(formed: Formed, found: Spectrum) -> Iterator[CheckedBound]:
    """Bounds from the entries of the total kernel."""
    for theorem in (
        bounds.gershgorin_lower,
        bounds.gershgorin_upper,
        bounds.gershgorin_scaled_lower,
        bounds.gershgorin_scaled_upper,
        bounds.wolkowicz_styan_lower,
        bounds.wolkowicz_styan_upper,
        bounds.trace_upper,
        bounds.frobenius_lower,
    ):
        yield CheckedBound.held(theorem(formed), "total", found)


def _from_parts(part: Jacobian, found: Spectrum, settings: Settings) -> Iterator[CheckedBound]:
    """Bounds on the total from kernels of factors and of some of the samples, where these cost little."""
    outputs, backend, memory = settings.outputs, settings.backend, settings.memory
    if found.size <= CHEAP:
        schur = bounds.schur_product(part, outputs, backend=backend, memory=memory)
        yield CheckedBound.held(schur, "total", found)
    if part.samples > 1:
        nested_samples = min(part.samples, max(CHEAP * part.samples // found.size, 2)) // 2
        try:
            nested = spectrum(
                part.load(0, nested_samples), outputs, method="gram", backend=backend, memory=memory
            )
        except UsageError:  # these samples alone have numbers too small to square
            return
        source = ("half the samples" if nested_samples == part.samples // 2 else f"{nested_samples} samples",)
        for theorem in (bounds.cauchy_lower, bounds.cauchy_upper):
            yield CheckedBound.held(theorem(nested, found.size), "total", found, source)
