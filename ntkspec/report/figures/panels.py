"""Draw the figure "panels": families of runs side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from ntkspec.report.canvas import new_axes, new_figure
from ntkspec.report.compare import comparable
from ntkspec.report.curves import draw_run, finish_panels
from ntkspec.report.figures import Caption
from ntkspec.report.figures.spectra import late_alone, with_kernel
from ntkspec.report.legends import legend_below, run_handles, stage_handles
from ntkspec.report.records import Report
from ntkspec.report.style import LATE, Kind, StyledRun, of_kind, styled_runs
from ntkspec.report.thinning import few

ORDER = 5  # among the figures

_MOST = 16  # runs of a family that are drawn
_LEFT_OUT = " Runs with kernels of other samples or outputs than the first one's are left out."
_FEW = f" Of a family of more runs, {_MOST} are drawn."


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    return Caption(
        title="Two families side by side",
        alt="Log-log plots of the spectra of the baseline, the Fourier feature networks and the grid "
        "networks, two families in each panel.",
        caption=(
            "Within a panel, compare how far to the right each curve stays above its floor: that is how "
            "many independent patterns on the sampled points are known to be learnable. Floors belong to the "
            "method, not to the network."
        )
        + late_alone(report)
        + (_LEFT_OUT if len(_compared(report)) < len(with_kernel(styled_runs(report), "total")) else "")
        + (_FEW if any(len(of_kind(_compared(report), kind)) > _MOST for kind in ("ffe", "mpe")) else ""),
    )


def draw(report: Report) -> Figure | None:
    """Draw three panels, each of which compares two families of runs.

    These are the baseline and Fourier features; the baseline and grids; and the Fourier features of the
    highest frequency and grids.
    """
    runs = _compared(report)
    base, ffes, mpes = of_kind(runs, "baseline")[:1], _family(runs, "ffe"), _family(runs, "mpe")
    panels = [
        (title, (*left, *right))
        for title, left, right in (
            ("Baseline and Fourier features", base, ffes),
            ("Baseline and multigrid", base, mpes),
            (f"{'High ' * (len(ffes) > 1)}Fourier features and multigrid", ffes[-1:], mpes),
        )
        if left and right
    ]
    if not panels:
        return None
    figure = new_figure(max(4.3 * len(panels), 7.6), 5.2)
    drawn = new_axes(figure, 1, len(panels))
    for axes, (_, members) in zip(drawn, panels, strict=True):
        for run in members:
            draw_run(axes, run, shown=LATE, signed=True)
    finish_panels(drawn, [title for title, _ in panels], len(panels))
    shown = [run for run in runs if any(run in members for _, members in panels)]
    curves = [(run, "total") for run in shown]
    legend_below(figure, [*run_handles(shown, signed=True), *stage_handles(report, curves, shown=LATE)])
    return figure


def _family(runs: tuple[StyledRun, ...], kind: Kind) -> tuple[StyledRun, ...]:
    """Return the runs of one kind, of many a few from the first to the last."""
    every = of_kind(runs, kind)
    return tuple(every[i] for i in few(len(every), _MOST))


def _compared(report: Report) -> tuple[StyledRun, ...]:
    """Return the runs with kernels of the samples and outputs of the first, which may be the baseline."""
    runs = with_kernel(styled_runs(report), "total")
    return tuple(run for run in runs if comparable(runs[0].run, run.run))
