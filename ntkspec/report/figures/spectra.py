"""Draw the figure "spectra": eigenvalues against index, of all runs and all snapshots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from ntkspec.report.canvas import STYLE, new_axes, new_figure, new_panels, say_first, text
from ntkspec.report.curves import draw_floor, draw_run, draw_spectrum, finish, finish_panels
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.legends import legend_below, mark_handles, run_handles, stage_handles
from ntkspec.report.moments import by_step, moments, same_steps, step_colour
from ntkspec.report.page_texts import heading
from ntkspec.report.records import Report
from ntkspec.report.style import LATE, StyledRun, stages, styled_runs
from ntkspec.report.thinning import few
from ntkspec.spectral.record import Spectrum

ORDER = 1  # among the figures

MOST_PANELS = 16
MOST_TOGETHER = 3 * MOST_PANELS  # curves, rows or pictures of other figures
_TOGETHER = 8  # runs in one pair of axes
_TICKS = 9  # of the bar of colours

_FLOORS = (
    "Floors may differ by many decades between curves: how low one lies depends on the method by which the "
    "spectrum was computed (gram or svd, see each run's details), not on the network."
)
_STEPWISE = (
    "Every snapshot, from green at the start of training to violet at its end. The higher a curve at index "
    "i, the faster at least i independent patterns on the sampled points can be learnt, wanted or not. A "
    "cross marks the last eigenvalue that is a number; the thin line is the floor of the last snapshot. A "
    f"shaded band is the stated error. {_FLOORS}"
)


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    cut = left_out(len(with_kernel(styled_runs(report), "total")), MOST_PANELS)
    if by_step(report):
        return Caption(
            title="Spectra",
            alt="Log-log plot of kernel eigenvalues against their index, a colour for each snapshot.",
            caption=_STEPWISE + cut,
        )
    return Caption(
        title="Spectra",
        alt="Log-log plot of kernel eigenvalues against their index, one colour for each run.",
        caption="The higher a curve at index i, the faster at least i independent patterns on the sampled "
        "points can be learnt, wanted or not; it does not say what the network draws between the samples. "
        "A cross marks the last eigenvalue that is a number, and the rest of that curve lies below its "
        "floor, the thin line of its colour. A shaded band, wide enough to be seen only near a floor, is the "
        f"stated error. {_FLOORS}{cut}",
    )


def late_alone(report: Report) -> str:
    """Return a sentence for captions of figures of the stages `LATE`; "" if no snapshot is left out."""
    every = all(sum(stage in LATE for stage in stages(run)) == len(run.snapshots) for run in report.runs)
    drawn = "the middle and the end of training"
    return "" if every else f" Drawn: {drawn}; the figure “{heading(report)}” has every snapshot."


def draw(report: Report) -> Figure | None:
    """Draw eigenvalues against index: up to eight runs in one pair of axes, more in a small panel each.

    If some run has more than three snapshots, each run has a panel of its own, with curves coloured by step.
    """
    runs = with_kernel(styled_runs(report), "total")
    if not runs:
        return None
    if by_step(report):
        return _stepwise_spectra(runs)
    if len(runs) > _TOGETHER:
        return _many_spectra(report, runs)
    figure = new_figure(9.0, 5.4)
    axes = new_axes(figure, 1, 1)[0]
    for run in runs:
        draw_run(axes, run, hatch=len(runs) == 1, signed=len(runs) > 1)
    finish(axes, "Spectra of the tangent kernels" if len(runs) > 1 else f"Spectrum: {text(runs[0].name)}")
    colours = run_handles(runs, signed=True) if len(runs) > 1 else []
    curves = [(run, "total") for run in runs]
    handles = [*colours, *stage_handles(report, curves, hatches=curves if len(runs) == 1 else ())]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    return figure


def with_kernel(runs: Sequence[StyledRun], kernel: str) -> tuple[StyledRun, ...]:
    """Return the runs with a kernel of this name that is not exactly zero at every snapshot."""
    return tuple(
        run
        for run in runs
        if any(kernel in snap.spectra and not snap.spectra[kernel].zero for snap in run.run.snapshots)
    )


def _many_spectra(report: Report, runs: Sequence[StyledRun]) -> Figure:
    figure, panels = _small_panels(runs)
    for axes, run in zip(panels, runs, strict=False):
        draw_run(axes, run)
    _finish_panels(figure, panels, runs)
    legend_below(figure, stage_handles(report, [(run, "total") for run in runs[: len(panels)]]))
    return figure


def _stepwise_spectra(runs: Sequence[StyledRun]) -> Figure:
    """Draw all snapshots of each run."""
    if len(runs) == 1:
        figure = new_figure(9.0, 5.4)
        panels = new_axes(figure, 1, 1)
    else:
        figure, panels = _small_panels(runs)
    for axes, run in zip(panels, runs, strict=False):
        draw_steps(axes, run, hatch=len(runs) == 1)
    _finish_panels(figure, panels, runs)
    shown = runs[: len(panels)]
    _step_bar(figure, panels, shown)
    spectra = [[snapshot.spectra["total"] for snapshot in run.run.snapshots] for run in shown]
    last = [of_run[-1] for of_run in spectra]
    handles = mark_handles(
        [*itertools.chain(*spectra)], floors=last, hatches=last if len(runs) == 1 else (),
        name="floor of the last snapshot",
    )  # fmt: skip
    legend_below(figure, handles)
    return figure


def _columns(count: int) -> int:
    """Return the number of columns for `count` panels: at most 4, and 2 for four panels (a 2 x 2 grid)."""
    return min(4, count) if count != 4 else 2


def _small_panels(runs: Sequence[StyledRun]) -> tuple[Figure, list[Axes]]:
    count = min(len(runs), MOST_PANELS)
    columns = _columns(count)
    rows = -(-count // columns)
    figure = new_figure(12.8 if columns == 4 else 5.0 * columns, (2.9 if columns == 4 else 4.2) * rows + 0.8)
    return figure, new_panels(figure, count, columns)


def _finish_panels(figure: Figure, panels: Sequence[Axes], runs: Sequence[StyledRun]) -> None:
    if len(runs) == 1:
        finish(panels[0], f"Spectrum: {text(runs[0].name)}")
        return
    finish_panels(panels, [text(run.short) for run in runs[: len(panels)]], _columns(len(panels)))
    say_first(figure, len(runs), MOST_PANELS)


def draw_steps(
    axes: Axes,
    run: StyledRun,
    kernel: str = "total",
    *,
    hatch: bool = False,
    shaded: bool = False,
    floor: bool = True,
) -> None:
    """Draw spectra of a run's kernel at all snapshots, coloured by step, and the floor of the last.

    Args:
        hatch: whether to hatch the region of the unresolved eigenvalues.
        shaded: whether to draw in shades of the run's colour, instead of in colours of the steps.
        floor: whether to draw the floor, and with it the hatch.
    """
    last: Spectrum | None = None
    for moment in moments(run.run, stepwise=True):
        if kernel in moment.snapshot.spectra:
            last = moment.snapshot.spectra[kernel]
            colour = moment.shade(run.colour) if shaded else moment.colour
            draw_spectrum(axes, last, colour, None, 2.0 + moment.place / (moment.of + 1))
    if last is not None and floor:
        draw_floor(axes, last, run.colour if shaded else step_colour(1, 1), hatch=hatch)


def _step_bar(figure: Figure, axes: Sequence[Axes], runs: Sequence[StyledRun]) -> None:
    """Add a colour bar for the steps.

    If the runs have different steps, only its ends are labelled, "first" and "last".
    """
    steps = same_steps(runs)
    count = len(steps) if steps else 64
    colours = ListedColormap([step_colour(i, count) for i in range(count)])
    shown = few(count, _TICKS if steps else 2)
    with matplotlib.rc_context(STYLE):
        bar = figure.colorbar(
            ScalarMappable(Normalize(-0.5, count - 0.5), colours),
            ax=list(axes), fraction=0.03, pad=0.015, aspect=32,
        )  # fmt: skip
    names = [f"{steps[i]:,}" for i in shown] if steps else ["first", "last"]
    bar.set_ticks(shown, labels=names)
    bar.ax.tick_params(labelsize=8.5, length=2)
    bar.outline.set_visible(False)
    bar.set_label(f"step of training, {count} snapshots" if steps else "snapshot", fontsize=9)
