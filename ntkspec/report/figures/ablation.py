"""Draw the figure "ablation": spectra of grid networks with and without the gradients of their grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkspec.report.canvas import new_figure, new_panels, say_first, text
from ntkspec.report.compare import comparable
from ntkspec.report.curves import draw_run, finish_panels
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.figures.spectra import MOST_PANELS, late_alone, with_kernel
from ntkspec.report.legends import handle, legend_below, run_handles, stage_handles
from ntkspec.report.records import Report
from ntkspec.report.style import LATE, NO_GRID_COLOUR, StyledRun, of_kind, styled_runs

ORDER = 4  # among the figures

_WHAT = "networks with a grid"
_ALONE = " The baseline is drawn beside networks with kernels of the same samples and outputs."


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    return Caption(
        title="What the grid's gradients do",
        alt="Log-log plots of the spectra of the baseline, the grid network, and the grid network without "
        "the grid's own gradients.",
        caption=(
            "Green: the same trained network, its grid still in use, without the gradients of the grid's "
            "values. Where the curves agree, the network's own parameters suffice; the gap between them is "
            "what the grid adds: those patterns it learns faster, or alone."
        )
        + late_alone(report)
        + (_ALONE if _have_no_baseline(report) else "")
        + left_out(len(networks(report)[0]), MOST_PANELS, _WHAT),
    )


def draw(report: Report, *, narrow: bool = False) -> Figure | None:
    """Draw a panel for each grid network: baseline, network, and network without its grid's gradients.

    Args:
        report: what to draw.
        narrow: stack the panels in one column, for narrow screens such as phones.
    """
    every, baseline = networks(report)
    grids = every[:MOST_PANELS]
    if not grids:
        return None
    columns = 1 if narrow else min(len(grids), 3)
    rows = -(-len(grids) // columns)
    figure = new_figure(4.6 if narrow else max(4.3 * columns, 7.6), 4.6 * rows + 0.6 + narrow)
    panels = new_panels(figure, len(grids), columns)
    beside = [run for run in grids if baseline is not None and _compares(run, baseline)]
    for axes, run in zip(panels, grids, strict=True):
        draw_ablation(axes, [run], baseline if run in beside else None)
    finish_panels(panels, [text(run.name) for run in grids], columns)
    say_first(figure, len(every), MOST_PANELS, _WHAT)
    others = [baseline] if baseline is not None and beside else []
    handles = [handle(run.name, run.colour) for run in others] + run_handles(grids)
    handles.append(handle("without the grid's gradients", NO_GRID_COLOUR))
    total = [(run, "total") for run in grids]
    hatches = [*((run, "no_grid") for run in grids), *((run, "total") for run in others)]
    legend_below(figure, [*handles, *stage_handles(report, total, hatches=hatches, shown=LATE)])
    return figure


def _compares(run: StyledRun, baseline: StyledRun) -> bool:
    """Return whether the baseline is drawn beside a run: another one, with kernels of the same samples."""
    return run is not baseline and comparable(run.run, baseline.run)


def _have_no_baseline(report: Report) -> bool:
    """Return whether there is a baseline that does not compare with some network."""
    grids, baseline = networks(report)
    return baseline is not None and not all(comparable(run.run, baseline.run) for run in grids)


def networks(report: Report) -> tuple[tuple[StyledRun, ...], StyledRun | None]:
    """Return the runs with a kernel without their grid's gradients, and the baseline, if there is one."""
    runs = styled_runs(report)
    baseline = next(iter(of_kind(with_kernel(runs, "total"), "baseline")), None)
    return with_kernel(runs, "no_grid"), baseline


def draw_ablation(
    axes: Axes, grids: Sequence[StyledRun], baseline: StyledRun | None, *, floor: bool = True
) -> None:
    """Draw the baseline, and each grid network with and without its grid's gradients, late in training."""
    if baseline is not None and all(baseline is not run for run in grids):
        draw_run(axes, baseline, hatch=True, shown=LATE, floor=floor)
    signed = len(grids) > 1
    for run in grids:
        without = replace(run, colour=NO_GRID_COLOUR)
        draw_run(axes, run, shown=LATE, signed=signed, floor=floor)
        draw_run(axes, without, "no_grid", hatch=True, shown=LATE, signed=signed, floor=floor)
