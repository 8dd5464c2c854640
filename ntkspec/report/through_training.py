"""Collect what is drawn against the training step: four quantities of a kernel, and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ntkspec.qualities import OF_SOME_PIXELS, quality_of, values_of
from ntkspec.report import words
from ntkspec.report.names import clean, named_snapshots
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.targets import held_out_differ, noun, one_target
from ntkspec.spectral.record import Spectrum

TITLES: Mapping[str, str] = {
    "lambda_max": "largest eigenvalue",
    "lambda_min": "smallest eigenvalue",
    "effective_rank": "effective rank",
    "kernel_distance": "kernel distance from the first snapshot",
}
QUANTITIES = tuple(TITLES)  # of a kernel

_WIDE = 30.0  # ratio of last to first step from which steps may be shown on a log axis
GAP = 0.35  # decades between step 0 and the first one after it, on an axis that has no zero
_MOST_METRICS = 6  # that have a panel in the figure
_NARROW = 5.0  # largest over least number, below which a log axis has too few numbers on it
_NARROW_METRIC = 100.0  # the same of metrics, which most readers expect on a linear axis
METRICS_SAID = (
    f"Below the kernel's numbers are the first {_MOST_METRICS} metrics that a run has at two snapshots or "
    "more, a triangle at the upper edge where one is infinite, as a perfect picture's PSNR; each run's "
    "details list all."
)


@dataclass(frozen=True)
class Value:
    """A quantity at a snapshot: a number, an upper limit, an exact zero, infinite, or none of these."""

    number: float | None = None
    at_most: float | None = None  # not resolved: it lies between 0 and this
    zero: bool = False  # whether it is exactly zero
    infinite: bool = False  # whether it is a metric that is infinite because the result is perfect
    said: str = ""  # in words, with the reason where there is no number


@dataclass(frozen=True)
class Point:
    """A value at a snapshot, with the floor that belongs to it, if any."""

    step: int
    name: str  # of the snapshot
    value: Value
    floor: float | None = None  # of lambda_min; None where nothing was rounded, too


@dataclass(frozen=True)
class StepAxis:
    """An axis of steps, linear or, where steps grow by factors, logarithmic.

    A log axis has no zero, so step 0 is drawn at some distance to the left of the first step after it.
    """

    first: float | None  # the first step above 0; None: the axis is linear

    @staticmethod
    def of(steps: Iterable[int]) -> StepAxis:
        """Choose the axis for these steps: a log axis if half of them lie in the first fifth of the axis.

        Example:
            >>> StepAxis.of([0, 1, 10, 100, 1000]).first, StepAxis.of([0, 50, 100]).first
            (1.0, None)
        """
        above = sorted({step for step in steps if step > 0})
        if len(above) < 3 or above[-1] < _WIDE * above[0] or above[len(above) // 2] > above[-1] / 5:
            return StepAxis(None)
        return StepAxis(float(above[0]))

    def position(self, step: int) -> float:
        """Return the coordinate of a step on a linear axis with the labels of `ticks`."""
        if self.first is None:
            return float(step)
        return math.log10(step) if step else math.log10(self.first) - GAP

    def ticks(self, steps: Iterable[int]) -> list[tuple[float, str]]:
        """Return positions and labels on a log axis: 0, if it is among the steps, and powers of ten.

        Example:
            >>> StepAxis.of([0, 3, 4, 5, 300]).ticks([0, 3, 4, 5, 300])[1:]
            [(1.0, '10'), (2.0, '100')]
        """
        if self.first is None:
            return []
        steps = [*steps]
        powers = range(math.floor(math.log10(self.first)), math.ceil(math.log10(max(steps))) + 1)
        inside = [10**k for k in powers if self.first <= 10**k <= max(steps)]
        return [(self.position(step), f"{step:,}") for step in ([0] if 0 in steps else []) + inside]


def has_training(report: Report) -> bool:
    """Return whether some run has more than one snapshot."""
    return any(len(run.snapshots) > 1 for run in report.runs)


def steps_of(report: Report) -> list[int]:
    """Return the steps of all snapshots."""
    return [snapshot.step for run in report.runs for snapshot in run.snapshots]


def course(run: RunReport, quantity: str, kernel: str = "total") -> tuple[Point, ...]:
    """Return a quantity of a kernel, or a metric, at every snapshot of a run that has it, in order of step.

    Points of lambda_min have the floor.

    Args:
        quantity: one of `QUANTITIES`, or the name of a metric.
    """
    return tuple(
        Point(snap.step, name, value, _floor(snap, quantity, kernel))
        for name, snap in named_snapshots(run, 40)
        if (value := _value(snap, quantity, kernel)) is not None
    )


def metrics_of(report: Report) -> tuple[str, ...]:
    """Return the names of all metrics in the order in which they come up, but for those in `QUANTITIES`."""
    names = (
        name for run in report.runs for snapshot in run.snapshots for name in values_of(snapshot.metrics)
    )
    return tuple(name for name in dict.fromkeys(names) if name not in QUANTITIES)


def drawn_metrics(report: Report) -> tuple[str, ...]:
    """Return the metrics that have a panel: the first few that some run has at two snapshots or more."""

    def has_course(run: RunReport, name: str) -> bool:
        values = [point.value for point in course(run, name)]
        return sum(value.infinite or value.number is not None for value in values) > 1

    several = (name for name in metrics_of(report) if any(has_course(run, name) for run in report.runs))
    return tuple(several)[:_MOST_METRICS]


def metric_title(report: Report, name: str) -> str:
    """Return a metric's title with its unit; it says so if runs that learnt different things share a panel.

    A loss that one picture reaches says nothing of that of another one.
    """
    runs = [run for run in report.runs if course(run, name)]
    title = clean(quality_of(name).axis_title, 40)
    if not one_target(runs):
        return f"{title}, of different {noun(runs, name)}s"
    return f"{title}, which differ" if name in OF_SOME_PIXELS and held_out_differ(runs) else title


def log_beyond(quantity: str) -> float:
    """Return the ratio of largest to least number from which an axis is logarithmic; infinite: it never is.

    Args:
        quantity: one of `QUANTITIES`, or the name of a metric.

    Example:
        >>> log_beyond("lambda_min"), log_beyond("loss"), log_beyond("psnr_db")
        (5.0, 100.0, inf)
    """
    if quantity in QUANTITIES:
        return math.inf if quantity == "kernel_distance" else _NARROW
    return _NARROW_METRIC if quality_of(quantity).decades else math.inf


def kernels_of(report: Report) -> tuple[str, ...]:
    """Return the names of all kernels, "total" first."""
    names = (name for run in report.runs for snapshot in run.snapshots for name in snapshot.spectra)
    return tuple(dict.fromkeys(("total", *names)))


def _value(snapshot: SnapshotReport, quantity: str, kernel: str) -> Value | None:
    """Return a quantity of a kernel, or a metric, at a snapshot; None if the snapshot has no such thing."""
    if quantity not in QUANTITIES:
        metrics = values_of(snapshot.metrics)
        return _metric(quantity, metrics[quantity]) if quantity in metrics else None
    spectrum = snapshot.spectra.get(kernel)
    if spectrum is None:
        return None
    if quantity == "lambda_max":
        return _lambda_max(spectrum)
    if quantity == "lambda_min":
        return _lambda_min(spectrum)
    if quantity == "effective_rank":
        return _effective_rank(spectrum)
    distance = snapshot.distances.get(kernel)
    return Value(distance.value if distance else None, said=words.distance(snapshot, kernel, why=True))


def _floor(snapshot: SnapshotReport, quantity: str, kernel: str) -> float | None:
    floor = snapshot.spectra[kernel].floor if quantity == "lambda_min" else 0.0
    return floor if floor > 0 else None


def _metric(name: str, value: float) -> Value:
    quality, number = quality_of(name), value if math.isfinite(value) else None
    return Value(number, infinite=quality.endless and value == math.inf, said=quality.show(value))


def _effective_rank(spectrum: Spectrum) -> Value:
    rank = spectrum.effective_rank
    missing = words.UNRESOLVED if spectrum.complete else words.NOT_COMPUTED
    return Value(rank, said=missing if rank is None else words.rank(rank))


def _lambda_max(spectrum: Spectrum) -> Value:
    text = words.lambda_max(spectrum)
    if spectrum.zero:
        return Value(zero=True, said=text)
    if spectrum.lambda_max is None:
        return Value(at_most=spectrum.floor, said=text)
    return Value(spectrum.lambda_max, said=text)


def _lambda_min(spectrum: Spectrum) -> Value:
    text, state = words.lambda_min(spectrum), words.state(spectrum)
    if state == "zero":
        return Value(zero=True, said=words.singular(spectrum) or text)
    if state == "unresolved":
        most, more = spectrum.smallest_at_most, _network(spectrum)
        return Value(at_most=most if most > 0 else None, said=f"{text}; {more}" if more else text)
    return Value(spectrum.lambda_min, said=text)


def _network(spectrum: Spectrum) -> str:
    regions = spectrum.regions
    if regions is None or not spectrum.network_singular:
        return ""
    return f"the network's kernel is singular: rank <= {regions.at_most} of {spectrum.size}"
