"""Draw the figure "decades": the smallest eigenvalues of all runs on one axis."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkspec.report import words
from ntkspec.report.canvas import name_rows, new_axes, new_figure, say_first, text
from ntkspec.report.curves import KERNEL
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.figures.spectra import MOST_TOGETHER
from ntkspec.report.records import Report
from ntkspec.report.style import NO_GRID_COLOUR, StyledRun, styled_runs, when_last
from ntkspec.spectral.record import Spectrum

ORDER = 7  # among the figures

_KERNELS = ("total", "no_grid")  # that are drawn


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    return Caption(
        title="Smallest eigenvalues",
        alt="Dot plot of the smallest eigenvalue of each run on a log axis; arrows for unresolved ones.",
        caption="A dot is a number; an arrow says only that the value lies somewhere to the left of its bar: "
        "the floor, or what a network's activation regions leave. Only runs with kernels of the same samples "
        "and outputs compare. A zero is exact." + left_out(len(_runs(report)), MOST_TOGETHER),
    )


def draw(report: Report) -> Figure | None:
    """Draw the smallest eigenvalues at the end of training on a log axis.

    An eigenvalue that is not resolved is drawn as an arrow that begins at the floor.
    """
    every = _runs(report)
    runs = every[:MOST_TOGETHER]
    total, no_grid = (
        [each for run in runs if (each := run.spectrum(kernel)) is not None] for kernel in _KERNELS
    )
    if len(runs) < 2 or all(spectrum.zero for spectrum in total):
        return None
    figure = new_figure(9.0, 1.5 + 0.42 * len(runs))
    say_first(figure, len(every), MOST_TOGETHER)
    axes = new_axes(figure, 1, 1)[0]
    axes.set_xscale("log")
    for row, run in enumerate(runs):
        if (spectrum := run.spectrum()) is not None:
            _draw_lambda_min(axes, row, spectrum, run.colour, size=7)
        if (spectrum := run.spectrum("no_grid")) is not None:
            _draw_lambda_min(axes, row + 0.22, spectrum, NO_GRID_COLOUR, size=5)
    name_rows(axes, [text(run.name) for run in runs], margin=0.08)
    axes.set_xlabel(rf"smallest eigenvalue $\lambda_{{\min}}$ of {KERNEL} " + text(when_last(report)))
    axes.set_title("Smallest eigenvalues" + _marks([*total, *no_grid]))
    if no_grid:
        axes.annotate(
            "green: without the grid's gradients",
            (1.0, 1.0), (0, -2), xycoords="axes fraction", textcoords="offset points",
            ha="right", va="top", color=NO_GRID_COLOUR, fontsize=8.5,
        )  # fmt: skip
    return figure


def _runs(report: Report) -> list[StyledRun]:
    return [run for run in styled_runs(report) if run.spectrum() is not None]


def _marks(drawn: Sequence[Spectrum]) -> str:
    """Return what the marks mean that are drawn for some spectrum, in brackets; "" where all are dots."""
    said = []
    if any(words.state(spectrum) == "unresolved" and spectrum.floor > 0 for spectrum in drawn):
        said.append("arrows: unresolved, at most there")
    if any(words.state(spectrum) == "zero" for spectrum in drawn):
        said.append("0: exactly singular")
    return f" ({'; '.join(said)})" if said else ""


def _draw_lambda_min(axes: Axes, at: float, spectrum: Spectrum, colour: str, *, size: int) -> None:
    """Draw lambda_min at a height: a dot of this size, an arrow, or a text."""
    if spectrum.lambda_min:
        least = max(float(spectrum.lower[-1]), spectrum.floor / 10)  # an error bar to zero has no end here
        axes.plot([least, spectrum.upper[-1]], [at, at], color=colour, linewidth=2, alpha=0.5)
        axes.plot([spectrum.lambda_min], [at], "o", color=colour, markersize=size)
    elif words.state(spectrum) == "unresolved" and spectrum.floor > 0:
        most = spectrum.smallest_at_most
        axes.plot([most], [at], "|", color=colour, markersize=9, markeredgewidth=2)
        axes.plot([most, most / 8], [at, at], color=colour, linewidth=1.4)
        axes.plot([most / 8], [at], "<", color=colour, markersize=5)
    else:
        axes.annotate(
            words.lambda_min(spectrum).replace("<=", "≤"),
            (0.01, at), xycoords=("axes fraction", "data"), va="center", color=colour, fontsize=8.5,
        )  # fmt: skip
