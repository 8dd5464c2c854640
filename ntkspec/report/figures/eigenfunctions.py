"""Draw the figure "eigenfunctions": a row for each run, with pictures of a few modes of its kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ntkspec.report import words
from ntkspec.report.canvas import new_figure, text
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.names import snapshot_name
from ntkspec.report.records import ModePictures, Report
from ntkspec.report.style import StyledRun, styled_runs, when_last
from ntkspec.report.thinning import first_of
from ntkspec.spectral.frequency import PixelGrid

ORDER = 8  # among the figures

Extent = tuple[float, float, float, float]  # left, right, bottom and top edge of a picture

MOST_RUNS = 8  # rows, beyond which none is of readable size
SIDE = 1.35  # inches of a picture, which is the unit of what follows
ACROSS, DOWN = 1.06, 1.36  # from one picture to the next
LEFT, TOP = 0.3, 0.25  # before the first
LATEST = 16  # mode that is drawn of samples alone
MOST_CELLS = 96  # of a picture's side; larger ones are averaged over squares of pixels
BLANK = "#bdbdbd"  # where no sample lies
SHADES = 16  # few, so that a picture of noise takes little room in a file
EXTREME = (
    99.0  # per cent of values that colours tell apart: a single one that is far out would leave the rest pale
)


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the figure: a run, and the modes of its kernel that are drawn."""

    name: str  # of the run; and of the snapshot, where that is not the end
    shown: ModePictures
    points: NDArray[np.float64]  # (M, 2)
    values: NDArray[np.float64]  # (M, k)

    @property
    def whole(self) -> bool:
        """Return whether the eigenfunctions are known at all pixels, rather than at the samples only."""
        return any(cycles is not None for cycles in self.shown.frequencies)

    @property
    def modes(self) -> tuple[int, ...]:
        """Return the numbers of the modes to draw.

        If eigenfunctions are known at the samples only, modes after `LATEST` look like noise and are omitted.
        """
        return tuple(mode for mode in self.shown.modes if self.whole or mode <= LATEST)


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    rows = _rows(report)
    cells = (
        " The patterns are known at the sampled points alone: a cell is their mean in it, grey where there "
        "is none."
        if not all(row.whole for row in rows)
        else ""
    )
    cycles = (
        " Over whole pictures they are continued from the samples (Nystroem's extension); cycles are the "
        "mean number of waves across the picture."
        if any(row.whole for row in rows)
        else ""
    )
    return Caption(
        title=f"What {'each' if len(report.runs) > 1 else 'the'} network learns first",
        alt="A row of small pictures for each run, one for each of some eigenfunctions of its total kernel.",
        caption=f"The modes of a kernel as pictures, {when_last(report)}: mode 1 is the pattern that the "
        "network learns fastest, then 2, and so on; λ is its speed. Where the first patterns look like the "
        "target, training has tuned the kernel to it. Red and blue are values of opposite sign, white is "
        f"zero; each picture has its own scale.{cells}{cycles}{left_out(len(rows), MOST_RUNS)}",
    )


def draw(report: Report) -> Figure | None:
    """Draw some modes of each run's total kernel; return None if the report has none."""
    every = _rows(report)
    rows = every[:MOST_RUNS]
    modes = sorted({mode for row in rows for mode in row.modes})
    if not modes:
        return None
    width, height = LEFT + len(modes) * ACROSS, TOP + len(rows) * DOWN + (TOP if every[MOST_RUNS:] else 0.0)
    figure = new_figure(SIDE * width, SIDE * height)
    figure.set_layout_engine("none")  # one pair of axes for all pictures: a pair for each takes seconds
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), frameon=False, xticks=[], yticks=[])
    for place, mode in enumerate(modes):
        _say(axes, LEFT + place * ACROSS + 0.5, TOP - 0.05, f"mode {mode}", va="bottom", fontsize=9)
    for i, row in enumerate(rows):
        top = TOP + i * DOWN
        _say(axes, LEFT - 0.05, top + 0.5, text(row.name, 24), ha="right", va="center", rotation=90)
        for at, mode in enumerate(row.modes):
            _draw(axes, row, at, LEFT + modes.index(mode) * ACROSS, top)
    _say(axes, LEFT, height - 0.05, first_of(len(every), MOST_RUNS), ha="left", va="bottom")
    axes.set(xlim=(0.0, width), ylim=(height, 0.0))
    return figure


