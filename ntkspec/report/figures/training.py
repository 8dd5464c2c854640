"""Draw the figure "training": numbers of a kernel, and metrics, against the training step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ntkspec.report.canvas import drawn, in_data, light_grid, new_figure, new_panels, say, say_first, text
from ntkspec.report.curves import sign_of
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.figures.spectra import MOST_TOGETHER
from ntkspec.report.legends import FLOOR, legend_below, mark, run_handles
from ntkspec.report.page_texts import heading
from ntkspec.report.records import Report
from ntkspec.report.style import StyledRun, styled_runs
from ntkspec.report.through_training import (
    METRICS_SAID,
    QUANTITIES,
    TITLES,
    Point,
    StepAxis,
    Value,
    course,
    drawn_metrics,
    has_training,
    kernels_of,
    log_beyond,
    metric_title,
    steps_of,
)

ORDER = 3  # among the figures

_SYMBOLS = {"lambda_max": r" $\lambda_{\max}$", "lambda_min": r" $\lambda_{\min}$"}
_CROWDED = 30  # snapshots of a run, from which on marks are smaller
_FAINT = 0.45
_NO_NUMBER = "no number"
_HOLLOW: dict[str, Any] = {"markerfacecolor": "white"}


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    others = f"; the figure “{heading(report)}” has the other kernels" if len(kernels_of(report)) > 1 else ""
    metrics = (metric_title(report, name) for name in drawn_metrics(report))
    return Caption(
        title="Through training",
        alt=f"Panels against the step of training: {'; '.join((*TITLES.values(), *metrics))}. A line for "
        "each run.",
        caption=f"Every snapshot, of the total kernel{others}. A filled mark is a "
        "number. A hollow triangle says only that the value lies between zero and there: up to the floor, "
        "or to what a network's activation regions leave. A cross at the lower edge is exactly "
        "zero, the thin line the floor. Kernel distance is 1 - <K_t, K_0> / (|K_t| |K_0|), with Frobenius "
        "norms: 0 where the kernel has kept its direction, whatever its scale. "
        + METRICS_SAID
        + left_out(len(_runs(report)), MOST_TOGETHER),
    )


def draw(report: Report) -> Figure | None:
    """Draw four quantities of the total kernel, and metrics, at every snapshot; None if no run has two."""
    if not has_training(report):
        return None
    axis, steps = StepAxis.of(steps_of(report)), steps_of(report)
    every = _runs(report)
    runs = every[:MOST_TOGETHER]
    if not runs:
        return None
    quantities = (*QUANTITIES, *drawn_metrics(report))
    figure = new_figure(9.6, 3.4 * math.ceil(len(quantities) / 2))
    panels = new_panels(figure, len(quantities), 2, share=False)
    courses = {quantity: [(run, course(run.run, quantity)) for run in runs] for quantity in quantities}
    for axes, (quantity, of_runs) in zip(panels, courses.items(), strict=True):
        for run, points in of_runs:
            draw_course(axes, axis, run, points, sign_of(run, several=len(runs) > 1))
        axes.set_title(title_of(report, quantity), fontsize=10)
        finish_course(axes, quantity)
        _steps(axes, axis, steps)
    for axes in panels[-2:]:
        axes.set_xlabel("step of training")
    numbers = [mark("a number", marker="o", linewidth=1.4, markersize=4.5)]
    if len(runs) > 1:
        numbers = run_handles(runs, signed=True)
        say_first(figure, len(every), MOST_TOGETHER)
    else:
        figure.suptitle(f"Through training: {text(runs[0].name)}", fontsize=11)
    drawn_points = [point for of_runs in courses.values() for _, points in of_runs for point in points]
    legend_below(figure, [*numbers, *course_handles(drawn_points)])
    return figure


def _runs(report: Report) -> list[StyledRun]:
    return [run for run in styled_runs(report) if course(run.run, "lambda_min")]


def draw_course(axes: Axes, axis: StepAxis, run: StyledRun, points: Sequence[Point], sign: str) -> None:
    """Draw one quantity of a run against the step, and floors where it has them.

    Consecutive numbers are joined by a line. Upper limits, exact zeros and infinite
    metrics are separate marks.
    """
    _draw_floor(axes, axis, run, points)
    size = 4.5 if len(points) <= _CROWDED else 2.5
    places = [(axis.position(point.step), point.value) for point in points]
    stretch: list[tuple[float, float]] = []
    for place, value in [*places, (0.0, Value())]:
        if value.number is not None:
            stretch.append((place, value.number))
        elif stretch:
            axes.plot(
                *zip(*stretch, strict=True), color=run.colour, linewidth=1.4, marker=sign or "o",
                markersize=size,
            )  # fmt: skip
            stretch = []
        if value.at_most is not None:
            axes.plot([place], [value.at_most], "v", color=run.colour, markersize=size + 1.5, **_HOLLOW)
        if value.zero or value.infinite:  # at an edge: a log axis has no zero
            axes.plot(
                [place], [0.025 if value.zero else 0.975], "x" if value.zero else "^", color=run.colour,
                markersize=size + 1.5, clip_on=False, transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _draw_floor(axes: Axes, axis: StepAxis, run: StyledRun, points: Sequence[Point]) -> None:
    places = [(axis.position(point.step), point.floor) for point in points if point.floor is not None]
    if places:
        marker = "_" if len(places) == 1 else None
        at, floors = zip(*places, strict=True)
        axes.plot(at, floors, color=run.colour, linewidth=0.8, alpha=_FAINT, marker=marker, zorder=1.0)


def title_of(report: Report, quantity: str) -> str:
    """Return the title of a quantity or of a metric, as matplotlib draws it; see `metric_title`."""
    title = TITLES.get(quantity) or text(metric_title(report, quantity), 80)
    return title + _SYMBOLS.get(quantity, "")


def finish_course(axes: Axes, quantity: str) -> None:
    """Set the scale of a quantity or of a metric, and a light grid; say so if no number was drawn."""
    numbers = in_data(axes)
    if numbers and _spans_decades(axes, quantity):
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < 1e3 * low:  # few powers of ten: numbers between them, too
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif quantity == "kernel_distance" and axes.get_autoscaley_on():
        axes.set_ylim(0.0, max(axes.get_ylim()[1], 1e-300), auto=None)
    if say(axes, _NO_NUMBER, holds=not drawn(axes)) or not numbers:
        axes.tick_params(axis="y", left=bool(numbers), labelleft=bool(numbers))
    light_grid(axes)


def _spans_decades(axes: Axes, quantity: str) -> bool:
    """Return whether a log axis suits what is drawn: it is positive, and wide or with a zero at the edge.

    Of a kernel's quantity only the positive numbers count: others are in lines of the caller's own.
    """
    values, ratio = (
        np.concatenate([line.get_ydata(orig=False) for line in in_data(axes)]),
        log_beyond(quantity),
    )
    values = values[np.isfinite(values) & ((values > 0) | (quantity not in QUANTITIES))]
    if not (values.size and values.min() > 0 and math.isfinite(ratio)):
        return False
    has_zero = len(drawn(axes)) > len(in_data(axes))
    return bool(has_zero or values.max() >= ratio * values.min())


def _steps(axes: Axes, axis: StepAxis, steps: Sequence[int]) -> None:
    places = [axis.position(step) for step in steps]
    room = 0.04 * ((max(places) - min(places)) or 1.0)
    axes.set_xlim(min(places) - room, max(places) + room)
    if ticks := axis.ticks(steps):
        axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks])


def course_handles(points: Sequence[Point]) -> list[Line2D]:
    """Return legend entries for the marks with which these points are drawn."""
    marks, values = [], [point.value for point in points]
    if any(point.floor is not None for point in points):
        marks.append(mark(FLOOR, linewidth=0.8, alpha=_FAINT))
    if any(value.at_most is not None for value in values):
        marks.append(mark("unresolved: at most this", marker="v", linestyle="none", markersize=6, **_HOLLOW))
    if any(value.zero for value in values):
        marks.append(mark("exactly zero", marker="x", linestyle="none", markersize=6))
    if any(value.infinite for value in values):
        marks.append(mark("infinite", marker="^", linestyle="none", markersize=6))
    return marks
