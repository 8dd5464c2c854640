"""Find the caller's axes, colours that are still free on them, and their legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ntkspec.errors import UsageError
from ntkspec.report.style import OWN, StyledRun


def axes_of(ax: Axes | None, where: str) -> Axes:
    """Return the caller's axes, or pyplot's current ones, with which pyplot is loaded.

    Raises:
        UsageError: something else than axes, such as the array that `plt.subplots(1, 2)` returns.
    """
    if ax is None:
        from matplotlib import pyplot

        return pyplot.gca()
    if not isinstance(ax, Axes):
        raise UsageError(
            f"{where}, ax", expected="matplotlib axes", got=f"a {type(ax).__name__}",
            remedy="of several axes, give one",
        )  # fmt: skip
    return ax


def free_colours(axes: Axes, runs: Sequence[StyledRun]) -> list[StyledRun]:
    """Return the runs, those whose colour is on the axes already with another one, as long as there is one."""
    used = {to_hex(line.get_color()) for line in axes.lines}
    others = [colour for colour in OWN if colour not in used | {run.colour for run in runs}]
    return [replace(run, colour=others.pop(0)) if run.colour in used and others else run for run in runs]


def add_legend(axes: Axes, handles: Iterable[Line2D | Patch], *, shown: bool) -> None:
    """Add entries that the axes don't have yet, and show the legend of all.

    The entries belong to the axes, so that `axes.legend` and `figure.legend` find them.
    """
    there = {*axes.get_legend_handles_labels()[1]}
    for handle in handles:
        if handle.get_label() not in there:
            axes.add_line(handle) if isinstance(handle, Line2D) else axes.add_patch(handle)
    if shown and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
