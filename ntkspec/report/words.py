"""Format numbers as text, the same everywhere: values, unresolved values, bounds and ratios.

The texts are ASCII. A bound on a number is rounded to the safe side: "<=" upwards, ">=" downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from ntkspec.report.names import clean as clean  # names are words, too
from ntkspec.report.names import snapshot_name as snapshot_name
from ntkspec.report.records import Comparison, RunReport, SnapshotReport
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.bounds.statement import title_of
from ntkspec.spectral.eigenvalues import Spectrum

UNRESOLVED = "unresolved"
NOT_COMPUTED = "not computed"
LEGEND = (
    "unresolved (<= x): rounding leaves no digit of this value; it lies somewhere between 0 and x, "
    "and ratios against it are one-sided"
)
ZERO = "0 (no gradient)"
REFERENCE = "reference"
MANY = 5  # snapshots of a run, beyond which they are not named one by one where that can be helped
IMPRECISE = 0.05  # share of a value from which its error is written, too
RANKING = "a large lambda_min lets a network fit noise as fast as detail"
MODES = (
    "modes: eigenvectors, largest eigenvalues first, that hold 90% of the target; they say what was learnt, "
    "and before training do not predict the quality"
)
AT_MOST = "resolved: eigenvalues clear of rounding; <= x: between 0 and x, no digit is known"
CERTIFIED_RANGE = "certified: between these lambda_min lies, proved with every rounding included"
CERTIFIED = (
    "certified: proved of the Jacobian as stored, every rounding included; floors are careful estimates, far "
    "below what can be proved; what is said of the network's kernel holds in exact arithmetic, whatever "
    "storing it has rounded"
)
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


def lambda_max(spectrum: Spectrum) -> str:
    """Return the largest eigenvalue as text, or why it has no number."""
    if is_zero(spectrum):
        return ZERO
    value = spectrum.lambda_max
    return f"{UNRESOLVED} (<= {sci_up(spectrum.floor)})" if value is None else sci(value)


def lambda_min(spectrum: Spectrum) -> str:
    """Return lambda_min, "0 (rank <= r)", "unresolved (<= floor)", or "not computed" if it was left out."""
    if is_zero(spectrum):
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


def is_unresolved(spectrum: Spectrum) -> bool:
    """Return whether lambda_min is known to lie at or below the floor, and no better."""
    exact = is_zero(spectrum) or spectrum.singular
    return spectrum.resolved < len(spectrum.eigenvalues) and not exact


def singular(spectrum: Spectrum) -> str:
    """Return "exactly singular: rank <= 624 of 1024, why" if that is known of the stored numbers, else ""."""
    if not spectrum.singular or spectrum.rank is None or is_zero(spectrum):
        return ""
    return f"exactly singular: rank <= {spectrum.rank.at_most} of {spectrum.size}, {spectrum.rank.reason}"


def network(spectrum: Spectrum) -> str:
    """Return what activation regions prove of the rank of the network's kernel or the stored one; else ""."""
    regions = spectrum.regions
    if regions is None or regions.independent >= spectrum.size or singular(spectrum) or is_zero(spectrum):
        return ""
    stored = f"eigenvalues beyond the first {regions.independent} are at most {sci_up(regions.rest)}"
    if not spectrum.network_singular:
        return f"as stored, {stored} ({regions.reason})"
    rank = f"rank <= {regions.at_most} of {spectrum.size}"
    return f"the network's kernel is singular: {rank}, {regions.reason}; as stored, {stored}"


def is_zero(spectrum: Spectrum) -> bool:
    """Return whether the kernel is exactly zero: no parameter has a gradient, nothing was rounded."""
    return spectrum.zero


def condition(spectrum: Spectrum) -> str:
    """Return lambda_max / lambda_min, or what is known of it."""
    if spectrum.condition is not None:
        return sci(spectrum.condition)
    if is_zero(spectrum):
        return "-"
    if spectrum.singular:
        return INFINITE
    if spectrum.lambda_max is None:
        return UNRESOLVED
    if is_unresolved(spectrum) and spectrum.floor > 0:
        return f">= {sci_down(spectrum.lambda_max / spectrum.smallest_at_most)}"
    return UNRESOLVED if is_unresolved(spectrum) else NOT_COMPUTED


def resolved(spectrum: Spectrum) -> str:
    """Return how many eigenvalues are numbers: "542 of 1024", or "20 of 20 (top)" of the largest alone."""
    computed = len(spectrum.eigenvalues)
    return f"{spectrum.resolved} of {computed}" + ("" if spectrum.complete else " (top)")


def rank(value: float | None) -> str:
    """Return an effective or stable rank."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def distance(snapshot: SnapshotReport, kernel: str) -> str:
    """Return the kernel distance from the first snapshot, or say why not; "-" if the report has none."""
    from_first = snapshot.distances.get(kernel)
    if from_first is None:
        return "-"
    if from_first.value is None:
        return f"none: {clean(from_first.reason)}"
    return f"{from_first.value:.3f}" if from_first.value >= 0.001 else sci(from_first.value)


def aligned(snapshot: SnapshotReport | None) -> Alignment | None:
    """Return the alignment of the targets with a snapshot's total kernel, or None if it is not known."""
    return None if snapshot is None else snapshot.alignments.get("total")


