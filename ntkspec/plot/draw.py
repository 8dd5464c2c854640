"""Draw on the caller's axes what the report's figures draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from ntkspec.errors import UsageError, not_one_of
from ntkspec.plot.onto import add_legend, axes_of, free_colours
from ntkspec.plot.what import What, as_report, at_end, no_kernel
from ntkspec.qualities import quality_of
from ntkspec.report.curves import draw_run, finish, handle, mark_handles, sign_of, text
from ntkspec.report.figures import ablation as ablation_figure
from ntkspec.report.figures import alignment as alignment_figure
from ntkspec.report.figures import eigenfunctions as eigenfunctions_figure
from ntkspec.report.figures import training as training_figure
from ntkspec.report.figures.spectra import draw_steps, with_kernel
from ntkspec.report.moments import by_step, few, moments
from ntkspec.report.names import snapshot_name
from ntkspec.report.records import Report, RunReport
from ntkspec.report.style import NO_GRID_COLOUR, StyledRun, stages, styled_runs
from ntkspec.report.through_training import StepAxis, Value, history
from ntkspec.spectral.eigenvalues import Spectrum

_STEPS = 5  # of a run, that a legend names


def spectra(what: What, *, kernel: str = "total", ax: Axes | None = None, legend: bool = True) -> Axes:
    """Draw eigenvalues against their index.

    Of several runs the last snapshot is drawn, of a single one every snapshot.
    """
    where = "ntkspec.plot.spectra"
    report = as_report(what, where)
    report = report if len(report.runs) == 1 else at_end(report)
    stepwise, several = by_step(report), len(report.runs) > 1
    runs = with_kernel(styled_runs(report), kernel)
    if not runs:
        raise no_kernel(report, kernel, where)
    if kernel == "no_grid" and not several:
        runs = (replace(runs[0], colour=NO_GRID_COLOUR),)
    axes = axes_of(ax, where)
    handles: list[Line2D] = []
    for run in free_colours(axes, runs):
        if stepwise:
            draw_steps(axes, run, kernel, hatch=True)
        else:
            draw_run(axes, run, kernel, hatch=not several, signed=several)
        handles += _entries(run, kernel, stepwise=stepwise, several=several)
    finish(axes)
    drawn = [snap.spectra[kernel] for run in runs for snap in run.run.snapshots if kernel in snap.spectra]
    add_legend(axes, [*handles, *mark_handles(drawn, hatch=not several)], shown=legend)
    return axes


def _entries(run: StyledRun, kernel: str, *, stepwise: bool, several: bool) -> list[Line2D]:
    """Return the legend's entries for a run: one for each snapshot, or for a few of many."""
    said = _name(run, kernel)
    if stepwise:
        every = [moment for moment in moments(run.run, stepwise=True) if kernel in moment.snapshot.spectra]
        shown = [every[i] for i in few(len(every), _STEPS)]
        return [handle(f"{said}, step {m.snapshot.step:,}", m.colour) for m in shown]
    if len(run.run.snapshots) == 1:
        return [handle(said, run.colour, sign_of(run, several=several))] if run.run.label else []
    return [
        handle(f"{said}, {snapshot_name(run.run, snapshot, 24)}", run.colour, stage=stage)
        for stage, snapshot in stages(run.run).items()
        if kernel in snapshot.spectra
    ]


def _name(run: StyledRun, kernel: str) -> str:
    return run.name if kernel == "total" else f"{run.name}, {kernel}"


def ablation(what: What, *, ax: Axes | None = None, legend: bool = True) -> Axes:
    """Draw spectra of networks with a grid, with and without its gradients, beside the baseline."""
    where = "ntkspec.plot.ablation"
    report = at_end(as_report(what, where))
    grids, baseline = ablation_figure.networks(report)
    if not grids:
        raise UsageError(where, expected="a network with a grid", got="none that has a kernel no_grid")
    axes = axes_of(ax, where)
    grids = tuple(free_colours(axes, grids))
    ablation_figure.draw_ablation(axes, grids, baseline)
    finish(axes)
    handles = [handle(baseline.name, baseline.colour)] if baseline else []
    handles += [handle(run.name, run.colour, sign_of(run, several=len(grids) > 1)) for run in grids]
    handles.append(handle("without the grid's gradients", NO_GRID_COLOUR))
    drawn = [run.run.snapshots[0].spectra[kernel] for run in grids for kernel in ("total", "no_grid")]
    add_legend(axes, [*handles, *mark_handles(drawn, hatch=True)], shown=legend)
    return axes


