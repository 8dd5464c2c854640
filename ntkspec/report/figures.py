"""The figures of a report. Each function gives a Figure, or None where the report has not what it needs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkspec.report import words
from ntkspec.report.alignment_figure import fig_alignment
from ntkspec.report.curves import (
    KERNEL,
    draw_run,
    finish,
    handle,
    legend_below,
    new_axes,
    new_figure,
    run_handles,
    stage_handles,
    text,
    to_bytes,
)
from ntkspec.report.eigenfunctions_figure import fig_eigenfunctions
from ntkspec.report.records import Picture, Report
from ntkspec.report.spectra_figure import MOST_PANELS, fig_spectra, with_kernel
from ntkspec.report.style import LATE, NO_GRID_COLOUR, StyledRun, of_kind, styled_runs, when_last
from ntkspec.report.tiles import tiles
from ntkspec.report.training_figure import fig_training

__all__ = [
    "draw_all",
    "fig_ablation",
    "fig_alignment",
    "fig_decades",
    "fig_eigenfunctions",
    "fig_panels",
    "fig_pictures",
    "fig_spectra",
    "fig_training",
    "to_bytes",
]


def draw_all(report: Report) -> Iterator[tuple[str, Figure]]:
    """The figures that the report has enough for, by name, drawn one at a time."""
    drawers: dict[str, Callable[[Report], Figure | None]] = {
        "spectra": fig_spectra,
        "alignment": fig_alignment,
        "training": fig_training,
        "ablation": fig_ablation,
        "panels": fig_panels,
        "pictures": fig_pictures,
        "decades": fig_decades,
        "eigenfunctions": fig_eigenfunctions,
    }
    for name, draw in drawers.items():
        figure = draw(report)
        if figure is not None:
            yield name, figure


def fig_ablation(report: Report, *, narrow: bool = False) -> Figure | None:
    """Baseline, grid network, the same without the grid's gradients: a panel for each grid network.

    Args:
        report: what to draw.
        narrow: one panel above the other, as a phone shows them.
    """
    runs = styled_runs(report)
    grids = with_kernel(runs, "no_grid")[:MOST_PANELS]
    if not grids:
        return None
    baseline = next(iter(of_kind(with_kernel(runs, "total"), "baseline")), None)
    columns = 1 if narrow else min(len(grids), 3)
    rows = -(-len(grids) // columns)
    figure = new_figure(4.6 if narrow else max(4.3 * columns, 7.6), 4.6 * rows + 0.6 + narrow)
    panels = new_axes(figure, rows, columns)
    for axes, run in zip(panels, grids, strict=False):
        if baseline is not None and baseline is not run:
            draw_run(axes, baseline, hatch=True, shown=LATE)
        draw_run(axes, run, shown=LATE)
        draw_run(axes, run, "no_grid", colour=NO_GRID_COLOUR, hatch=True, shown=LATE)
    for i, axes in enumerate(panels):
        if i < len(grids):
            finish(axes, text(grids[i].name), x_label=i + columns >= len(grids), y_label=i % columns == 0)
        else:
            axes.set_visible(False)
    handles = (
        [handle(baseline.name, baseline.colour)] if baseline is not None and baseline not in grids else []
    )
    handles += run_handles(grids)
    handles.append(handle("without the grid's gradients", NO_GRID_COLOUR))
    legend_below(figure, [*handles, *stage_handles(report, hatch=True, shown=LATE)])
    return figure


def fig_panels(report: Report) -> Figure | None:
    """Baseline against Fourier features, baseline against grids, highest Fourier features against grids."""
    runs = with_kernel(styled_runs(report), "total")
    base, ffes, mpes = of_kind(runs, "baseline")[:1], of_kind(runs, "ffe"), of_kind(runs, "mpe")
    panels = [
        (title, (*left, *right))
        for title, left, right in (
            ("Baseline and Fourier features", base, ffes),
            ("Baseline and multigrid", base, mpes),
            ("High Fourier features and multigrid", ffes[-1:], mpes),
        )
        if left and right
    ]
    if not panels:
        return None
    figure = new_figure(max(4.3 * len(panels), 7.6), 5.2)
    drawn = new_axes(figure, 1, len(panels))
    for axes, (_, members) in zip(drawn, panels, strict=True):
        for run in members:
            draw_run(axes, run, shown=LATE)
    for i, (axes, (title, _)) in enumerate(zip(drawn, panels, strict=True)):
        finish(axes, title, y_label=i == 0)
    shown = [run for run in runs if any(run in members for _, members in panels)]
    legend_below(figure, [*run_handles(shown), *stage_handles(report, shown=LATE)])
    return figure


def fig_pictures(report: Report) -> Figure | None:
    """The target and each run's reconstruction at the end, with its quality."""
    shown = tiles(styled_runs(report))[: 3 * MOST_PANELS]
    if not shown:
        return None
    columns = min(len(shown), 7)
    rows = -(-len(shown) // columns)
    side = 12.8 / max(columns, 4)
    figure = new_figure(side * columns, (side + 0.5) * rows)
    panels = new_axes(figure, rows, columns, share=False)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes, tile in zip(panels, shown, strict=False):
        _show(axes, tile.picture)
        name = "\n".join(textwrap.wrap(text(tile.name), 22)) or " "
        axes.set_xlabel(f"{name}\n{tile.quality}" if tile.quality else name, fontsize=8.5, linespacing=1.3)
    return figure


def fig_decades(report: Report) -> Figure | None:
    """Smallest eigenvalues at the end on a log axis; an arrow leftwards from the floor where unresolved."""
    runs = with_kernel(styled_runs(report), "total", at_end=True)[: 3 * MOST_PANELS]
    if len(runs) < 2 or all(run.end is None or words.is_zero(run.end.spectra["total"]) for run in runs):
        return None
    figure = new_figure(9.0, 1.5 + 0.42 * len(runs))
    axes = new_axes(figure, 1, 1)[0]
    axes.set_xscale("log")
    for row, run in enumerate(runs):
        _draw_lambda_min(axes, row, run, "total", run.colour)
        if run.end is not None and "no_grid" in run.end.spectra:
            _draw_lambda_min(axes, row, run, "no_grid", NO_GRID_COLOUR)
    axes.set_yticks(range(len(runs)), [text(run.name) for run in runs])
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(rf"smallest eigenvalue $\lambda_{{\min}}$ of {KERNEL} " + text(when_last(report)))
    axes.set_title("Smallest eigenvalues (arrows: unresolved, at most there; 0: exactly singular)")
    if any(run.end is not None and "no_grid" in run.end.spectra for run in runs):
        axes.annotate(
            "green: without the grid's gradients",
            (1.0, 1.0), (0, -2), xycoords="axes fraction", textcoords="offset points",
            ha="right", va="top", color=NO_GRID_COLOUR, fontsize=8.5,
        )  # fmt: skip
    return figure


def _show(axes: Axes, picture: Picture) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.imshow(
        picture, cmap="gray" if picture.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest"
    )


def _draw_lambda_min(axes: Axes, row: int, run: StyledRun, kernel: str, colour: str) -> None:
    spectrum = run.end.spectra[kernel] if run.end else None
    if spectrum is None:
        return
    at = row + (0.22 if kernel == "no_grid" else 0.0)
    if spectrum.lambda_min:
        least = max(float(spectrum.lower[-1]), spectrum.floor / 10)  # an error bar to zero has no end here
        axes.plot([least, spectrum.upper[-1]], [at, at], color=colour, linewidth=2, alpha=0.5)
        axes.plot([spectrum.lambda_min], [at], "o", color=colour, markersize=7 if kernel == "total" else 5)
    elif words.is_unresolved(spectrum) and spectrum.floor > 0:
        most = spectrum.smallest_at_most
        axes.plot([most], [at], "|", color=colour, markersize=9, markeredgewidth=2)
        axes.plot([most, most / 8], [at, at], color=colour, linewidth=1.4)
        axes.plot([most / 8], [at], "<", color=colour, markersize=5)
    else:
        axes.annotate(
            words.lambda_min(spectrum).replace("<=", "≤"),
            (0.01, at), xycoords=("axes fraction", "data"), va="center", color=colour, fontsize=8.5,
        )  # fmt: skip
