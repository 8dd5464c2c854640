"""Draw the figure "metrics": the metrics of each label's runs at the end, and their mean with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntkspec.population.report.cohorts import Cohort, MetricStatistics
from ntkspec.population.report.labels import ShownLabel, cohorts_at, left_out
from ntkspec.population.report.wording import in_order
from ntkspec.qualities import quality_of
from ntkspec.report.canvas import GREY, name_rows, new_figure, new_panels, text
from ntkspec.report.figures import Caption
from ntkspec.report.legends import legend_below, mark

_MOST_METRICS = 6  # that have a panel
_COLUMNS = 3
_LARGEST = 1e100


def caption(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> Caption:
    """Return the figure's title, alternative text and caption."""
    metrics = len(in_order(name for cohort in cohorts for name in cohort.metrics))
    more = f" {_MOST_METRICS} of {metrics} metrics; runs.csv has all." if metrics > _MOST_METRICS else ""
    if any(cohort.infinite for cohort in cohorts):
        more += " A run in which a metric is infinite is left out of that metric's panel."
    if any(cohort.not_averaged for cohort in cohorts):
        more += " A label whose runs held out different pixels is left out of the panels of these PSNRs."
    return Caption(
        title="Metrics",
        alt="Dot plots of each metric: a row for each label, with the mean and the spread of its runs.",
        caption="Of the last snapshots. A dot is the mean over the runs of a label, the line through it "
        "its interval, the bar the middle half of the runs, the thin line all of them."
        + more
        + left_out(cohorts, labels),
    )


def draw(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> Figure | None:
    """Draw a panel for each metric with a row for each label; return None if there is no metric.

    Args:
        cohorts: of all labels; the last one of each is drawn.
        labels: those with a colour are drawn.
    """
    ends = cohorts_at(cohorts, labels, "end")
    of_labels = {label: _drawable(cohort) for label, cohort in ends.items() if label.colour}
    of_labels = {label: metrics for label, metrics in of_labels.items() if metrics}
    metrics = in_order(name for of_label in of_labels.values() for name in of_label)[:_MOST_METRICS]
    if not metrics:
        return None
    columns = min(len(metrics), _COLUMNS)
    rows = -(-len(metrics) // columns)
    figure = new_figure(max(4.4 * columns, 7.6), (0.9 + 0.34 * len(of_labels)) * rows + 0.5)
    panels = new_panels(figure, len(metrics), columns, share=False)
    for place, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
        for row, (label, of_label) in enumerate(of_labels.items()):
            if metric in of_label:
                _draw(axes, row, of_label[metric], label.colour or GREY)
        names = [text(label.name, 28) if place % columns == 0 else "" for label in of_labels]
        name_rows(axes, names, margin=0.06)
        axes.set_title(text(quality_of(metric).axis_title, 40), fontsize=10)
    if any(cohort.runs > 1 for cohort in ends.values()):
        legend_below(figure, _marks())
    return figure


def _drawable(cohort: Cohort) -> dict[str, MetricStatistics]:
    """Return the metrics whose numbers fit on an axis; other programs' files may have numbers of any size."""
    return {
        name: statistics
        for name, statistics in cohort.metrics.items()
        if all(abs(value) < _LARGEST for value in (*statistics.quantiles, statistics.mean.value))
    }


def _draw(axes: Axes, row: int, statistics: MetricStatistics, colour: str) -> None:
    least, lower, _, upper, most = statistics.quantiles
    ends = [statistics.mean.low, statistics.mean.high]
    axes.plot([least, most], [row, row], color=colour, linewidth=1, alpha=0.6)
    axes.plot([lower, upper], [row, row], color=colour, linewidth=7, alpha=0.25, solid_capstyle="butt")
    if all(map(math.isfinite, ends)):  # of one run: none
        axes.plot(ends, [row, row], color=colour, linewidth=2)
    axes.plot([statistics.mean.value], [row], "o", color=colour, markersize=5)


def _marks() -> list[Line2D]:
    return [
        mark("mean with its interval", marker="o", markersize=5, linewidth=2),
        mark("middle half of the runs", linewidth=7, alpha=0.25),
        mark("all runs", linewidth=1, alpha=0.6),
    ]
