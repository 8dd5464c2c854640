"""Draw the figures of a population's report: each has a module with the functions `draw` and `caption`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from ntkspec.population.report import metrics_figure, spectra_figure
from ntkspec.population.report.cohorts import Cohort
from ntkspec.population.report.labels import ShownLabel
from ntkspec.report.figures import Caption

_FIGURES = {
    "spectra": (spectra_figure.draw, spectra_figure.caption),
    "metrics": (metrics_figure.draw, metrics_figure.caption),
}


def draw_all(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> Iterator[tuple[str, Figure]]:
    """Draw one figure after another and yield each with its name; those without data are left out."""
    for name, (draw, _) in _FIGURES.items():
        figure = draw(cohorts, labels)
        if figure is not None:
            yield name, figure


def captions(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> dict[str, Caption]:
    """Return the captions of all figures by name."""
    return {name: caption(cohorts, labels) for name, (_, caption) in _FIGURES.items()}
