"""Draw the figure "spectra": median, mean and quartiles of a label's runs at each eigenvalue index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ntkspec.population.report.cohorts import Cohort, SpectrumStatistics
from ntkspec.population.report.labels import ShownLabel, cohorts_at, left_out
from ntkspec.report.canvas import GREY, new_axes, new_figure, text
from ntkspec.report.curves import finish_panels
from ntkspec.report.figures import Caption
from ntkspec.report.legends import handle, legend_below, mark
from ntkspec.report.style import STAGE_TITLES, STAGES, Stage

_DASHED = (0, (4.0, 2.0))
_FAINT = 0.5
_DOTTED = (0, (1.0, 1.6))
_BAND = 0.16
_BELOW = 1e4  # how far below the smallest number the axis reaches, whatever upper bounds lie below that
_LAST: dict[Stage, str] = {"init": "first snapshot", "mid": "middle snapshot", "end": "last snapshot"}


def caption(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> Caption:
    """Return the figure's title, alternative text and caption."""
    return Caption(
        title="Spectra",
        alt="Log-log plots of kernel eigenvalues against their index: the median over runs, a colour for "
        "each label, a panel for each stage of training.",
        caption="Each line is, at every index, the median over the runs of a label, the dotted line "
        "their mean; a band holds the middle half of them. A cross marks the last index at which the "
        "median is a number; beyond it, the thin line says only what the median is at most, and where "
        "it is zero nothing is drawn." + left_out(cohorts, labels),
    )


def draw(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> Figure | None:
    """Draw a panel for each stage of training; return None if no eigenvalue is known to be above zero.

    Args:
        cohorts: of all labels.
        labels: those with a colour are drawn.
    """
    drawn = [label for label in labels if label.colour]
    panels = {stage: cohorts_at(cohorts, drawn, stage) for stage in STAGES}
    panels = {stage: panel for stage, panel in panels.items() if any(map(_has_curve, panel.values()))}
    if not panels:
        return None
    figure = new_figure(max(4.5 * len(panels), 7.6), 5.4)
    every = new_axes(figure, 1, len(panels))
    for axes, panel in zip(every, panels.values(), strict=True):
        for label, cohort in panel.items():
            for kernel in ("no_grid", "total"):
                if kernel in cohort.spectra:
                    _draw(axes, cohort.spectra[kernel], label, dashed=kernel == "no_grid")
    finish_panels(every, [_title(stage, [*panel.values()]) for stage, panel in panels.items()], len(panels))
    shown = [cohort for panel in panels.values() for cohort in panel.values()]
    _keep_numbers_large(every[0], shown)
    colours = [handle(label.name, label.colour or GREY) for label in drawn]
    for label, line in zip(drawn, colours, strict=True):
        line.set_marker(label.marker or "None")
    legend_below(figure, [*colours, *_marks(shown)])
    return figure


def _has_curve(cohort: Cohort) -> bool:
    total = cohort.spectra["total"].median
    return bool((total.numbers > 0).any() or (total.at_most > 0).any())


def _draw(axes: Axes, statistics: SpectrumStatistics, label: ShownLabel, *, dashed: bool) -> None:
    """Draw the statistics of one kernel of a cohort against the eigenvalue index.

    The median is a line, with a cross at its last number. Where the median is not a number, its upper limit
    is a faint line. For more than one run the quartiles are a band and, unless `dashed`, the mean is dotted.
    """
    index, median, colour = statistics.index, statistics.median, label.colour or GREY
    positive = np.flatnonzero(median.numbers > 0)
    if positive.size:
        numbers = np.where(median.numbers > 0, median.numbers, np.nan)
        axes.plot(
            index, numbers, color=colour, zorder=2.2, markersize=4,
            markevery=0.15 if label.marker and positive.size > 1 else None,
            marker="o" if positive.size == 1 else label.marker,
            linestyle=_DASHED if dashed else "solid", linewidth=1.2 if dashed else 1.8,
        )  # fmt: skip
        if positive[-1] < len(index) - 1:
            last = positive[-1:]
            axes.plot(index[last], numbers[last], "x", color=colour, markersize=5.5, markeredgewidth=1.5)
    mean = statistics.mean.numbers
    if statistics.runs > 1 and not dashed and (mean > 0).any():
        axes.plot(
            index, np.where(mean > 0, mean, np.nan), color=colour, linestyle=_DOTTED, linewidth=1.2, zorder=2
        )
    if np.isfinite(median.at_most).any():
        axes.plot(index, median.at_most, color=colour, linewidth=0.8, alpha=_FAINT, zorder=1.2)
    low, high = statistics.lower_quartile.numbers, statistics.upper_quartile.numbers
    if statistics.runs > 1:
        axes.fill_between(
            index, low, high, where=(low > 0) & (high > 0),
            color=colour, alpha=_BAND / 2 if dashed else _BAND, linewidth=0, zorder=1.5,
        )  # fmt: skip


def _keep_numbers_large(axes: Axes, cohorts: Sequence[Cohort]) -> None:
    """Cut what is far below all numbers off the axes of these cohorts, which share their finished scales."""
    medians = [statistics.median.numbers for cohort in cohorts for statistics in cohort.spectra.values()]
    positive = [numbers[numbers > 0] for numbers in medians]
    if any(numbers.size for numbers in positive):
        least = min(numbers.min() for numbers in positive if numbers.size)
        axes.set_ylim(bottom=max(axes.get_ylim()[0], least / _BELOW))


def _title(stage: Stage, cohorts: Sequence[Cohort]) -> str:
    names = {cohort.snapshot for cohort in cohorts}
    if len(names) > 1:
        return _LAST[stage]
    (name,) = names
    return STAGE_TITLES[stage] if name == stage else text(name)


def _marks(cohorts: Sequence[Cohort]) -> list[Line2D | Patch]:
    """Return legend entries for the marks that the figure contains."""
    spectra = [
        cohort.spectra[name] for cohort in cohorts for name in ("total", "no_grid") if name in cohort.spectra
    ]
    handles: list[Line2D | Patch] = []
    if any("no_grid" in cohort.spectra for cohort in cohorts):
        handles.append(mark("without the grid's gradients", linestyle=_DASHED, linewidth=1.2))
    if any(statistics.runs > 1 for statistics in spectra):
        handles.append(mark("mean of the runs", linestyle=_DOTTED, linewidth=1.2))
        handles.append(Patch(color=GREY, alpha=0.2, linewidth=0, label="middle half of the runs"))
    if any(
        np.isnan(statistics.median.numbers).any() or (statistics.median.numbers == 0).any()
        for statistics in spectra
    ):
        handles.append(mark("last number", marker="x", linestyle="none", markersize=5.5))
    if any(np.isfinite(statistics.median.at_most).any() for statistics in spectra):
        handles.append(mark("no number: at most this", linewidth=0.8, alpha=_FAINT))
    return handles