def _rows(report: Report) -> list[Row]:
    return [row for run in styled_runs(report) if (row := row_of(run))]


def row_of(run: StyledRun) -> Row | None:
    """Return the row of a run, made from one of its snapshots, or None if none has modes to draw.

    This is the last snapshot whose modes are known over a whole picture, or else the last one with modes.
    """
    candidates = [
        (snap, shown) for snap in run.run.snapshots if (shown := snap.eigenfunctions) and shown.modes
    ]
    whole = [
        (snap, shown) for snap, shown in candidates if any(cycles is not None for cycles in shown.frequencies)
    ]
    for snap, shown in reversed(whole or candidates):
        if shown.points is not None and shown.patterns is not None:
            name = run.name if snap is run.end else f"{run.name}, {snapshot_name(run.run, snap)}"
            return Row(name, shown, shown.points.astype(np.float64), shown.patterns.astype(np.float64))
    return None


def _draw(axes: Axes, row: Row, at: int, left: float, top: float) -> None:
    """Draw one mode as a picture in a square, and write its eigenvalue and frequency below.

    Cells in which no point lies are grey.
    """
    picture, (first, last, bottom, upper) = cells(row.points, row.values[:, at])
    ratio = (last - first) / (bottom - upper)
    wide, high = min(ratio, 1.0), min(1 / ratio, 1.0)
    x, y = left + (1 - wide) / 2, top + (1 - high) / 2
    show_mode(axes, picture, (x, x + wide, y + high, y))  # rows of a picture run downwards
    _say(axes, left + 0.5, top + 1.03, numbers(row.shown, at), va="top", fontsize=8, linespacing=1.2)


def show_mode(axes: Axes, picture: NDArray[np.float64], extent: Extent) -> None:
    """Draw a picture of one mode: red and blue of opposite sign, white zero, NaN grey."""
    most = float(np.nanpercentile(np.abs(picture), EXTREME)) or 1.0
    colours = matplotlib.colormaps["RdBu_r"].resampled(SHADES).with_extremes(bad=BLANK)
    axes.imshow(picture, colours, extent=extent, vmin=-most, vmax=most, interpolation="nearest")


def _say(axes: Axes, x: float, y: float, label: str, **look: Any) -> None:
    axes.text(x, y, label, **{"ha": "center", "fontsize": 9, **look})


def numbers(shown: ModePictures, at: int) -> str:
    """Return a text with the eigenvalue of a mode and, if known, its radial frequency."""
    cycles, eigenvalue = shown.frequencies[at], rf"$\lambda$ = {words.sci(shown.eigenvalues[at])}"
    return eigenvalue if cycles is None else f"{eigenvalue}\n{cycles:.{1 if cycles < 10 else 0}f} cycles"


def cells(points: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], Extent]:
    """Return the mean of the values in each cell of a picture, and where its edges lie.

    A cell in which no point lies is NaN. If the points are the pixels of a picture, a cell is a pixel or a
    square of pixels. If they are scattered, there are about as many cells as points.

    Args:
        points: (M, 2), x to the right and y downwards.
        values: (M,).
    """
    grid = PixelGrid.from_points(points)
    height, width = grid.shape if grid else (math.ceil(math.sqrt(len(points))),) * 2
    together = max(1, -(-max(height, width) // MOST_CELLS))
    shape = -(-height // together), -(-width // together)
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.where(high > low, high - low, 1.0) / np.maximum([width - 1, height - 1], 1)  # of a pixel
    columns, rows = (np.rint((points - low) / size).astype(np.intp) // together).T
    places = rows * shape[1] + columns
    count = np.bincount(places, minlength=math.prod(shape))
    total = np.bincount(places, weights=values, minlength=math.prod(shape))
    picture = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)
    (left, upper), (wide, high) = low - size / 2, size * together * shape[::-1]
    return picture, (float(left), float(left + wide), float(upper + high), float(upper))
