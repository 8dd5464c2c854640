"""Numbers in words: how a value, an unresolved value, a bound or a ratio is said, everywhere the same.

The texts are ASCII. A bound on a number is rounded to the safe side: "<=" upwards, ">=" downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from ntkspec.report.names import clean as clean  # words, too
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
IMPRECISE = 0.05  # errors above this share are said
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
    """Two significant digits: 5.1e-03."""
    return f"{value:.1e}" if value else "0"


def sci_up(value: float) -> str:
    """Two significant digits, rounded up."""
    return _rounded(value, ROUND_CEILING)


def sci_down(value: float) -> str:
    """Two significant digits, rounded down."""
    return _rounded(value, ROUND_FLOOR)


def lambda_max(spectrum: Spectrum) -> str:
    """The largest eigenvalue, or why there is none."""
    if is_zero(spectrum):
        return ZERO
    value = spectrum.lambda_max
    return f"{UNRESOLVED} (<= {sci_up(spectrum.floor)})" if value is None else sci(value)


def lambda_min(spectrum: Spectrum) -> str:
    """lambda_min, "0 (rank <= r)", "unresolved (<= floor)", or "not computed" for the largest k alone."""
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
    """The value; with its error where that reaches the second digit."""
    return sci(value) if error <= IMPRECISE * value else f"{sci(value)} +- {sci_up(error)}"


def is_unresolved(spectrum: Spectrum) -> bool:
    """Whether lambda_min is known to lie at or below the floor, and no better."""
    known = is_zero(spectrum) or spectrum.singular
    return spectrum.resolved < len(spectrum.eigenvalues) and not known


def singular(spectrum: Spectrum) -> str:
    """Say of the stored numbers "exactly singular: rank <= 624 of 1024, why" where that is known, else ""."""
    if not spectrum.singular or spectrum.rank is None or is_zero(spectrum):
        return ""
    return f"exactly singular: rank <= {spectrum.rank.at_most} of {spectrum.size}, {spectrum.rank.reason}"


def network(spectrum: Spectrum) -> str:
    """Say what is known of the network's kernel, or of the stored numbers beside it, by regions; else ""."""
    known = spectrum.regions
    if known is None or known.independent >= spectrum.size or singular(spectrum) or is_zero(spectrum):
        return ""
    stored = f"eigenvalues beyond the first {known.independent} are at most {sci_up(known.rest)}"
    if not spectrum.network_singular:
        return f"as stored, {stored} ({known.reason})"
    rank = f"rank <= {known.at_most} of {spectrum.size}"
    return f"the network's kernel is singular: {rank}, {known.reason}; as stored, {stored}"


def is_zero(spectrum: Spectrum) -> bool:
    """Whether the kernel is exactly zero: nothing was rounded, no parameter has a gradient."""
    return spectrum.zero


def condition(spectrum: Spectrum) -> str:
    """lambda_max / lambda_min, or what is known of it."""
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
    """How many eigenvalues are numbers: "542 of 1024"; "20 of 20 (top)" where only the largest are there."""
    known = len(spectrum.eigenvalues)
    return f"{spectrum.resolved} of {known}" + ("" if spectrum.complete else " (top)")