def alignment(what: What, *, kernel: str = "total", ax: Axes | None = None, legend: bool = True) -> Axes:
    """Draw the share of the targets outside of the first k modes, against k."""
    where = "ntkspec.plot.alignment"
    report = at_end(as_report(what, where))
    runs = [
        run
        for run in styled_runs(report)
        if run.end and kernel in run.end.alignments and len(run.end.alignments[kernel].target)
    ]
    if not runs:
        raise UsageError(where, expected="alignments", got="none")
    axes = axes_of(ax, where)
    handles = []
    found = []
    for run in free_colours(axes, runs):
        assert run.end
        found.append(run.end.alignments[kernel])
        sign = sign_of(run, several=len(runs) > 1)
        alignment_figure.draw_outside(axes, run, found[-1], sign)
        handles += [handle(_name(run, kernel), run.colour, sign)] if run.run.label else []
    alignment_figure.finish_shares(axes, "number of modes $k$", "share of the targets beyond mode $k$")
    if any(len(each.target) < each.size for each in found):
        handles.append(alignment_figure.last_mode())
    add_legend(axes, handles, shown=legend)
    return axes


def over_steps(
    what: Report | RunReport,
    quantity: str = "lambda_min",
    *,
    kernel: str = "total",
    ax: Axes | None = None,
    legend: bool = True,
) -> Axes:
    """Draw a quantity of a kernel, or a metric, against the step of training."""
    where = "ntkspec.plot.over_steps"
    report = as_report(what, where)
    if all(len(run.snapshots) < 2 for run in report.runs):
        raise UsageError(where, expected="a run with two snapshots or more", got="one")
    metrics = dict.fromkeys(name for run in report.runs for snap in run.snapshots for name in snap.metrics)
    if quantity not in (names := [*training_figure.QUANTITIES, *metrics]):
        raise not_one_of(f"{where}, quantity", quantity, names)
    axes = axes_of(ax, where)
    several = len(report.runs) > 1
    handles, values = [], []
    for run in free_colours(axes, styled_runs(report)):
        sign = sign_of(run, several=several)
        if quantity in training_figure.QUANTITIES:
            course = history(run.run, kernel)
            training_figure.draw_course(axes, StepAxis(None), run, quantity, course, sign)
            values += [moment.value(quantity) for moment in course]
        else:
            of_run = [
                (snap.step, Value(snap.metrics[quantity]))
                for snap in run.run.snapshots
                if quantity in snap.metrics
            ]
            training_figure.draw_values(axes, StepAxis(None), run, of_run, sign)
        handles.append(handle(run.name, run.colour, sign))
    measured = quantity not in training_figure.QUANTITIES
    training_figure.finish_course(
        axes, log=not measured and quantity != "distance", from_zero=quantity == "distance"
    )
    axes.set_ylabel(text(quality_of(quantity).title) if measured else training_figure.QUANTITIES[quantity])
    axes.set_xlabel("step of training")
    add_legend(axes, [*handles, *training_figure.course_handles(values)], shown=legend)
    return axes


def eigenfunctions(
    what: What | tuple[ArrayLike, ArrayLike], mode: int = 1, *, ax: Axes | None = None
) -> Axes:
    """Draw an eigenfunction as a picture."""
    where = "ntkspec.plot.eigenfunctions"
    if isinstance(what, tuple):
        points, values = (np.asarray(each, dtype=np.float64) for each in what)
    else:
        found = as_report(what, where).runs[0].snapshots[-1].eigenfunctions
        assert found and found.points is not None and found.patterns is not None
        points, values = found.points, found.patterns[:, found.modes.index(mode)]
    axes = axes_of(ax, where)
    picture, ratio = eigenfunctions_figure.cells(points, values)
    eigenfunctions_figure.show_mode(axes, picture, (0, ratio, 1, 0))
    axes.set(xticks=[], yticks=[])
    return axes
