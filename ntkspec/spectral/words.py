"""Format numbers of spectra as text, the same everywhere: values, unresolved values and bounds.

The texts are ASCII. A bound on a number is rounded to the safe side: "<=" upwards, ">=" downwards.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ntkspec.spectral.eigenvalues import Eigenvalues

UNRESOLVED = "unresolved"
NOT_COMPUTED = "not computed"
ZERO = "0 (no gradient)"
IMPRECISE = 0.05  # share of a value from which its error is written, too
INFINITE = "infinite"


def sci(value: float) -> str:
    """Return a number as text with two significant digits: 5.1e-03."""
    return f"{value:.1e}" if value else "0"


def sci_up(value: float) -> str:
    """Return a number as text with two significant digits, rounded up."""
    return _rounded(value, ROUND_CEILING)


def sci_down(value: float) -> str:
    """Return a number as text with two significant digits, rounded down."""
    return _rounded(value, ROUND_FLOOR)


def kernel_distance(value: float) -> str:
    """Return a kernel distance as text, with three decimals or, if it is small, by its first digits."""
    return f"{value:.3f}" if value >= 0.001 else sci(value)


def lambda_max(spectrum: Eigenvalues) -> str:
    """Return the largest eigenvalue as text, or why it has no number."""
    if spectrum.zero:
        return ZERO
    value = spectrum.lambda_max
    if value is None:
        return f"{UNRESOLVED} (<= {sci_up(spectrum.floor)})"
    return with_error(value, float(spectrum.error[0]))


def lambda_min(spectrum: Eigenvalues) -> str:
    """Return lambda_min, "0 (rank <= r)", "unresolved (<= floor)", or "not computed" if it was left out."""
    if spectrum.zero:
        return ZERO
    if spectrum.singular and spectrum.rank:
        return f"0 (rank <= {spectrum.rank.at_most})"
    if spectrum.lambda_min is not None:
        return with_error(spectrum.lambda_min, float(spectrum.error[-1]))
    if is_unresolved(spectrum):
        return f"{UNRESOLVED} (<= {sci_up(spectrum.smallest_at_most)})"
    return NOT_COMPUTED


def with_error(value: float, error: float) -> str:
    """Return the value, with its error where that reaches the second digit."""
    return sci(value) if error <= IMPRECISE * value else f"{sci(value)} +- {sci_up(error)}"


def is_unresolved(spectrum: Eigenvalues) -> bool:
    """Return whether lambda_min is known to lie at or below the floor, and no better."""
    exact = spectrum.zero or spectrum.singular
    return spectrum.resolved < len(spectrum.eigenvalues) and not exact


def singular(spectrum: Eigenvalues) -> str:
    """Return "exactly singular: rank <= 624 of 1024, why" if that is known of the stored numbers, else ""."""
    if not spectrum.singular or spectrum.rank is None or spectrum.zero:
        return ""
    return f"exactly singular: rank <= {spectrum.rank.at_most} of {spectrum.size}, {spectrum.rank.reason}"


def network(spectrum: Eigenvalues) -> str:
    """Return what activation regions prove of the rank of the network's kernel or the stored one; else ""."""
    regions = spectrum.regions
    if regions is None or regions.independent >= spectrum.size or singular(spectrum) or spectrum.zero:
        return ""
    stored = f"eigenvalues beyond the first {regions.independent} are at most {sci_up(regions.rest)}"
    if not spectrum.network_singular:
        return f"as stored, {stored} ({regions.reason})"
    rank = f"rank <= {regions.at_most} of {spectrum.size} in exact arithmetic ({regions.reason})"
    lost = f"all but {regions.independent} directions are lost in rounding"
    return f"the network's kernel is singular: {rank}; as stored, {lost}: {stored}"


def condition(spectrum: Eigenvalues) -> str:
    """Return lambda_max / lambda_min, or what is known of it."""
    if spectrum.condition is not None:
        return sci(spectrum.condition)
    if spectrum.zero:
        return "-"
    if spectrum.singular:
        return INFINITE
    if spectrum.lambda_max is None:
        return UNRESOLVED
    if is_unresolved(spectrum) and spectrum.floor > 0:
        return f">= {sci_down(float(spectrum.lower[0]) / spectrum.smallest_at_most)}"
    return UNRESOLVED if is_unresolved(spectrum) else NOT_COMPUTED


def resolved(spectrum: Eigenvalues) -> str:
    """Return how many eigenvalues are numbers: "542 of 1024", or "20 of 20 (top)" of the largest alone."""
    computed = len(spectrum.eigenvalues)
    return f"{spectrum.resolved} of {computed}" + ("" if spectrum.complete else " (top)")


def rank(value: float | None) -> str:
    """Return an effective or stable rank."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _rounded(value: float, rounding: str) -> str:
    if not value or not math.isfinite(value) or float(f"{value:.1e}") == value:
        return sci(value)
    exact = Decimal(value)
    two_digits = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), rounding=rounding)
    return sci(float(two_digits))
