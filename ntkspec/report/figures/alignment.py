"""Draw the figure "alignment": in which modes of each run's last kernel the targets lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntkspec.report.canvas import in_data, light_grid, new_axes, new_figure, say, say_first, text
from ntkspec.report.curves import CROSS, marked, sign_of
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.figures.spectra import MOST_TOGETHER
from ntkspec.report.legends import legend_below, mark, run_handles
from ntkspec.report.records import Report
from ntkspec.report.style import StyledRun, styled_runs, when_last
from ntkspec.report.thinning import thinned
from ntkspec.spectral.alignment import Alignment

ORDER = 2  # among the figures

LEAST = 1e-6  # share that is drawn: less of a picture nobody sees
STEPS = np.geomspace(1.0, 1e8, 81)  # of gradient descent with a learning rate of 1 / lambda_max
_POINTS = 400  # of a curve; more cannot be seen
_NOTHING_LEFT = f"every share is below {LEAST:.0e}"


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    return Caption(
        title="Where the targets lie in the spectrum",
        alt="Two log-log plots, a line for each run: the share of the targets outside of the first k modes "
        "of the kernel, and the residual that gradient flow would leave over time.",
        caption="Left: the lower a curve at k, the more of the targets lies in the k patterns that this "
        f"network learns fastest {when_last(report)}. A cross marks the last mode whose eigenvalue is a "
        "number. Right: what would be left of the present error if the kernel stayed as it is; a band "
        "where no more is known. A trained network's kernel has learnt the targets: the curves say what "
        "was learnt; those of an untrained one do not foretell it."
        + left_out(len(aligned(report, "total")), MOST_TOGETHER),
    )


def draw(report: Report) -> Figure | None:
    """Draw the share of the targets beyond the first k modes, and the residual over time of gradient flow.

    Return None if no run's last snapshot has a resolved mode with which the targets can be compared.
    """
    every = aligned(report, "total")
    runs = every[:MOST_TOGETHER]
    if not runs:
        return None
    figure = new_figure(9.6, 4.6)
    outside, over_time = new_axes(figure, 1, 2, share=False)
    for run, alignment in runs:
        sign = sign_of(run, several=len(runs) > 1)
        draw_outside(outside, run, alignment, sign)
        _draw_residual(over_time, run, alignment, sign)
    finish_shares(outside, "number of modes $k$", "share of the targets")
    outside.set_title(f"Targets outside of the first $k$ modes {text(when_last(report))}", fontsize=10)
    finish_shares(over_time, r"steps of learning rate $1/\lambda_{\max}$", r"$\|r(t)\|^2 / \|r(0)\|^2$")
    over_time.set_title("Residual, with the kernel as it is then", fontsize=10)
    say_first(figure, len(every), MOST_TOGETHER)
    handles = run_handles([run for run, _ in runs], signed=len(runs) > 1)
    legend_below(figure, [*handles, *end_handles([alignment for _, alignment in runs])])
    return figure


def aligned(report: Report, kernel: str) -> list[tuple[StyledRun, Alignment]]:
    """Return the runs whose last snapshot has an alignment with a resolved mode, with that alignment."""
    found = [(run, run.alignment(kernel)) for run in styled_runs(report)]
    return [(run, each) for run, each in found if each is not None and len(each.target)]


def end_handles(alignments: Sequence[Alignment]) -> list[Line2D]:
    """Return the legend entry of the cross at the last resolved mode, if one of these ends there."""
    if all(len(alignment.target) == alignment.size for alignment in alignments):
        return []
    return [mark("last resolved mode", linestyle="none", **CROSS)]


def draw_outside(axes: Axes, run: StyledRun, alignment: Alignment, sign: str) -> None:
    """Draw the share of the targets that lies outside of the first k modes, against k.

    Shares below `LEAST` are not drawn. If some modes are not resolved, a cross marks the last resolved one,
    unless its share is below `LEAST`.
    """
    counts = thinned(len(alignment.target), _POINTS)
    shares = np.array([alignment.beyond(count) for count in counts.tolist()])
    above = shares >= LEAST
    axes.plot(
        counts[above],
        shares[above],
        color=run.colour,
        linewidth=1.6,
        marker=sign or ("o" if above.sum() == 1 else None),
        markevery=marked(counts[above]) if sign and above.any() else None,
        markersize=4.5,
    )
    if len(alignment.target) < alignment.size and above.any() and above[-1]:
        axes.plot(counts[-1:], shares[-1:], color=run.colour, markeredgewidth=1.5, **CROSS)


def _draw_residual(axes: Axes, run: StyledRun, alignment: Alignment, sign: str) -> None:
    """Draw the residual against time as a band between its bounds, equal where all modes are resolved."""
    flow = alignment.residual_over_time(STEPS / alignment.eigenvalues[0])
    if flow is None:
        return
    low, high = (np.maximum(limit, LEAST / 10) for limit in flow)
    axes.fill_between(STEPS, low, high, color=run.colour, alpha=0.25, linewidth=0)
    # Half a decade apart, since some curves are short.
    axes.plot(STEPS, high, color=run.colour, linewidth=1.6, marker=sign, markevery=5, markersize=4.5)


def finish_shares(axes: Axes, x_label: str, y_label: str) -> None:
    """Set log scales down to `LEAST`, labels and a light grid."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    lowest = axes.dataLim.y0  # infinite if nothing was drawn
    say(axes, _NOTHING_LEFT, holds=not in_data(axes))
    if axes.get_autoscaley_on():
        axes.set_ylim(max(lowest / 1.5, LEAST) if np.isfinite(lowest) else LEAST, 1.3, auto=None)
    axes.minorticks_off()  # of which there are many, over so many decades
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    light_grid(axes)
