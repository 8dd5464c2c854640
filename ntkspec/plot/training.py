"""Draw what changes through training on the caller's axes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from ntkspec.errors import UsageError, require_one_of
from ntkspec.plot.as_report import as_report, check_kernel, no_kernel
from ntkspec.plot.axes import add_legend, axes_of, entry, free_colours, sized, wrap_ylabel
from ntkspec.report.canvas import placed
from ntkspec.report.curves import sign_of
from ntkspec.report.figures.training import course_handles, draw_course, finish_course, title_of
from ntkspec.report.records import Report, RunReport
from ntkspec.report.style import styled_runs
from ntkspec.report.through_training import (
    GAP,
    QUANTITIES,
    Point,
    StepAxis,
    course,
    metrics_of,
)

_ROOM = 1.2  # factor before the first and beyond the last step on a log axis


def over_steps(
    what: Report | RunReport | Mapping[str, RunReport],
    quantity: str = "lambda_min",
    *,
    kernel: str = "total",
    ax: Axes | None = None,
    legend: bool = True,
) -> Axes:
    """Draw a quantity of a kernel, or a metric, against the step of training, and return the axes.

    A filled mark is a number. A hollow triangle is not resolved: the value lies between zero and there. A
    cross at the lower edge is exactly zero, the thin line of lambda_min the floor. A filled triangle at the
    upper edge is an infinite PSNR. Where steps grow by factors, the axis of steps is logarithmic, with a
    place for step 0. The axis of a metric is logarithmic where its largest number is at least 100 times its
    least; never that of PSNR, MS-SSIM and IoU.

    Args:
        what: a report, one of its runs, or a dict of runs by name.
        quantity: "lambda_max", "lambda_min", "effective_rank", "kernel_distance" (from the first snapshot),
            or the name of a metric, such as "psnr_db".
        kernel: of which the quantity is; metrics are the network's. Runs without it are left out.
        ax: where to draw; default: pyplot's current axes.
        legend: show a legend.

    Raises:
        UsageError: no run of two snapshots or more, or a quantity or kernel that is not there.

    Example:
        >>> import dataclasses, ntkspec
        >>> from matplotlib.figure import Figure
        >>> run = ntkspec.analyze_runs("data/golden/mpe.h5")["MPE"]
        >>> later = dataclasses.replace(run["init"], id="1", label="later", step=100)
        >>> run = dataclasses.replace(run, snapshots=(run["init"], later))  # stands for one that was trained
        >>> axes = over_steps(run, "effective_rank", ax=Figure().subplots())
        >>> axes.get_ylabel(), axes.lines[0].get_xdata().tolist()
        ('effective rank', [0.0, 100.0])
    """
    where = "ntkspec.plot.over_steps"
    check_kernel(kernel, where)
    report = as_report(what, where)
    if all(len(run.snapshots) < 2 for run in report.runs):
        raise UsageError(
            where, expected="a run with two snapshots or more", got="one snapshot of each run",
            remedy="a run file has as many as were written while training",
        )  # fmt: skip
    courses = _courses(report, quantity, kernel, where)
    axes, several = axes_of(ax, where), len(courses) > 1
    runs = free_colours(axes, [run for run in styled_runs(report) if run.index in courses])
    with sized(axes):
        for run in runs:
            draw_course(axes, StepAxis(None), run, courses[run.index], sign_of(run, several=several))
    finish_course(axes, quantity)
    _set_steps(axes)
    axes.set_ylabel(title_of(report, quantity))
    wrap_ylabel(axes)
    points = [point for points in courses.values() for point in points]
    of_kernel = kernel if quantity in QUANTITIES else "total"
    entries = [entry(run, of_kernel, several=several) for run in runs]
    add_legend(axes, [*entries, *course_handles(points)], shown=legend)
    return axes


def _courses(report: Report, quantity: str, kernel: str, where: str) -> dict[int, tuple[Point, ...]]:
    """Return the points of each run that has some, by its position in the report."""
    known = (*QUANTITIES, *metrics_of(report))
    require_one_of(f"{where}, quantity", quantity, known)
    found = {i: course(run, quantity, kernel) for i, run in enumerate(report.runs)}
    if not any(found.values()):
        raise no_kernel(report, kernel, where)
    return {i: points for i, points in found.items() if points}


def _set_steps(axes: Axes) -> None:
    """Set the axis of steps: linear, or as the report's figures have it where steps grow by factors."""
    places = np.concatenate([line.get_xdata(orig=False) for line in placed(axes)] or [[0.0]])
    steps = places[np.isfinite(places)]
    first, free = StepAxis.of(steps.astype(int).tolist()).first, axes.get_autoscalex_on()
    if first is not None:  # matplotlib takes a length for nine tenths of what comes out
        axes.set_xscale("symlog", linthresh=first, linscale=0.9 * GAP)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        # By itself matplotlib shows steps before 0 down to a power of ten, and cuts the last mark.
        if free:
            left = steps.min() / _ROOM if steps.min() > 0 else -first / 4
            axes.set_xlim(left, steps.max() * _ROOM, auto=True)
    elif axes.get_xscale() == "symlog":  # of an earlier call, with fewer steps
        axes.set_xscale("linear")
    axes.set_xlabel("step of training")
