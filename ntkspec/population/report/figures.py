"""Draw the figures of a population's report, and write their captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from ntkspec.population.report.cohorts import Cohort
from ntkspec.population.report.labels import MOST_LABELS, ShownLabel, last_cohorts
from ntkspec.population.report.metrics_figure import MOST_METRICS, fig_metrics
from ntkspec.population.report.spectra_figure import fig_spectra
from ntkspec.population.report.table import in_order
from ntkspec.report.captions import Caption


def draw_all(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> Iterator[tuple[str, Figure]]:
    """Draw one figure after another and yield each with its name; those without data are left out."""
    spectra = fig_spectra(cohorts, labels)
    if spectra is not None:
        yield "spectra", spectra
    metrics = fig_metrics(last_cohorts(cohorts, labels))
    if metrics is not None:
        yield "metrics", metrics


def captions(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> dict[str, Caption]:
    """Return the captions of all figures by name."""
    few = f" Drawn: the {MOST_LABELS} of {len(labels)} labels that have the most runs."
    few = few if len(labels) > MOST_LABELS else ""
    sizes = len({cohort.kernels for cohort in cohorts}) > 1
    few += " Of a label with kernels of several sizes, those of most runs." if sizes else ""
    metrics = len(in_order(name for cohort in cohorts for name in cohort.metrics))
    more = f" {MOST_METRICS} of {metrics} metrics; runs.csv has all." if metrics > MOST_METRICS else ""
    if any(cohort.infinite for cohort in cohorts):
        more += " A run in which a metric is infinite is left out of that metric's panel."
    if any(cohort.not_averaged for cohort in cohorts):
        more += " A label whose runs held out different pixels is left out of the panels of these PSNRs."
    return {
        "spectra": Caption(
            title="Spectra",
            alt="Log-log plots of kernel eigenvalues against their index: the median over runs, a colour for "
            "each label, a panel for each stage of training.",
            caption="Each line is, at every index, the median over the runs of a label, the dotted line "
            "their mean; a band holds the middle half of them. A cross marks the last index at which the "
            "median is a number; beyond it, the thin line says only what the median is at most, and where "
            "it is zero nothing is drawn." + few,
        ),
        "metrics": Caption(
            title="Metrics",
            alt="Dot plots of each metric: a row for each label, with the mean and the spread of its runs.",
            caption="Of the last snapshots. A dot is the mean over the runs of a label, the line through it "
            "its interval, the bar the middle half of the runs, the thin line all of them." + more + few,
        ),
    }
