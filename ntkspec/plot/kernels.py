"""Draw eigenvalues of kernels on the caller's axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ntkspec.errors import UsageError
from ntkspec.plot.as_report import What, as_report, at_end, check_kernel, no_kernel
from ntkspec.plot.axes import add_legend, axes_of, entry, free_colours, joined, said, sized
from ntkspec.report.canvas import in_data
from ntkspec.report.curves import draw_run, finish
from ntkspec.report.figures.ablation import draw_ablation, networks
from ntkspec.report.figures.spectra import draw_steps, with_kernel
from ntkspec.report.legends import handle, mark_handles
from ntkspec.report.moments import by_step, moments
from ntkspec.report.style import NO_GRID_COLOUR, StyledRun, styled_runs
from ntkspec.report.thinning import few

_STEPS = 5  # of a run, that a legend names


def spectra(
    what: What,
    *,
    kernel: str = "total",
    ax: Axes | None = None,
    legend: bool = True,
    floors: bool = True,
) -> Axes:
    """Draw eigenvalues against their index, on log axes, and return the axes.

    Of several runs the end is drawn (the snapshot labelled "end", otherwise the last), of a single run every
    snapshot: up to three are told apart by dashes, more by colours from light to dark. A curve ends with a
    cross where the next eigenvalues are not resolved, or with a bar where no more were computed. The thin
    line is the floor.

    Args:
        what: a report, one of its runs or snapshots, a Spectrum, or a dict of these by name.
        kernel: name of the kernel in reports: "total", "no_grid", "grid" or another that was asked for. Runs
            without it are left out.
        ax: where to draw; default: pyplot's current axes.
        legend: show a legend.
        floors: draw the floors, and hatch where unresolved eigenvalues lie. Each kernel has a floor of its
            own; leave them out where a curve happens to end at that of another.

    Raises:
        UsageError: nothing that can be drawn, or a kernel that is not there.

    Example:
        >>> import ntkspec
        >>> from matplotlib.figure import Figure
        >>> with ntkspec.open_run("data/golden/mpe.h5") as run:
        ...     jac = run.snapshot("init").jacobian
        ...     found = {"all": ntkspec.spectrum(jac), "no grid": ntkspec.spectrum(jac.without("grid"))}
        >>> axes = spectra(found, ax=Figure().subplots())
        >>> axes.get_legend_handles_labels()[1][:2], axes.get_yscale()
        (['all', 'no grid'], 'log')
    """
    where = "ntkspec.plot.spectra"
    check_kernel(kernel, where)
    report = as_report(what, where)
    several = len(report.runs) > 1
    report = at_end(report) if several else report
    stepwise, runs = by_step(report), with_kernel(styled_runs(report), kernel)
    if not runs:
        raise no_kernel(report, kernel, where)
    if kernel == "no_grid" and not several:
        runs = (replace(runs[0], colour=NO_GRID_COLOUR),)
    axes = axes_of(ax, where)
    shaded = stepwise and bool(in_data(axes))
    runs = free_colours(axes, runs)
    with sized(axes):
        for run in runs:
            if stepwise:
                draw_steps(axes, run, kernel, hatch=True, shaded=shaded, floor=floors)
            else:
                draw_run(axes, run, kernel, hatch=not several, signed=several, floor=floors)
    finish(axes)
    drawn = [[s.spectra[kernel] for s in run.run.snapshots if kernel in s.spectra] for run in runs]
    last = [of_run[-1] for of_run in drawn] if floors else []
    marks = mark_handles([*chain(*drawn)], floors=last, hatches=[] if several else last)
    if several:
        entries = [entry(run, kernel, several=True) for run in runs]
    else:
        entries = _of_snapshots(runs[0], kernel, stepwise=stepwise, shaded=shaded)
    add_legend(axes, [*entries, *marks], shown=legend)
    return axes


def _of_snapshots(run: StyledRun, kernel: str, *, stepwise: bool, shaded: bool) -> list[Line2D]:
    """Return the legend's entries for the snapshots of a run: each of three, or a few of many."""
    every = [m for m in moments(run.run, stepwise=stepwise, limit=16) if kernel in m.snapshot.spectra]
    if len(every) == 1:
        return [entry(run, kernel)] if run.run.label else []
    entries = []
    for moment in (every[i] for i in few(len(every), _STEPS)):
        if moment.stage:
            name, colour = moment.name, run.colour
        else:
            name = f"step {moment.snapshot.step:,}"
            colour = moment.shade(run.colour) if shaded else moment.colour
        entries.append(handle(joined(said(run, kernel), name), colour, stage=moment.stage or "end"))
    return entries


def ablation(what: What, *, ax: Axes | None = None, legend: bool = True, floors: bool = True) -> Axes:
    """Draw spectra of networks with a grid, with and without its gradients, and return the axes.

    The end of each run is drawn (the snapshot labelled "end", otherwise the last), with the baseline beside
    it if the report has one. Where the two curves of a network agree, its own parameters suffice; their gap
    is what the grid adds. Several networks are told apart by marks.

    Args:
        what: a report, one of its runs or snapshots, or a dict of these by name.
        ax: where to draw; default: pyplot's current axes.
        legend: show a legend.
        floors: draw the floors, and hatch where unresolved eigenvalues lie. Each kernel has a floor of its
            own; leave them out where a curve happens to end at that of another.

    Raises:
        UsageError: nothing that can be drawn, or no network with a grid.

    Example:
        >>> import ntkspec
        >>> from matplotlib.figure import Figure
        >>> report = ntkspec.analyze_runs(["data/golden/mpe.h5", "data/golden/baseline-patch.h5"], k=9)
        >>> ablation(report, ax=Figure().subplots()).get_legend_handles_labels()[1][:3]
        ['baseline', 'MPE', "without the grid's gradients"]
    """
    where = "ntkspec.plot.ablation"
    grids, baseline = networks(at_end(as_report(what, where)))
    if not grids:
        raise UsageError(
            where, expected="a network with a grid", got="none whose kernel no_grid is above zero",
            remedy="roles of RunExporter say which parameters are a grid",
        )  # fmt: skip
    axes = axes_of(ax, where)
    beside = [] if baseline is None or any(baseline is run for run in grids) else [baseline]
    runs = free_colours(axes, [*beside, *grids])
    grids, several = runs[len(beside) :], len(grids) > 1
    with sized(axes):
        draw_ablation(axes, grids, runs[0] if beside else None, floor=floors)
    finish(axes)
    entries = [
        *(entry(run) for run in runs[: len(beside)]),
        *(entry(run, several=several) for run in grids),
        handle("without the grid's gradients", NO_GRID_COLOUR),
    ]
    add_legend(axes, [*entries, *_marks_of_ablation(runs[: len(beside)], grids, floors=floors)], shown=legend)
    return axes


def _marks_of_ablation(
    beside: Sequence[StyledRun], grids: Sequence[StyledRun], *, floors: bool
) -> list[Line2D | Patch]:
    """Return legend entries for floors and end marks; of a grid's total kernel nothing is hatched."""
    total, hatched = (
        [spectrum for run in runs if (spectrum := run.spectrum(kernel)) is not None]
        for runs, kernel in ((grids, "total"), (grids, "no_grid"))
    )
    hatched += [spectrum for run in beside if (spectrum := run.spectrum()) is not None]
    drawn = [*total, *hatched]
    return mark_handles(drawn, floors=drawn if floors else (), hatches=hatched if floors else ())