def alignment(shares: Alignment, of: str = "the targets", share: float = 0.9) -> str:
    """Return how many modes contain a share: "3 of its 1,024 modes hold 90% of the targets".

    Args:
        shares: of the targets in the modes of the kernel that "its" refers to.
        of: what the targets are, such as "the picture".
        share: from 0 to 1.
    """
    count, part = shares.modes(share), f"{100 * share:g}% of {of}"
    if count is not None:
        return f"{count:,} of its {shares.size:,} modes hold{'s' * (count == 1)} {part}"
    why = "not resolved" if shares.spectrum.complete else "not computed"
    too_few = f"{shares.more_than(share):,} of its {shares.size:,} modes"
    return f"more than {too_few} hold {part}; the rest is {why}"


def modes(shares: Alignment, share: float = 0.9) -> str:
    """Return how many modes contain a share, for a column: "3", or "> 832" if all 832 resolved do not."""
    count = shares.modes(share)
    return f"> {shares.more_than(share):,}" if count is None else f"{count:,}"


def decades(comparison: Comparison) -> str:
    """Return the ratio in decades with its qualifier: "= 2.1", ">= 9.3", "<= -3.0" or "unresolved"."""
    value, qualifier = comparison.decades, comparison.qualifier
    if value is None or qualifier == "unresolved" or not math.isfinite(value):
        return UNRESOLVED
    # The offset keeps 2.1, stored as 2.0999..., from becoming 2.0.
    if qualifier == ">=":
        shown = math.floor(value * 10 + 1e-9) / 10
    elif qualifier == "<=":
        shown = math.ceil(value * 10 - 1e-9) / 10
    else:
        shown = value
    return f"{qualifier} {round(shown, 1) + 0.0:.1f}"


def theorem(bound: CheckedBound) -> str:
    """Return the short name of a bound."""
    return title_of(bound.bound.name) or clean(bound.bound.name)


def bound(checked: CheckedBound, spectrum: Spectrum) -> str:
    """Return one line that states what a bound implies for the spectrum."""
    return f"{theorem(checked)} {held(checked, spectrum)}; {bound_on_lambda_min(checked)}"


def bound_on_lambda_min(checked: CheckedBound) -> str:
    """Return a text that states what a bound implies for lambda_min."""
    limit = limit_of_lambda_min(checked)
    return f"lambda_min {limit}" if limit else "says nothing about lambda_min (vacuous)"


def enclosure(bounds: Sequence[CheckedBound]) -> str:
    """Return "9.3e-04 <= lambda_min <= 9.5e-04" from bounds of both sides."""
    low, high = _both_sides(bounds)
    if math.isinf(high):
        return f"lambda_min >= {sci_down(low)}"
    return f"{sci_down(low)} <= lambda_min <= {sci_up(high)}" if low > 0 else f"lambda_min <= {sci_up(high)}"


def certified(bounds: Sequence[CheckedBound]) -> str:
    """Return "9.3e-04 to 9.5e-04" from bounds of both sides, or "<= 9.5e-04"."""
    low, high = _both_sides(bounds)
    if math.isinf(high):
        return f">= {sci_down(low)}"
    return f"{sci_down(low)} to {sci_up(high)}" if low > 0 else f"<= {sci_up(high)}"


def _both_sides(bounds: Sequence[CheckedBound]) -> tuple[float, float]:
    """Return the largest lower bound and the smallest upper bound; 0 and infinity if there are none."""
    lower = (float(checked.bound.values[-1]) for checked in bounds if checked.bound.side == "lower")
    upper = (float(checked.bound.values[-1]) for checked in bounds if checked.bound.side == "upper")
    return max(lower, default=0.0), min(upper, default=math.inf)


def limit_of_lambda_min(checked: CheckedBound) -> str:
    """Return the limit that a bound sets to lambda_min, such as ">= 2.4e-05"; "" where it is vacuous."""
    if checked.bound.vacuous or not len(checked.bound.values):
        return ""
    value = float(checked.bound.values[-1])
    if checked.bound.side == "lower":
        return f">= {sci_down(max(value, 0.0))}"
    return f"<= {sci_up(value)}"


def gathered(run: RunReport, statements: Iterable[tuple[str, str, SnapshotReport]]) -> list[tuple[str, str]]:
    """Return equal statements once, each with its kernels and their snapshots: "total at init, mid".

    Args:
        run: whose snapshots they are; "all 9 snapshots" stands for their names where there are many.
        statements: (statement, name of the kernel, snapshot).
    """
    places: dict[str, dict[str, list[str]]] = {}
    for statement, kernel, snapshot in statements:
        places.setdefault(statement, {}).setdefault(kernel, []).append(snapshot_name(run, snapshot, 40))
    count = len(run.snapshots)
    every = f"all {count} snapshots"
    return [
        (
            statement,
            "; ".join(
                f"{kernel} at {every if len(names) == count > MANY else ', '.join(names)}"
                for kernel, names in where.items()
            ),
        )
        for statement, where in places.items()
    ]


def mode(run: RunReport) -> str:
    """Return a text that says how the kernels of several outputs were combined."""
    return run.mode if isinstance(run.mode, str) else f"output {run.mode} alone"


def held(checked: CheckedBound, spectrum: Spectrum) -> str:
    """Return a text: whether the spectrum satisfies the bound, and for how many eigenvalues."""
    broken = checked.bound.broken(spectrum)
    if checked.holds:
        few = checked.bound.quantity == "lambda_min" or len(broken) <= 1
        return "holds" if few else f"holds for all {len(broken)} eigenvalues"
    return f"FAILS for {int(np.count_nonzero(broken))} of {len(broken)} eigenvalues"


def _rounded(value: float, rounding: str) -> str:
    if not value or not math.isfinite(value) or float(f"{value:.1e}") == value:
        return sci(value)
    exact = Decimal(value)
    two_digits = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), rounding=rounding)
    return sci(float(two_digits))
