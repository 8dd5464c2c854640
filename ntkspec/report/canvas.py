"""Make figures and axes without pyplot's global state, say what is on them, and turn figures into files."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntkspec.report.names import clean
from ntkspec.report.thinning import first_of

DPI = 160
GREY = "#555555"
_CURVE, _FURTHER_DIGITS = re.compile(rb' d="[^"]*"'), re.compile(rb"(\.\d\d)\d+")
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "ntkspec",
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, laid out by matplotlib."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(figure: Figure, rows: int, columns: int, *, share: bool = True) -> list[Axes]:
    """Return a new grid of axes of a figure, row by row; with `share` all have the same scales.

    Panels with scales of their own lie farther apart, or numbers of one would touch the title of the next.
    """
    if not share:
        figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.08)
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False)
    return [axes for row in grid for axes in row]


def new_panels(figure: Figure, count: int, columns: int, *, share: bool = True) -> list[Axes]:
    """Return `count` new axes of a figure in rows of `columns`; places that are left over stay empty."""
    panels = new_axes(figure, -(-count // columns), columns, share=share)
    for axes in panels[count:]:
        axes.remove()
    return panels[:count]


def to_bytes(figure: Figure, ending: str) -> bytes:
    """Return the figure as a PNG (160 dpi), PDF or SVG file; the same figure gives the same bytes.

    PNG files have a white background, the others have none.
    """
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Labels may be in a script that the font lacks: a box is drawn then.
        warnings.filterwarnings("ignore", message=".*Glyph.*missing from.*")
        if ending == "pdf":
            figure.savefig(file, format="pdf", transparent=True, metadata={"CreationDate": None})
            return file.getvalue()
        if ending == "svg":
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
            # The header has the address of a document type, which is no use in a page and a link to the web.
            return _shorter(_without_doctype(file.getvalue()))
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": "ntkspec"})
    return file.getvalue()


def text(label: str, limit: int = 40) -> str:
    """Escape a label so that matplotlib draws its characters, not a formula, and shows it in a legend."""
    plain = clean(label, limit).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def light_grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Draw light lines behind everything else."""
    axes.grid(axis=axis, color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def name_rows(axes: Axes, names: Sequence[str], *, margin: float) -> None:
    """Name the rows of a dot plot, which lie at y = 0, 1, ... from above, and draw a light grid along x.

    Args:
        names: one for each row.
        margin: share of the axes that is left free on both sides.
    """
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=margin)
    light_grid(axes, "x")
    axes.tick_params(axis="y", length=0)


def in_data(axes: Axes) -> list[Line2D]:
    """Return the lines that show numbers: not floors, marks at an edge, nor entries of the legend alone."""
    return [line for line in drawn(axes) if line.get_transform() == axes.transData]


def placed(axes: Axes) -> list[Line2D]:
    """Return the lines whose places along x are numbers: those of `in_data`, and marks at an edge."""
    return [
        line for line in drawn(axes) if line.get_transform().contains_branch_seperately(axes.transData)[0]
    ]


def drawn(axes: Axes) -> list[Line2D]:
    """Return the lines that can be seen: not those that are entries of the legend alone."""
    return [line for line in axes.lines if len(np.asarray(line.get_xdata()))]


def say_first(figure: Figure, every: int, most: int, what: str = "runs") -> None:
    """Write above a figure that it shows the first `most` things, if there are more."""
    if said := first_of(every, most, what):
        figure.suptitle(said)


def say(axes: Axes, note: str, *, holds: bool) -> bool:
    """Write a note into a panel if it holds, and remove an earlier one; return whether there was one."""
    earlier = [text for text in axes.texts if text.get_text() == note]
    for text in earlier:
        text.remove()
    if holds:
        axes.text(0.5, 0.75, note, transform=axes.transAxes, ha="center", color=GREY)
    return bool(earlier)


def _without_doctype(svg: bytes) -> bytes:
    start, end = svg.find(b"<!DOCTYPE"), svg.find(b"<svg")
    return svg[:start] + svg[end:] if 0 <= start < end else svg


def _shorter(svg: bytes) -> bytes:
    """Cut the coordinates of curves to hundredths of a point, which makes the file a quarter smaller."""
    return _CURVE.sub(lambda curve: _FURTHER_DIGITS.sub(rb"\1", curve[0]), svg)
