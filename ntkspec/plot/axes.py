"""Find the caller's axes, the sizes that suit them, the colours that are free on them, and their legend."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ntkspec.errors import UsageError, shown
from ntkspec.report.canvas import GREY
from ntkspec.report.curves import sign_of
from ntkspec.report.legends import handle
from ntkspec.report.names import clean
from ntkspec.report.style import OWN, StyledRun

_WIDE, _LEAST = 4.0, 0.55  # inches of axes on which lines have the report's widths; least share of these
_TEXT, _LEGEND_WIDE = 9.0, 3.2  # points of a legend; inches from which on it has this size
_NAME = 40  # letters of an entry
_COLUMN = 5  # entries of a legend on wide axes, beyond which it has two columns


def axes_of(ax: Axes | None, where: str) -> Axes:
    """Return the axes that were given, or pyplot's current ones; only then is pyplot loaded.

    Args:
        ax: as the caller gave it.
        where: name of the function that was called, for errors.

    Raises:
        UsageError: something else, such as the array that `plt.subplots(1, 2)` returns.
    """
    if ax is None:
        from matplotlib import pyplot

        return pyplot.gca()
    if not isinstance(ax, Axes):
        raise UsageError(
            f"{where}, ax",
            expected="matplotlib axes",
            got=shown(ax),
            remedy="of several, give one: ax=axs[0]",
        )
    return ax


@contextlib.contextmanager
def sized(axes: Axes) -> Iterator[None]:
    """Make what is drawn meanwhile thinner and smaller on narrow axes."""
    before, factor = {*axes.lines}, _factor(axes)
    yield
    for line in axes.lines:
        if line not in before:
            _resize(line, factor)


def _factor(axes: Axes, wide: float = _WIDE) -> float:
    """Return a share of the report's sizes, 1 on axes of this width in inches or more."""
    return min(max(_inches(axes) / wide, _LEAST), 1.0)


def _inches(axes: Axes) -> float:
    return float(axes.get_window_extent().width) / axes.figure.dpi


def _resize(line: Line2D, factor: float) -> None:
    line.set_linewidth(line.get_linewidth() * factor)
    line.set_markersize(line.get_markersize() * factor)
    line.set_markeredgewidth(line.get_markeredgewidth() * factor)


def free_colours(axes: Axes, runs: Sequence[StyledRun]) -> tuple[StyledRun, ...]:
    """Return the runs; one whose colour is on the axes already has another, as long as there are some."""
    used = {to_hex(line.get_color()) for line in axes.lines}
    others = [colour for colour in OWN if colour not in used | {run.colour for run in runs}]
    return tuple(replace(run, colour=others.pop(0)) if run.colour in used and others else run for run in runs)


def said(run: StyledRun, kernel: str) -> str:
    """Return the name of a run's kernel in legends."""
    return run.name if kernel == "total" else joined(run.name, clean(kernel, 24))


def joined(first: str, second: str) -> str:
    """Return both, with a comma between; the first is cut where a legend has no room for it.

    Example:
        >>> joined("a network with a name that is far too long", "step 1,000")
        'a network with a name that …, step 1,000'
    """
    return f"{clean(first, _NAME - len(second) - 2)}, {second}"


def entry(run: StyledRun, kernel: str = "total", *, several: bool = False) -> Line2D:
    """Return the legend's entry for a run, with its marker if it is one of several."""
    return handle(said(run, kernel), run.colour, sign_of(run, several=several))


def wrap_ylabel(axes: Axes) -> None:
    """Write the label of the y axis in several lines if the axes are too low for one."""
    label = axes.get_ylabel()
    size = axes.yaxis.label.get_fontproperties().get_size_in_points()
    height = float(axes.get_window_extent().height) / axes.figure.dpi
    axes.set_ylabel(textwrap.fill(label, max(12, _letters(height, size)), break_long_words=False))


def _letters(inches: float, size: float) -> int:
    """Return how many letters of a size in points fit: one is about half as wide as it is high."""
    return int(72 * inches / size * 2)


def add_legend(axes: Axes, handles: Iterable[Line2D | Patch], *, shown: bool) -> None:
    """Add entries that the axes do not have yet, and show the legend of all if it is wanted.

    The entries are lines without points, which belong to the axes, so that `axes.legend` finds them again.
    """
    there, factor = {*map(_look, axes.get_legend_handles_labels()[0])}, _factor(axes)
    for each in handles:
        if _look(each) not in there:
            axes.add_artist(each)
            if isinstance(each, Line2D):
                _resize(each, factor)
    entries = sorted(axes.get_legend_handles_labels()[0], key=lambda each: _look(each)[1] == GREY)
    if not (entries and shown):
        return
    usual = FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
    size = min(usual, _TEXT * _factor(axes, _LEGEND_WIDE))
    legend = axes.legend(
        handles=entries, ncols=2 if len(entries) > _COLUMN and factor == 1 else 1, fontsize=size,
        handlelength=1.0 + factor, columnspacing=1.0, borderpad=0.3, labelspacing=0.3, edgecolor="none",
    )  # fmt: skip
    legend.set_in_layout(False)  # or the axes would shrink where it is wider
    for words in legend.get_texts():  # the line and the margins take eight letters
        words.set_text(textwrap.fill(words.get_text(), max(8, _letters(_inches(axes), size) - 8)))


def _look(entry: Artist) -> tuple[object, str]:
    """Return the label and the colour of an entry; marks that belong to no single run are grey."""
    return entry.get_label(), to_hex(entry.get_color()) if isinstance(entry, Line2D) else GREY
