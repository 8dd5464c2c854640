"""Format numbers as text, the same everywhere: values, unresolved values, bounds and ratios.

The texts are ASCII. A bound on a number is rounded to the safe side: "<=" upwards, ">=" downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np

from ntkspec.report.grouping import grouped
from ntkspec.report.names import clean
from ntkspec.report.records import Comparison, RunReport, SnapshotReport
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.bounds.statement import title_of
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.words import NOT_COMPUTED as NOT_COMPUTED
from ntkspec.spectral.words import UNRESOLVED as UNRESOLVED
from ntkspec.spectral.words import condition as condition
from ntkspec.spectral.words import is_unresolved as is_unresolved
from ntkspec.spectral.words import kernel_distance
from ntkspec.spectral.words import lambda_max as lambda_max
from ntkspec.spectral.words import lambda_min as lambda_min
from ntkspec.spectral.words import network as network
from ntkspec.spectral.words import rank as rank
from ntkspec.spectral.words import resolved as resolved
from ntkspec.spectral.words import sci as sci
from ntkspec.spectral.words import sci_down as sci_down
from ntkspec.spectral.words import sci_up as sci_up
from ntkspec.spectral.words import singular as singular

State = Literal["resolved", "zero", "unresolved", "not computed"]  # of lambda_min
STATES: tuple[State, ...] = get_args(State)

LEGEND = (
    "unresolved (<= x): rounding leaves no digit of this value; it lies somewhere between 0 and x, "
    "and ratios against it are one-sided"
)
REFERENCE = "reference"
MANY = 5  # snapshots of a run, beyond which they are not named one by one where that can be helped
RANKING = "a large lambda_min lets a network fit noise as fast as detail"
MODES = (
    "modes: how many eigenvectors, largest eigenvalues first, hold 90% of the target; this says what was "
    "learnt, and before training does not predict the quality"
)
AT_MOST = "resolved: eigenvalues clear of rounding; <= x: between 0 and x, no digit is known"
CERTIFIED_RANGE = "certified: lambda_min lies between these, proved with every rounding included"
CERTIFIED = (
    "certified: proved of the Jacobian as stored, every rounding included; floors are careful estimates, far "
    "below what can be proved; what is said of the network's kernel holds in exact arithmetic, before it was "
    "rounded to be stored"
)


def state(spectrum: Spectrum) -> State:
    """Return what is known of lambda_min: a number, an exact zero, an upper limit, or nothing."""
    if spectrum.zero or spectrum.singular:
        return "zero"
    if spectrum.lambda_min is not None:
        return "resolved"
    return "unresolved" if is_unresolved(spectrum) else "not computed"


def largest(spectrum: Spectrum) -> str:
    """Return the largest eigenvalue for a narrow column, in which an unresolved one has no upper limit."""
    return lambda_max(spectrum) if spectrum.resolved or spectrum.zero else UNRESOLVED


def distance(snapshot: SnapshotReport, kernel: str, *, why: bool = False) -> str:
    """Return the kernel distance from the first snapshot; "-" if there is none or, with `why`, the reason."""
    from_first = snapshot.distances.get(kernel)
    if from_first is None:
        return "-"
    if from_first.value is None:
        return f"none: {clean(from_first.reason)}" if why else "-"
    return kernel_distance(from_first.value)


def method(spectrum: Spectrum) -> str:
    """Return the method by which a spectrum was computed, with the precision if it was not double."""
    return spectrum.method if spectrum.precision == "float64" else f"{spectrum.method} {spectrum.precision}"


def alignment(shares: Alignment, of: str) -> str:
    """Return how many modes contain most of it: "3 of its 1,024 modes hold 90% of the picture".

    Args:
        shares: of the targets in the modes of the kernel that "its" refers to.
        of: what the targets are, such as "the picture".
    """
    count = shares.modes()
    if count is not None:
        return f"{count:,} of its {shares.size:,} modes hold{'s' * (count == 1)} 90% of {of}"
    why = "not resolved" if shares.spectrum.complete else "not computed"
    too_few = f"{shares.more_than():,} of its {shares.size:,} modes"
    return f"more than {too_few} hold 90% of {of}; the rest is {why}"


def modes(shares: Alignment) -> str:
    """Return how many modes contain 90%, for a column: "3", or "> 832" if all 832 resolved do not."""
    count = shares.modes()
    return f"> {shares.more_than():,}" if count is None else f"{count:,}"


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
    limit = limit_of_lambda_min(checked)
    said = f"lambda_min {limit}" if limit else "says nothing about lambda_min (vacuous)"
    return f"{theorem(checked)} {held(checked, spectrum)}; {said}"


def enclosure(bounds: Sequence[CheckedBound]) -> str:
    """Return "9.3e-04 <= lambda_min <= 9.5e-04" from bounds of both sides, or "lambda_min = 0"."""
    low, high = _both_sides(bounds)
    if high == 0:
        return "lambda_min = 0"
    if math.isinf(high):
        return f"lambda_min >= {sci_down(low)}"
    return f"{sci_down(low)} <= lambda_min <= {sci_up(high)}" if low > 0 else f"lambda_min <= {sci_up(high)}"


def certified(bounds: Sequence[CheckedBound]) -> str:
    """Return "9.3e-04 to 9.5e-04" from bounds of both sides, or "<= 9.5e-04", or "0"."""
    low, high = _both_sides(bounds)
    if high == 0:
        return "0"
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


def gathered(run: RunReport, statements: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Return equal statements once, each with its kernels and their snapshots: "total at init, mid".

    Args:
        run: whose snapshots they are; "all 9 snapshots" stands for their names where there are many.
        statements: (statement, name of the kernel, name of the snapshot).
    """
    count = len(run.snapshots)

    def said(snapshots: Sequence[str]) -> str:
        return f"all {count} snapshots" if len(snapshots) == count > MANY else ", ".join(snapshots)

    places = grouped((statement, (kernel, snapshot)) for statement, kernel, snapshot in statements)
    return [
        (statement, "; ".join(f"{kernel} at {said(names)}" for kernel, names in grouped(where).items()))
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