def rank(value: float | None) -> str:
    """An effective or stable rank."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def distance(snapshot: SnapshotReport, kernel: str) -> str:
    """The kernel distance from the first snapshot, or why there is none; "-" where the report has none."""
    found = snapshot.distances.get(kernel)
    if found is None:
        return "-"
    if found.value is None:
        return f"none: {clean(found.reason)}"
    return f"{found.value:.3f}" if found.value >= 0.001 else sci(found.value)


def aligned(snapshot: SnapshotReport | None) -> Alignment | None:
    """Where the target lies in the total kernel of a snapshot, if that is known."""
    return None if snapshot is None else snapshot.alignments.get("total")


def alignment(found: Alignment, of: str = "the targets", share: float = 0.9) -> str:
    """Say how many of a kernel's modes hold a share: "3 of its 1,024 modes hold 90% of the targets".

    Args:
        found: of the kernel that "its" refers to.
        of: what the targets are, such as "the picture".
        share: from 0 to 1.
    """
    count, held = found.modes(share), f"{100 * share:g}% of {of}"
    if count is not None:
        return f"{count:,} of its {found.size:,} modes hold{'s' * (count == 1)} {held}"
    why = "not resolved" if found.spectrum.complete else "not computed"
    return f"more than {found.more_than(share):,} of its {found.size:,} modes hold {held}; the rest is {why}"


def modes(found: Alignment, share: float = 0.9) -> str:
    """Say how many modes hold a share, for a column: "3"; "> 832" where the resolved ones do not."""
    count = found.modes(share)
    return f"> {found.more_than(share):,}" if count is None else f"{count:,}"


def decades(comparison: Comparison) -> str:
    """The ratio in decades with its qualifier: "= 2.1", ">= 9.3", "<= -3.0" or "unresolved"."""
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
    """The short name of a bound."""
    return title_of(bound.bound.name) or clean(bound.bound.name)


def bound(checked: CheckedBound, spectrum: Spectrum) -> str:
    """What a bound says of the spectrum, in one line."""
    return f"{theorem(checked)} {held(checked, spectrum)}; {bound_on_lambda_min(checked)}"


def bound_on_lambda_min(checked: CheckedBound) -> str:
    """What a bound says of lambda_min."""
    limit = limit_of_lambda_min(checked)
    return f"lambda_min {limit}" if limit else "says nothing about lambda_min (vacuous)"


def enclosure(bounds: Sequence[CheckedBound]) -> str:
    """ "9.3e-04 <= lambda_min <= 9.5e-04" from bounds of both sides."""
    low, high = _both_sides(bounds)
    if math.isinf(high):
        return f"lambda_min >= {sci_down(low)}"
    return f"{sci_down(low)} <= lambda_min <= {sci_up(high)}" if low > 0 else f"lambda_min <= {sci_up(high)}"


def certified(bounds: Sequence[CheckedBound]) -> str:
    """ "9.3e-04 to 9.5e-04" from bounds of both sides, or "<= 9.5e-04"."""
    low, high = _both_sides(bounds)
    if math.isinf(high):
        return f">= {sci_down(low)}"
    return f"{sci_down(low)} to {sci_up(high)}" if low > 0 else f"<= {sci_up(high)}"


def _both_sides(bounds: Sequence[CheckedBound]) -> tuple[float, float]:
    """Return the best of the lower bounds and of the upper ones; 0 and infinity where there are none."""
    lower = (float(checked.bound.values[-1]) for checked in bounds if checked.bound.side == "lower")
    upper = (float(checked.bound.values[-1]) for checked in bounds if checked.bound.side == "upper")
    return max(lower, default=0.0), min(upper, default=math.inf)


def limit_of_lambda_min(checked: CheckedBound) -> str:
    """The limit that a bound sets to lambda_min, such as ">= 2.4e-05"; "" where it is vacuous."""
    if checked.bound.vacuous or not len(checked.bound.values):
        return ""
    value = float(checked.bound.values[-1])
    if checked.bound.side == "lower":
        return f">= {sci_down(max(value, 0.0))}"
    return f"<= {sci_up(value)}"


def gathered(run: RunReport, said: Iterable[tuple[str, str, SnapshotReport]]) -> list[tuple[str, str]]:
    """Equal statements once, each with the kernels and snapshots that it is made of: "total at init, mid".

    Args:
        run: whose snapshots they are; where a statement is made of all of many, they are not named.
        said: (statement, name of the kernel, snapshot).
    """
    found: dict[str, dict[str, list[str]]] = {}
    for statement, kernel, snapshot in said:
        found.setdefault(statement, {}).setdefault(kernel, []).append(snapshot_name(run, snapshot, 40))
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
        for statement, where in found.items()
    ]


def mode(run: RunReport) -> str:
    """How the outputs were taken together."""
    return run.mode if isinstance(run.mode, str) else f"output {run.mode} alone"


def held(checked: CheckedBound, spectrum: Spectrum) -> str:
    """Whether the spectrum obeys the bound, and for how many eigenvalues."""
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
