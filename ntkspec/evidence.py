"""What can be said of kernels beside their eigenvalues: bounds, and checks of our own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ntkspec.backend import Backend
from ntkspec.errors import MemoryBudgetError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.report.data import CheckedBound
from ntkspec.spectral import Spectrum, bounds, consistency, spectrum
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.formed import Formed, form


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
    if any(each.rank and each.rank.refuted for each in found.values()):  # then believe no regions here either
        parts = {name: replace(part, regions=None) for name, part in parts.items()}
    checks = [check for name, each in found.items() for check in consistency.of_spectrum(name, each)]
    if not all(spectrum.complete for spectrum in found.values()):
        return Evidence(checks=tuple(checks))
    held = list(_from_spectra(found))
    try:
        for name in ("total", "grid"):
            if name in parts:
                formed = form(parts[name], settings.outputs, memory=settings.memory)
                held += _from_kernel(name, formed, parts[name], found[name], settings)
                lower = next(b.bound for b in held if b.of == name and b.bound.name == "certified_lower")
                checks += consistency.of_zeros(name, lower, found[name])
                checks += _checks(name, formed, parts[name], found[name], settings)
                del formed
    except MemoryBudgetError as error:
        return Evidence(tuple(held), tuple(checks), f"bounds from the kernel's entries: {error}")
    return Evidence(tuple(held), tuple(checks))


def _from_spectra(found: Mapping[str, Spectrum]) -> Iterator[CheckedBound]:
    """Bounds that the spectra of the parts set to the total's."""
    total = found["total"]
    for name, kept in found.items():
        if name not in ("total", "grid"):
            yield CheckedBound.held(bounds.theorem1(kept), "total", total, (name,))
    if "no_grid" in found:
        pair = found["no_grid"], found["grid"]
        for bound in (bounds.weyl_lower(*pair), bounds.weyl_upper(*pair)):
            yield CheckedBound.held(bound, "total", total, ("no_grid", "grid"))


def _from_kernel(
    name: str, formed: Formed, part: Jacobian, found: Spectrum, settings: Settings
) -> Iterator[CheckedBound]:
    """Bounds from the kernel's entries, factors and samples; of the grid's the certified ones alone."""
    vector = bounds.smallest_vector(formed)
    yield CheckedBound.held(bounds.certified_lower(formed, vector), name, found)
    yield CheckedBound.held(bounds.certified_upper(part, vector, settings.outputs), name, found)
    if name != "total":
        return
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
        yield CheckedBound.held(theorem(formed), name, found)
    outputs, backend, memory = settings.outputs, settings.backend, settings.memory
    schur = bounds.schur_product(part, outputs, backend=backend, memory=memory)
    yield CheckedBound.held(schur, name, found)
    if part.samples > 1:
        half = part.load(0, part.samples // 2)
        nested = spectrum(half, outputs, method="gram", backend=backend, memory=memory)
        for theorem_of_part in (bounds.cauchy_lower, bounds.cauchy_upper):
            yield CheckedBound.held(theorem_of_part(nested, found.size), name, found, ("half the samples",))


def _checks(
    name: str, formed: Formed, part: Jacobian, found: Spectrum, settings: Settings
) -> Iterator[Check]:
    yield consistency.of_kernel(name, formed)
    if settings.thorough:
        way = (settings.outputs, settings.backend, settings.memory)
        yield from consistency.second_kernels(name, formed, part, *way)
        yield from consistency.second_route(name, found, part, *way)
