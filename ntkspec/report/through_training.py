"""Collect what is drawn against the training step: four quantities of a kernel, and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ntkspec.qualities import OF_SOME_PIXELS, quality_of, values_of
from ntkspec.report import words
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.targets import held_out_differ, noun, one_target
from ntkspec.spectral.eigenvalues import Spectrum

Quantity = Literal["lambda_max", "lambda_min", "effective_rank", "kernel_distance"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
TITLES: Mapping[str, str] = {
    "lambda_max": "largest eigenvalue",
    "lambda_min": "smallest eigenvalue",
    "effective_rank": "effective rank",
    "kernel_distance": "kernel distance from the first snapshot",
}

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
class Moment:
    """One kernel at one snapshot."""

    step: int
    name: str  # of the snapshot
    lambda_max: Value
    lambda_min: Value
    floor: float | None  # of the spectrum; None where nothing was rounded
    effective_rank: Value
    kernel_distance: Value

    def value(self, quantity: Quantity) -> Value:
        """Return one of the four quantities by its name."""
        value: Value = getattr(self, quantity)
        return value


@dataclass(frozen=True)
class Point:
    """A value to be drawn at a step, with the floor that belongs to it, if any."""

    step: int
    value: Value
    floor: float | None = None


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


def history(run: RunReport, kernel: str) -> tuple[Moment, ...]:
    """Return a kernel of a run at every snapshot that has it, in order of step."""
    return tuple(_moment(run, snapshot, kernel) for snapshot in run.snapshots if kernel in snapshot.spectra)


def course(run: RunReport, quantity: str, kernel: str = "total") -> tuple[Point, ...]:
    """Return a quantity of a kernel, or a metric, at every snapshot of a run that has it, in order of step.

    Points of lambda_min have the floor.

    Args:
        quantity: a `Quantity`, or the name of a metric.
    """
    for name in QUANTITIES:
        if name == quantity:
            return tuple(
                Point(moment.step, moment.value(name), moment.floor if name == "lambda_min" else None)
                for moment in history(run, kernel)
            )
    return tuple(point for _, point in metric_course(run, quantity))


def metric_course(run: RunReport, name: str) -> tuple[tuple[SnapshotReport, Point], ...]:
    """Return each snapshot of a run that has a metric, with the metric's value there."""
    return tuple(
        (snapshot, Point(snapshot.step, _metric(name, values[name])))
        for snapshot in run.snapshots
        if name in (values := values_of(snapshot.metrics))
    )


def metrics_of(report: Report) -> tuple[str, ...]:
    """Return the names of all metrics in the order in which they come up, but for names of a `Quantity`."""
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
    runs = [run for run in report.runs if metric_course(run, name)]
    title = words.clean(quality_of(name).axis_title, 40)
    if not one_target(runs):
        return f"{title}, of different {noun(runs, name)}s"
    return f"{title}, of different pixels" if name in OF_SOME_PIXELS and held_out_differ(runs) else title


def log_beyond(quantity: str) -> float:
    """Return the ratio of largest to least number from which an axis is logarithmic; infinite: it never is.

    Args:
        quantity: a `Quantity`, or the name of a metric.

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


def _moment(run: RunReport, snapshot: SnapshotReport, kernel: str) -> Moment:
    spectrum = snapshot.spectra[kernel]
    rank = spectrum.effective_rank
    no_rank = words.UNRESOLVED if spectrum.complete else words.NOT_COMPUTED
    return Moment(
        step=snapshot.step,
        name=words.snapshot_name(run, snapshot, 40),
        lambda_max=_lambda_max(spectrum),
        lambda_min=_lambda_min(spectrum),
        floor=spectrum.floor if spectrum.floor > 0 else None,
        effective_rank=Value(rank, said=no_rank if rank is None else words.rank(rank)),
        kernel_distance=Value(
            snapshot.distances[kernel].value if kernel in snapshot.distances else None,
            said=words.distance(snapshot, kernel),
        ),
    )


def _metric(name: str, value: float) -> Value:
    quality, number = quality_of(name), value if math.isfinite(value) else None
    return Value(number, infinite=quality.endless and value == math.inf, said=quality.show(value))


def _lambda_max(spectrum: Spectrum) -> Value:
    text = words.lambda_max(spectrum)
    if spectrum.zero:
        return Value(zero=True, said=text)
    if spectrum.lambda_max is None:
        return Value(at_most=spectrum.floor, said=text)
    return Value(spectrum.lambda_max, said=text)


def _lambda_min(spectrum: Spectrum) -> Value:
    text = words.lambda_min(spectrum)
    if spectrum.zero or spectrum.singular:
        return Value(zero=True, said=words.singular(spectrum) or text)
    if spectrum.lambda_min is not None:
        return Value(spectrum.lambda_min, said=text)
    if words.is_unresolved(spectrum):
        most = spectrum.smallest_at_most
        more = _network(spectrum)
        return Value(at_most=most if most > 0 else None, said=f"{text}; {more}" if more else text)
    return Value(said=text)


def _network(spectrum: Spectrum) -> str:
    regions = spectrum.regions
    if regions is None or not spectrum.network_singular:
        return ""
    return f"the network's kernel is singular: rank <= {regions.at_most} of {spectrum.size}"
